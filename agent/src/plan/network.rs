//! The pods' network on this host: the CNI configuration and the node's own pod CIDRs.

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::config::{NodeConfig, Problem, Problems, overlap};
use crate::facts::Facts;

use super::{HostPlan, ROUTE_PROTOCOL, Route, RouteKind, pretty};

/// 10: sorts before what a package may bring; containerd takes the first.
const CONFLIST: &str = "/etc/cni/net.d/10-windlass.conflist";

/// The bridge that pods hang on.
const BRIDGE: &str = "cni0";

/// In memory: after a restart of the machine no pod has its address any more, and what host-local
/// would remember on disk of those that were killed would never be given out again.
const LEASED_ADDRESSES: &str = "/run/cni-ipam-state";

const TABLE_MAIN: u32 = 254;

/// Above the kernel's own routes to a bridge (0 for IPv4, 256 for IPv6), so that this one counts
/// only where there is no bridge.
const BLACKHOLE_METRIC: u32 = 4096;

pub(super) fn plan(plan: &mut HostPlan, facts: &Facts, pod_cidrs: &[IpNet]) {
    plan.write(CONFLIST, 0o644, pretty(&conflist(pod_cidrs, facts.host.mtu)));
    // The VPC sends everything for these CIDRs here. Without a route of their own, packets for
    // pods that are gone would go back to the VPC's router, and round.
    plan.routes.extend(pod_cidrs.iter().map(|cidr| Route {
        destination: *cidr,
        kind: RouteKind::Blackhole,
        table: TABLE_MAIN,
        protocol: ROUTE_PROTOCOL,
        metric: BLACKHOLE_METRIC,
    }));
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

/// What only the instance can see to be wrong with the configured network.
pub(super) fn fits_the_vpc(facts: &Facts, config: &NodeConfig) -> Result<(), Problems> {
    let mut problems = Problems::of("configuration");
    let (instance, network) = (&facts.instance, &config.network);
    if instance.region != config.cluster.region {
        let (found, wanted) = (&config.cluster.region, &instance.region);
        let message = format!("is `{found}`, but this instance is in `{wanted}`");
        problems.add(Problem::new("cluster.region", message));
    }
    let named = [("network.pods", &network.pods), ("network.services", &network.services)];
    for (key, cidr) in
        named.into_iter().flat_map(|(key, all)| all.iter().map(move |one| (key, one)))
    {
        for vpc in instance.vpc_cidrs.iter().filter(|vpc| overlap(vpc, cidr)) {
            let message = format!("has `{cidr}`, which overlaps the VPC's `{vpc}`");
            let hint = "a VPC routes its own CIDRs by itself; take others";
            problems.add(Problem::new(key, message).hint(hint));
        }
    }
    let ipv6_pods = network.pods.iter().find(|pods| matches!(pods, IpNet::V6(_)));
    if let Some(pods) = ipv6_pods.filter(|_| instance.ipv6.is_none()) {
        let message = format!("has `{pods}`, but this instance has no IPv6 address");
        let hint = "assign IPv6 addresses in the subnet or the launch template";
        problems.add(Problem::new("network.pods", message).hint(hint));
    }
    problems.unless_any(Some(()))
}
