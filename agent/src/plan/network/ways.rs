//! Which way packets go: to this node's pods, to the other nodes' pods, and, where there is more
//! than one ENI, back by the interface that they belong to.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Packets, Route, Rule, Way};
use crate::config::NodeConfig;
use crate::facts::Facts;

const MAIN: u32 = 254;

/// What leaves by the primary interface whatever the table `main` says; the number is ours.
const PRIMARY: u32 = 0x57;

/// Above the kernel's own routes to a bridge (0 for IPv4, 256 for IPv6), so that this one counts
/// only where there is no bridge.
const BLACKHOLE_METRIC: u32 = 4096;

const ROUTER_METRIC: u32 = 512;

/// Before the table `main` (32766), and before what amazon-ec2-net-utils and systemd-networkd make
/// for other interfaces (10000 and up).
const TO_PODS_PRIORITY: u32 = 1087;
const FROM_PRIORITY: u32 = 1107;

/// The VPC sends everything for this node's pod CIDRs here. Without a route of their own, packets
/// for pods that are gone would go back to the VPC's router, and round. All other pods are behind
/// that router.
pub(super) fn routes(facts: &Facts, config: &NodeConfig, pod_cidrs: &[IpNet]) -> BTreeSet<Route> {
    let own = pod_cidrs.iter().map(|cidr| Route {
        destination: *cidr,
        table: MAIN,
        way: Way::Blackhole,
        metric: BLACKHOLE_METRIC,
    });
    let others = config.network.pods.iter().filter_map(|pods| through_router(facts, *pods, MAIN));
    own.chain(others).chain(primary_table(facts)).collect()
}

/// With one ENI there is one way out. With more, `main` may send a pod's packet to the subnet of
/// another ENI by that one, which drops what is not from its own address (its source/destination
/// check is on); so each family of what belongs to the primary one has a table of its own. What is
/// for this node's pods is looked up in `main` before, since that has the bridge.
///
/// The other ENIs' own addresses are those of whoever attached them: amazon-ec2-net-utils,
/// cloud-init or systemd-networkd has rules for them.
pub(super) fn rules(facts: &Facts, pod_cidrs: &[IpNet]) -> BTreeSet<Rule> {
    if facts.host.other_interfaces.is_empty() {
        return BTreeSet::new();
    }
    let to_pods = pod_cidrs.iter().map(|cidr| Rule {
        priority: TO_PODS_PRIORITY,
        packets: Packets::To(*cidr),
        table: MAIN,
    });
    let own = [Some(facts.instance.private_ip), facts.instance.ipv6.map(IpAddr::V6)];
    let own = own.into_iter().flatten().map(IpNet::from);
    let from = pod_cidrs.iter().copied().chain(own).map(|cidr| Rule {
        priority: FROM_PRIORITY,
        packets: Packets::From(cidr),
        table: PRIMARY,
    });
    to_pods.chain(from).collect()
}

fn primary_table(facts: &Facts) -> Vec<Route> {
    if facts.host.other_interfaces.is_empty() {
        return Vec::new();
    }
    let subnet = Route {
        destination: facts.instance.subnet_cidr.trunc(),
        table: PRIMARY,
        way: Way::Out {
            interface: facts.host.interface.clone(),
            gateway: None,
            source: Some(facts.instance.private_ip),
            mtu_bytes: None,
        },
        metric: ROUTER_METRIC,
    };
    let everything = ["0.0.0.0/0", "::/0"].map(|all| all.parse().expect("a CIDR"));
    let out = everything.into_iter().filter_map(|all| through_router(facts, all, PRIMARY));
    out.chain([subnet]).collect()
}

/// IPv4: the router has the second address of each subnet ("Subnet CIDR blocks", Amazon VPC User
/// Guide). IPv6: it says by router advertisements where it is; until the kernel has heard it there
/// is no such route, and no default route either.
fn through_router(facts: &Facts, destination: IpNet, table: u32) -> Option<Route> {
    let (gateway, source) = match destination {
        IpNet::V4(_) => (second(facts.instance.subnet_cidr)?, facts.instance.private_ip),
        IpNet::V6(_) => (facts.host.ipv6_router?.into(), facts.instance.ipv6?.into()),
    };
    let way = Way::Out {
        interface: facts.host.interface.clone(),
        gateway: Some(gateway),
        source: Some(source),
        mtu_bytes: Some(facts.host.mtu),
    };
    Some(Route { destination, table, way, metric: ROUTER_METRIC })
}

fn second(subnet: IpNet) -> Option<IpAddr> {
    match subnet.network() {
        IpAddr::V4(first) => Some(IpAddr::V4((u32::from(first).checked_add(1)?).into())),
        IpAddr::V6(_) => None,
    }
}
