//! Kernel settings that pods and kubelet need.

use ipnet::IpNet;

use crate::config::NodeConfig;
use crate::facts::Facts;

use super::HostPlan;

/// Packets are forwarded between the ENI and the pods' bridge, and those between pods of one bridge
/// pass the packet filter as kube-proxy's rules want it.
pub const NETWORK: [(&str, &str); 3] = [
    ("net.bridge.bridge-nf-call-ip6tables", "1"),
    ("net.bridge.bridge-nf-call-iptables", "1"),
    ("net.ipv4.ip_forward", "1"),
];

/// What kubelet's `protectKernelDefaults` insists on, and room for the watches of 110 pods.
///
/// Source: "Configure Linux kernel settings" in kubelet's container manager (k8s.io/kubernetes,
/// pkg/util/sysctl).
pub const MACHINE: [(&str, &str); 8] = [
    ("fs.inotify.max_user_instances", "8192"),
    ("fs.inotify.max_user_watches", "524288"),
    ("kernel.keys.root_maxbytes", "25000000"),
    ("kernel.keys.root_maxkeys", "1000000"),
    ("kernel.panic", "10"),
    ("kernel.panic_on_oops", "1"),
    ("vm.overcommit_memory", "1"),
    ("vm.panic_on_oom", "0"),
];

pub(super) fn plan(plan: &mut HostPlan, facts: &Facts, config: &NodeConfig) {
    plan_network(plan, facts, config);
    // A container has its own network, but its host's kernel for the rest.
    if !facts.host.container {
        for (name, value) in MACHINE {
            plan.sysctls.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Those of them that make pods' packets go anywhere.
pub(super) fn plan_network(plan: &mut HostPlan, facts: &Facts, config: &NodeConfig) {
    let mut set = |name: &str, value: &str| {
        plan.sysctls.insert(name.to_owned(), value.to_owned());
    };
    for (name, value) in NETWORK {
        set(name, value);
    }
    if config.network.pods.iter().any(|pods| matches!(pods, IpNet::V6(_))) {
        set("net.ipv6.conf.all.forwarding", "1");
        // A host that forwards no longer listens to router advertisements, and the VPC's router
        // says by them where the default route goes: 2 overrules that.
        let interface = facts.host.interface.replace('.', "/");
        set(&format!("net.ipv6.conf.{interface}.accept_ra"), "2");
    }
    // With several ENIs a packet may come in by another than its answer leaves by; strict filtering
    // (1) would drop it. The greater of this and the setting of `all` counts.
    let interfaces = [&facts.host.interface].into_iter().chain(&facts.host.other_interfaces);
    for interface in interfaces.filter(|_| !facts.host.other_interfaces.is_empty()) {
        set(&format!("net.ipv4.conf.{}.rp_filter", interface.replace('.', "/")), "2");
    }
}
