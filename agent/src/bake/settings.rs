//! The files that windlass itself writes into an image besides units: kernel settings, modules,
//! containerd's base configuration, empty folders that others look into.

use std::fmt::Write as _;

use super::containerd;
use super::description::Containerd;
use crate::plan::kernel::{MACHINE, NETWORK};

/// What containerd's snapshots and a bridge's packet filter need before anybody asks for it; and what the
/// kernel would load in the middle of a boot, when `nft` names it, each by a program of its own.
const MODULES: &str = "\
# Written by `windlass bake`: modules that a node needs before its first pod.
overlay
br_netfilter
nft_chain_nat
nft_masq
";

/// kubelet wants its folder of fragments to be there, empty or not; containerd reads a registry's
/// mirrors below `certs.d` at each pull; systemd wants those that windlass-boot.service may write to.
pub const FOLDERS: [&str; 6] = [
    "/etc/kubernetes/kubelet.conf.d",
    "/etc/containerd/conf.d",
    "/etc/containerd/certs.d",
    "/etc/cni/net.d",
    "/etc/systemd/networkd.conf.d",
    "/var/lib/kubelet",
];

/// Path → contents.
pub fn files(containerd: &Containerd) -> [(&'static str, String); 3] {
    [
        ("/etc/modules-load.d/windlass.conf", MODULES.to_owned()),
        ("/etc/sysctl.d/90-windlass.conf", sysctls()),
        (containerd::PLACE, containerd::configuration(containerd)),
    ]
}

/// The settings that a boot plans for every node, from the same list, so that it finds them made.
/// What depends on the cluster is the boot's alone.
fn sysctls() -> String {
    let mut text = "\
# Written by `windlass bake`: what `windlass boot` would set, from before the first service on.
# `-`: where one cannot be set (a container), the boot says what is missing.
"
    .to_owned();
    for (name, value) in MACHINE.iter().chain(&NETWORK) {
        let _ = writeln!(text, "-{name} = {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubelet_insists_on_is_set_before_it_starts() {
        let text = sysctls();
        // `protectKernelDefaults` of KubeletConfiguration v1beta1.
        for setting in [
            "vm.overcommit_memory = 1",
            "vm.panic_on_oom = 0",
            "kernel.panic = 10",
            "kernel.panic_on_oops = 1",
            "kernel.keys.root_maxkeys = 1000000",
            "kernel.keys.root_maxbytes = 25000000",
            "net.ipv4.ip_forward = 1",
        ] {
            assert!(text.contains(&format!("-{setting}\n")), "{setting} in {text}");
        }
    }
}
