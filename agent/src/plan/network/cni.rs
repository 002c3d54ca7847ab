//! What containerd does for each pod that it starts: the CNI configuration.

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::facts::Facts;

use super::super::{HostPlan, pretty};
use super::BRIDGE;

/// 10: sorts before what a package may bring; containerd takes the first.
const CONFLIST: &str = "/etc/cni/net.d/10-windlass.conflist";

/// In memory: after a restart of the machine no pod has its address any more, and what host-local
/// would remember on disk of those that were killed would never be given out again.
const LEASED_ADDRESSES: &str = "/run/cni-ipam-state";

/// Written only when the pod CIDRs are granted: kubelet is not Ready before it is there.
pub(super) fn plan(plan: &mut HostPlan, facts: &Facts, pod_cidrs: &[IpNet]) {
    plan.write(CONFLIST, 0o644, pretty(&conflist(pod_cidrs, facts.host.mtu)));
}

/// The reference plugins. containerd sets up `lo` itself, so that it is not in the list. Nothing is
/// masqueraded here: pods' addresses are real in the VPC.
///
/// Source: "bridge plugin", "host-local IP address management plugin" and "Port-mapping plugin"
/// (CNI plugins documentation).
fn conflist(pod_cidrs: &[IpNet], mtu: u32) -> Value {
    let ranges: Vec<_> = pod_cidrs.iter().map(|cidr| json!([{ "subnet": cidr }])).collect();
    let routes: Vec<_> = pod_cidrs.iter().map(|cidr| json!({ "dst": everything(cidr) })).collect();
    json!({
        "cniVersion": "1.0.0",
        "name": "windlass",
        "plugins": [
            {
                "type": "bridge",
                "bridge": BRIDGE,
                "isGateway": true,
                // A pod may reach itself through a Service.
                "hairpinMode": true,
                "ipMasq": false,
                "mtu": mtu,
                "ipam": {
                    "type": "host-local",
                    "dataDir": LEASED_ADDRESSES,
                    "ranges": ranges,
                    "routes": routes,
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
}

fn everything(cidr: &IpNet) -> &'static str {
    match cidr {
        IpNet::V4(_) => "0.0.0.0/0",
        IpNet::V6(_) => "::/0",
    }
}
