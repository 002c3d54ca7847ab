//! The kernel: there, with what pods, their network and EC2's devices need.

use std::collections::BTreeSet;

use super::{Examination, Version};

/// The first with all of control groups' version 2 that kubelet needs.
///
/// Source: "About cgroup v2" (Kubernetes documentation).
const OLDEST: Version = Version(5, 8, 0);

/// Modules, as modules.dep(5) and modules.builtin call them, and who needs them.
const MODULES: [(&str, &str); 17] = [
    ("overlay", "containerd's snapshots"),
    ("veth", "pods' interfaces"),
    ("bridge", "the pods' bridge"),
    ("br_netfilter", "services between pods of one node"),
    ("nf_tables", "windlass' packet filter"),
    ("nft_masq", "windlass' masquerade"),
    ("nft_chain_nat", "windlass' masquerade"),
    ("nf_nat", "windlass' masquerade"),
    ("nf_conntrack", "windlass' masquerade"),
    ("nft_ct", "kube-proxy's nftables mode"),
    ("nft_fib", "kube-proxy's nftables mode"),
    ("nft_fib_inet", "kube-proxy's nftables mode"),
    ("nft_numgen", "kube-proxy's nftables mode"),
    ("nft_reject_inet", "kube-proxy's nftables mode"),
    ("ena", "the network of instances on Nitro"),
    ("nvme", "the disks of instances on Nitro"),
    ("nvme_core", "the disks of instances on Nitro"),
];

/// What can only be built in.
///
/// Source: "System validation" of kubeadm for what kubelet needs.
const FEATURES: [(&str, &str); 9] = [
    ("NAMESPACES", "containers"),
    ("NET_NS", "containers"),
    ("PID_NS", "containers"),
    ("SECCOMP_FILTER", "runc"),
    ("MEMCG", "kubelet's memory limits"),
    ("CGROUP_PIDS", "kubelet's process limits"),
    ("CPUSETS", "kubelet's CPU manager"),
    ("CFS_BANDWIDTH", "kubelet's CPU limits"),
    ("NF_TABLES_INET", "windlass' packet filter, of the family inet"),
];

pub(super) fn check(examination: &mut Examination<'_>) {
    let mut kernels = examination.tree.list("/lib/modules");
    kernels.retain(|kernel| examination.exists(&format!("/lib/modules/{kernel}/modules.dep")));
    if kernels.is_empty() {
        let package = match examination.base {
            super::Base::Debian => {
                format!("linux-image-cloud-{}", examination.tree.architecture)
            }
            super::Base::Ubuntu => "linux-aws".to_owned(),
            super::Base::AmazonLinux2023 | super::Base::Other => "kernel".to_owned(),
        };
        let hint = examination.base.install(&package);
        examination.problem("the image has no kernel: /lib/modules has none", hint);
    }
    for kernel in kernels {
        if kernel.parse::<Version>().is_ok_and(|version| version < OLDEST) {
            let message = format!("the kernel {kernel} is older than {OLDEST}");
            examination.problem(message, "take a later release of the distribution");
        }
        check_modules(examination, &kernel);
        check_features(examination, &kernel);
    }
}

fn check_modules(examination: &mut Examination<'_>, kernel: &str) {
    let text = |name| examination.text(&format!("/lib/modules/{kernel}/{name}"));
    let (dep, builtin) = (text("modules.dep"), text("modules.builtin"));
    let there: BTreeSet<String> = dep
        .lines()
        .filter_map(|line| line.split_once(':').map(|(path, _)| path))
        .chain(builtin.lines())
        .map(module)
        .collect();
    for (name, who) in MODULES.iter().filter(|(name, _)| !there.contains(*name)) {
        let message = format!("the kernel {kernel} has no `{name}`, which is for {who}");
        let hint = "a package of extra modules may have it (kernel-modules-extra, \
                    linux-modules-extra-aws)";
        examination.problem(message, hint);
    }
}

/// `kernel/net/bridge/br_netfilter.ko.xz` → `br_netfilter`.
fn module(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split(".ko").next().unwrap_or(name).replace('-', "_")
}

fn check_features(examination: &mut Examination<'_>, kernel: &str) {
    let places = [format!("/boot/config-{kernel}"), format!("/lib/modules/{kernel}/config")];
    let Some(place) = places.iter().find(|place| examination.exists(place)) else {
        let message = format!("what the kernel {kernel} was built with is nowhere to be read");
        return examination.advise(message, format!("wanted {} or {}", places[0], places[1]));
    };
    let text = examination.text(place);
    let set: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("CONFIG_")?.strip_suffix("=y")).collect();
    for (name, who) in FEATURES.iter().filter(|(name, _)| !set.contains(name)) {
        let message = format!("the kernel {kernel} is without CONFIG_{name}, which is for {who}");
        examination.problem(message, "take the distribution's kernel for clouds");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_known_however_it_is_packed() {
        for path in [
            "kernel/net/bridge/br_netfilter.ko",
            "kernel/net/bridge/br_netfilter.ko.xz",
            "kernel/net/bridge/br-netfilter.ko.zst",
        ] {
            assert_eq!(module(path), "br_netfilter");
        }
    }
}
