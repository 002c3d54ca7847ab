//! Small trees laid out like Debian 12, Ubuntu 24.04 and Amazon Linux 2023: their paths, not their
//! files. They are baked with programs that are ELF headers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::super::super::elf::tests::program;
use super::super::super::tree::tests::{bare, write};
use super::super::super::{Architecture, Description, Options, bake};
use super::super::*;
use crate::converge::files::tests::Scratch;
use crate::facts::observe::IMAGE;

pub const KERNEL: &str = "6.1.0-50-cloud-amd64";

/// What `lib/modules/KERNEL/modules.dep` of Debian's kernel for clouds names, of what is looked for.
pub const MODULES: [&str; 14] = [
    "kernel/fs/overlayfs/overlay.ko:",
    "kernel/drivers/net/veth.ko:",
    "kernel/net/bridge/bridge.ko: kernel/net/llc/llc.ko",
    "kernel/net/bridge/br_netfilter.ko: kernel/net/bridge/bridge.ko",
    "kernel/net/netfilter/nf_tables.ko: kernel/net/netfilter/nfnetlink.ko",
    "kernel/net/netfilter/nft_masq.ko:",
    "kernel/net/netfilter/nft_chain_nat.ko:",
    "kernel/net/netfilter/nf_nat.ko:",
    "kernel/net/netfilter/nft_ct.ko:",
    "kernel/net/netfilter/nft_fib.ko:",
    "kernel/net/netfilter/nft_fib_inet.ko:",
    "kernel/net/netfilter/nft_numgen.ko:",
    "kernel/net/netfilter/nft_reject_inet.ko:",
    "kernel/drivers/net/ethernet/amazon/ena/ena.ko.xz:",
];

const BUILT_IN: &str = "kernel/net/netfilter/nf_conntrack.ko\n\
                        kernel/drivers/nvme/host/nvme-core.ko\n\
                        kernel/drivers/nvme/host/nvme.ko\n";

pub const CONFIGURATION: &str = "CONFIG_NAMESPACES=y\nCONFIG_NET_NS=y\nCONFIG_PID_NS=y\n\
                             CONFIG_SECCOMP_FILTER=y\nCONFIG_MEMCG=y\nCONFIG_CGROUP_PIDS=y\n\
                             CONFIG_CPUSETS=y\nCONFIG_CFS_BANDWIDTH=y\nCONFIG_NF_TABLES_INET=y\n";

const PAUSE: &str = "registry.k8s.io/pause:3.10.1";

/// A baked tree in which nothing is wrong.
pub struct Sound {
    _scratch: Scratch,
    pub tree: Tree,
}

impl Sound {
    pub async fn new(name: &str, base: Base) -> Self {
        let (scratch, tree) = bare(name);
        let sound = Self { _scratch: scratch, tree };
        sound.lay_out(base);
        sound.bake().await;
        sound
    }

    pub fn write(&self, path: &str, contents: &str) {
        write(&self.place(path), contents.as_bytes());
    }

    pub fn place(&self, path: &str) -> PathBuf {
        self.tree.root().join(&path[1..])
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.place(path)).expect("it was there");
    }

    /// A unit of the distribution's, wanted by `target`.
    pub fn enable(&self, target: &str, unit: &str) {
        self.write(&format!("/usr/lib/systemd/system/{unit}"), "[Unit]\n");
        let folder = self.place(&format!("/etc/systemd/system/{target}.wants"));
        fs::create_dir_all(&folder).expect("a folder");
        // As `systemctl enable` writes it: a path of the image.
        symlink(format!("/lib/systemd/system/{unit}"), folder.join(unit)).expect("a link");
    }

    fn lay_out(&self, base: Base) {
        fs::create_dir_all(self.place("/usr/lib")).expect("a folder");
        symlink("usr/lib", self.place("/lib")).expect("a link");
        let programs = ["nft", "mount", "findmnt", "modprobe", "conntrack"];
        let storage = ["blkid", "mkfs.xfs", "mdadm"];
        for program in programs.into_iter().chain(storage) {
            self.write(&format!("/usr/sbin/{program}"), "a program");
        }
        self.write("/etc/machine-id", "");
        let modules = MODULES.join("\n") + "\n";
        self.write(&format!("/usr/lib/modules/{KERNEL}/modules.dep"), &modules);
        self.write(&format!("/usr/lib/modules/{KERNEL}/modules.builtin"), BUILT_IN);
        let dpkg = "Package: libc6\nVersion: 2.36\n\nPackage: nftables\nStatus: install ok installed\n\
                    Version: 1.0.6-2+deb12u2\n\nPackage: zlib1g\nVersion: 1:1.2\n";
        match base {
            Base::Debian => {
                self.write("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
                self.write("/var/lib/dpkg/status", dpkg);
                self.write(&format!("/boot/config-{KERNEL}"), CONFIGURATION);
                self.write("/usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-252.so", "");
                self.enable("multi-user.target", "systemd-networkd.service");
                self.write("/etc/systemd/network/80-ec2.network", "[Match]\n");
                self.enable("sysinit.target", "systemd-timesyncd.service");
            }
            Base::Ubuntu => {
                self.write("/usr/lib/os-release", "ID=ubuntu\nVERSION_ID=\"24.04\"\n");
                symlink("../usr/lib/os-release", self.place("/etc/os-release")).expect("a link");
                self.write("/var/lib/dpkg/status", dpkg);
                self.write(&format!("/boot/config-{KERNEL}"), CONFIGURATION);
                self.write("/usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-255.so", "");
                self.enable("multi-user.target", "systemd-networkd.service");
                self.write("/etc/netplan/50-cloud-init.yaml", "network:\n");
                self.enable("multi-user.target", "chrony.service");
            }
            Base::AmazonLinux2023 | Base::Other => {
                self.write("/etc/os-release", "ID=\"amzn\"\nVERSION_ID=\"2023\"\n");
                self.write(&format!("/usr/lib/modules/{KERNEL}/config"), CONFIGURATION);
                let library = "/usr/lib64/systemd/libsystemd-shared-252.23-2.amzn2023.so";
                self.write(library, "");
                self.enable("multi-user.target", "systemd-networkd.service");
                self.write("/usr/lib/systemd/network/80-ec2.network", "[Match]\n");
                self.enable("multi-user.target", "chronyd.service");
            }
        }
    }

    /// With the sandbox's image in the store as far as a check looks.
    pub async fn bake(&self) {
        let beside = self.tree.root().with_file_name("beside");
        let mut text = "kubernetes = \"v1.37.2\"\n".to_owned();
        for (name, version) in [
            ("windlass", "v0.1.0"),
            ("kubelet", "v1.37.2"),
            ("containerd", "v2.4.2"),
            ("containerd-shim-runc-v2", "v2.4.2"),
            ("runc", "v1.5.2"),
            ("bridge", "v1.9.1"),
            ("host-local", "v1.9.1"),
            ("loopback", "v1.9.1"),
            ("portmap", "v1.9.1"),
        ] {
            write(&beside.join(name), &program(Architecture::Amd64, name));
            text += &format!(
                "[[binary]]\nname = \"{name}\"\nfrom = \"{name}\"\nversion = \"{version}\"\n"
            );
        }
        let description = Description::parse(&text, &beside).expect("right");
        bake(&self.tree, &description, &Options::default()).await.expect("baked");
        let mut inventory = Inventory::read(&self.tree).expect("read").expect("there");
        inventory.images.insert(PAUSE.to_owned(), "sha256:abc".to_owned());
        self.write(IMAGE, &inventory.text().expect("JSON"));
        self.write("/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/abc", "{}");
    }

    pub fn found(&self) -> Vec<String> {
        self.found_with(None)
    }

    pub fn found_with(&self, api_server: Option<&str>) -> Vec<String> {
        let api_server = api_server.map(|version| version.parse().expect("a version"));
        let findings = examine(&self.tree, api_server);
        let said = |finding: Finding| match finding.severity {
            Severity::Problem => format!("{}: {}", finding.check, finding.message),
            Severity::Advice => format!("({}: {})", finding.check, finding.message),
        };
        findings.into_iter().map(said).collect()
    }
}
