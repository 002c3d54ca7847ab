//! A namespace with what an instance has, and the network that is planned for it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::net::IpAddr;
use std::str::FromStr;

use windlass::host::Machine;
use windlass::plan::network::{PacketFilter, Packets, PodNetwork, Route, Rule, Way};

use crate::{ip, ip_batch, nft};

pub const MAIN: u32 = 254;
pub const PRIMARY: u32 = 0x57;

/// The first ENI, with the addresses that DHCP gives it.
pub fn one_eni() {
    ip_batch(
        "link set lo up\n\
         link add ens5 mtu 9001 type veth peer name router mtu 9001\n\
         link set router up\n",
    );
    configure();
}

/// What systemd-networkd does with the first ENI.
pub fn configure() {
    ip_batch(
        "link set ens5 up\n\
         addr add 10.0.1.5/24 dev ens5\n\
         addr add 2001:db8:0:1::5/64 dev ens5 nodad\n\
         route add default via 10.0.1.1 dev ens5 proto dhcp metric 1024\n",
    );
}

/// A second one, in another subnet.
pub fn two_enis() {
    one_eni();
    ip_batch(
        "link add ens6 mtu 9001 type veth peer name router6 mtu 9001\n\
         link set router6 up\nlink set ens6 up\naddr add 10.0.2.5/24 dev ens6\n",
    );
}

/// The bridge that the first pod brings.
pub fn bridge() {
    ip_batch(
        "link add cni0 type bridge\nlink set cni0 up\n\
         addr add 10.64.3.1/24 dev cni0\naddr add fd00:64:0:3::1/64 dev cni0 nodad\n",
    );
}

/// Of a dual-stack node with one ENI.
pub fn network() -> PodNetwork {
    let routes = [
        blackhole("10.64.3.0/24"),
        blackhole("fd00:64:0:3::/64"),
        through("10.64.0.0/14", "10.0.1.1", "10.0.1.5", MAIN),
        through("fd00:64::/56", "fe80::1", "2001:db8:0:1::5", MAIN),
    ];
    PodNetwork { routes: BTreeSet::from(routes), rules: BTreeSet::new() }
}

/// The packet filter of either node.
pub fn filter() -> PacketFilter {
    PacketFilter {
        closed: vec![address("169.254.169.254"), address("fd00:ec2::254")],
        direct: ["10.0.0.0/16", "10.1.0.0/16", "10.64.0.0/14", "fd00:64::/56"].map(cidr).to_vec(),
        masqueraded: ["10.64.0.0/14", "fd00:64::/56"].map(cidr).to_vec(),
    }
}

/// The same with two ENIs.
pub fn network_of_two() -> PodNetwork {
    let mut network = network();
    network.routes.insert(through("0.0.0.0/0", "10.0.1.1", "10.0.1.5", PRIMARY));
    network.routes.insert(through("::/0", "fe80::1", "2001:db8:0:1::5", PRIMARY));
    let way = Way::Out {
        interface: "ens5".into(),
        gateway: None,
        source: Some(address("10.0.1.5")),
        mtu_bytes: None,
    };
    let subnet = Route { destination: cidr("10.0.1.0/24"), table: PRIMARY, way, metric: 512 };
    network.routes.insert(subnet);
    for own in ["10.64.3.0/24", "fd00:64:0:3::/64"] {
        network.rules.insert(Rule { priority: 1087, packets: Packets::To(cidr(own)), table: MAIN });
    }
    for own in ["10.64.3.0/24", "fd00:64:0:3::/64", "10.0.1.5/32", "2001:db8:0:1::5/128"] {
        let packets = Packets::From(cidr(own));
        network.rules.insert(Rule { priority: 1107, packets, table: PRIMARY });
    }
    network
}

pub fn blackhole(destination: &str) -> Route {
    Route { destination: cidr(destination), table: MAIN, way: Way::Blackhole, metric: 4096 }
}

pub fn through(destination: &str, gateway: &str, source: &str, table: u32) -> Route {
    let way = Way::Out {
        interface: "ens5".into(),
        gateway: Some(address(gateway)),
        source: Some(address(source)),
        mtu_bytes: Some(9001),
    };
    Route { destination: cidr(destination), table, way, metric: 512 }
}

pub fn cidr<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("a CIDR")
}

pub fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Everything in the namespace that is not Windlass', as `ip` and `nft` list it: to be the same
/// before and after.
pub fn foreign() -> Vec<String> {
    let listed = ["-4 route show table all", "-4 rule", "-6 rule"].map(ip);
    let ipv6_routes = ip("-6 route show table all");
    // The kernel adds these of IPv6 by itself, a moment after a link is up.
    let late = |line: &&str| {
        line.contains(" proto kernel ") && (line.contains("fe80::") || line.contains("table local"))
    };
    let settled = ipv6_routes.lines().filter(|line| !late(line));
    let lines = listed.iter().flat_map(|all| all.lines()).chain(settled);
    let theirs = |line: &&str| !line.contains(" proto 87 ") && !line.ends_with(" proto 87");
    let lines = lines.filter(theirs);
    let mut foreign: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
    let tables = nft("list tables");
    for table in tables.lines().filter(|it| *it != "table inet windlass") {
        foreign.push(nft(&format!("list {table}")));
    }
    foreign
}

/// What is Windlass', sorted.
pub async fn ours(wanted: &PodNetwork) -> (Vec<Route>, Vec<Rule>) {
    let mut ways = Machine::this().ways(wanted).await.expect("ways");
    ways.routes.sort();
    ways.rules.sort();
    (ways.routes, ways.rules)
}

/// What is planned, as [`ours`] has it where nobody is in the way.
pub fn planned(wanted: &PodNetwork) -> (Vec<Route>, Vec<Rule>) {
    (wanted.routes.iter().cloned().collect(), wanted.rules.iter().cloned().collect())
}
