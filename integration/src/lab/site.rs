//! What makes a baked tree a node of this lab: files written into one node's file system before it
//! boots, as a cloud or an organization would by its own means.
//!
//! Here is everything that a container node has to concede because it shares the host's kernel and
//! control groups. None of it is a default of the product.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};

use super::network::router::RESOLVER;

/// What the site knows of a node.
#[derive(Clone, Debug)]
pub struct Site<'a> {
    /// The short name, as cloud-init would set it.
    pub hostname: &'a str,
    /// `eu-west-1.compute.internal`
    pub domain: &'a str,
    /// The lab's authority, PEM, which vouches for AWS' names.
    pub authority: &'a str,
    /// Whether the host has the v1 hierarchies of control groups.
    pub cgroup_v1: bool,
}

/// The host's disk is not the node's to measure or to clean up, and swap is the host's affair.
const KUBELET: &str = "\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failSwapOn: false
localStorageCapacityIsolation: false
evictionHard:
  memory.available: 50Mi
  nodefs.available: 1%
  imagefs.available: 1%
  nodefs.inodesFree: 1%
imageGCHighThresholdPercent: 100
";

/// kubelet refuses v1 groups unless told, and names them itself.
const KUBELET_V1: &str = "failCgroupV1: false\ncgroupDriver: cgroupfs\n";

/// A container may not lower an OOM score.
const CONTAINERD: &str = "\
version = 3

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
";

/// v1 groups are named by kubelet, not by systemd.
const CONTAINERD_V1: &str = "
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  SystemdCgroup = false
";

/// What would touch the host's kernel or disks, or is of no use to a machine of minutes.
const MASKED: [&str; 13] = [
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "modprobe@.service",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
];

/// The node's serial console, which outlives it: the whole journal as text. It begins a second
/// late, to keep out of a boot's way.
const CONSOLE: &str = "\
[Unit]
Description=Copy the journal to the lab
DefaultDependencies=no
After=systemd-journald.service

[Service]
ExecStartPre=/bin/sleep 1
ExecStart=/usr/bin/journalctl --boot --follow --lines=all --no-hostname --output=short-monotonic
StandardOutput=file:/run/lab-console
Restart=always
";

impl Site<'_> {
    /// Writes it all below `root`; `base` is the tree that lies under it.
    pub fn install(&self, base: &Path, root: &Path) -> Result<()> {
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap_or(root))?;
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        put("etc/hostname", &format!("{}\n", self.hostname))?;
        put(
            "etc/hosts",
            &format!(
                "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {} {}.{}\n",
                self.hostname, self.hostname, self.domain
            ),
        )?;
        // What dhclient or systemd-resolved would make of the lease.
        put("etc/resolv.conf", &format!("nameserver {RESOLVER}\nsearch {}\n", self.domain))?;
        trust(base, self.authority, &put)?;

        put("etc/systemd/journald.conf.d/lab.conf", "[Journal]\nStorage=volatile\n")?;
        put("etc/systemd/system/lab-console.service", CONSOLE)?;
        let wants = root.join("etc/systemd/system/sysinit.target.wants");
        fs::create_dir_all(&wants)?;
        symlink("../lab-console.service", wants.join("lab-console.service"))?;

        for unit in MASKED {
            symlink("/dev/null", root.join("etc/systemd/system").join(unit))?;
        }
        let v1 = |text| if self.cgroup_v1 { text } else { "" };
        put("etc/kubernetes/kubelet.conf.d/90-lab.conf", &[KUBELET, v1(KUBELET_V1)].concat())?;
        put("etc/containerd/conf.d/90-lab.toml", &[CONTAINERD, v1(CONTAINERD_V1)].concat())?;
        Ok(())
    }
}

/// Adds an authority to a tree's trust store, as `update-ca-certificates` does it.
pub fn trust(base: &Path, authority: &str, put: &impl Fn(&str, &str) -> Result<()>) -> Result<()> {
    const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
    let bundle = base.join(BUNDLE);
    let public =
        fs::read_to_string(&bundle).with_context(|| format!("cannot read {}", bundle.display()))?;
    put("usr/local/share/ca-certificates/windlass-lab.crt", authority)?;
    put(BUNDLE, &[&public, authority].concat())
}
