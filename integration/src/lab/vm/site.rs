//! What makes a baked tree the image of a lab's VMs: what a cloud or an organization adds by its own
//! means, and nothing that is about one machine. None of the concessions of a container node is here.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};

use crate::lab::network::router::RESOLVER;
use crate::lab::site::trust;

/// What is of no use to a machine of minutes, on a slow processor.
const MASKED: [&str; 7] = [
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
];

/// The port by which the journal leaves; `org.qemu.guest_agent.0` is the other one.
pub const JOURNAL_PORT: &str = "lab.journal";

/// The whole journal as text, which outlives the machine. It begins a second late, to keep out of a
/// boot's way.
const JOURNAL: &str = "\
[Unit]
Description=Copy the journal to the lab
DefaultDependencies=no

[Service]
ExecStartPre=/bin/sleep 1
ExecStart=/usr/bin/journalctl --boot --follow --lines=all --no-hostname --output=short-monotonic
StandardOutput=file:/dev/virtio-ports/lab.journal
Restart=always
";

/// As that of Debian's package starts the guest agent.
const JOURNAL_RULE: &str = "\
SUBSYSTEM==\"virtio-ports\", ATTR{name}==\"lab.journal\", SYMLINK+=\"virtio-ports/lab.journal\", \
TAG+=\"systemd\", ENV{SYSTEMD_WANTS}=\"lab-journal.service\"
";

/// qemu calls every NVMe disk by its own name: here they are called as EC2 calls an instance store. A disk's model
/// is its controller's, or its subsystem's where the kernel knows of several ways to it.
const MODEL: &str = "Amazon EC2 NVMe Instance Storage        \n";
const NAMES: &str = "\
[Unit]
Description=Call the disks of the host's as EC2 does
DefaultDependencies=no
Before=windlass-boot.service
ConditionPathExists=/sys/class/nvme/nvme0

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'for model in /sys/class/nvme*/*/model; do mount --bind /etc/lab-model $$model; done'
";

/// Raised when what is written below changes.
pub const RECIPE: &str = "3";

/// Writes it all below `root`; `base` is the tree that lies under it, `authority` what vouches for
/// AWS' names, PEM.
pub fn install(base: &Path, root: &Path, authority: &str) -> Result<()> {
    let put = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    // What dhclient or systemd-resolved would make of the lease.
    put("etc/resolv.conf", &format!("nameserver {RESOLVER}\n"))?;
    trust(base, authority, &put)?;
    put("etc/systemd/journald.conf.d/lab.conf", "[Journal]\nStorage=volatile\n")?;
    put("etc/systemd/system/lab-journal.service", JOURNAL)?;
    put("etc/udev/rules.d/70-lab.rules", JOURNAL_RULE)?;
    put("etc/lab-model", MODEL)?;
    put("etc/systemd/system/lab-names.service", NAMES)?;
    let units = root.join("etc/systemd/system");
    fs::create_dir_all(units.join("sysinit.target.wants"))?;
    symlink("../lab-names.service", units.join("sysinit.target.wants/lab-names.service"))?;
    for unit in MASKED {
        symlink("/dev/null", units.join(unit))?;
    }
    symlink("/lib/systemd/system/multi-user.target", units.join("default.target"))?;
    Ok(())
}
