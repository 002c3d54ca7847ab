//! The router's decisions as the kernel's: a plan of rules, routes and checks, and the commands
//! that lead from one plan to the next. Pure: it runs nothing.
//!
//! Each route table is a table of the kernel, which the interfaces of its subnets look up first
//! (`ip rule … iif`). The longest prefix wins there, as in a VPC. A local route is a `throw`: the
//! lookup goes on in the main table, which has a route for each address of an interface. A packet
//! that is to be dropped is routed to an interface that is named for the reason, where
//! [`super::checks`] counts it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::neighbours::Neighbours;
use super::router::Attachment;
use super::vpc::{Hop, Network};

/// Reasons for which packets are dropped on their way, and interfaces that end there.
pub const ABSENT: &str = "absent";
pub const BLACKHOLE: &str = "blackhole";
pub const NO_ROUTE: &str = "no-route";
/// Where packets leave the VPC, and the one host there.
pub const OUTSIDE: &str = "outside";
pub const OUTSIDE_HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
pub const OUTSIDE_HOST_IPV6: Ipv6Addr = Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0x10);

const MAIN: u32 = 254;
/// What is looked up last: an address in the VPC that no interface has.
const LAST: u32 = 99;
/// Numbers of the kernel's tables for route tables begin here.
const FIRST_TABLE: u32 = 1000;
/// Before the main table's rule (32766), and behind it.
const BEFORE_MAIN: u32 = 1000;
const BEHIND_MAIN: u32 = 40_000;

/// The kernel's table of each route table; a number is not used again.
#[derive(Clone, Debug, Default)]
pub struct Numbers(BTreeMap<String, u32>);

/// What the router's kernel is to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Which table is looked up for what comes from an interface.
    rules: BTreeSet<(String, u32)>,
    /// By table and destination: `dev blackhole`.
    routes: BTreeMap<(u32, IpNet), String>,
    neighbours: Neighbours,
    /// Interfaces that may only use their own addresses, with these.
    pub checked: BTreeMap<String, Vec<IpAddr>>,
    /// Interfaces that may use any.
    pub unchecked: BTreeSet<String>,
    /// Addresses of interfaces: an internet gateway knows no others.
    pub addresses: BTreeSet<IpAddr>,
}

/// Lines for `ip -batch`, by family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub v4: String,
    pub v6: String,
}

impl Plan {
    /// For machines that are wired. Without a network every interface reaches every other one
    /// directly, each under its own address.
    pub fn of(
        wired: &BTreeMap<String, Attachment>,
        network: Option<&Network>,
        numbers: &mut Numbers,
    ) -> Self {
        let neighbours = Neighbours::of(wired, network);
        let mut plan = Self { neighbours, ..Self::default() };
        for everything in everywhere() {
            plan.routes.insert((LAST, everything), format!("dev {ABSENT}"));
        }
        plan.rules.insert((OUTSIDE.to_owned(), LAST));
        for (instance, port) in wired {
            let device = port.router_interface();
            let interface = network.and_then(|network| network.interfaces.get(instance));
            let addresses = addresses(network, port);
            plan.addresses.extend(&addresses);
            for address in &addresses {
                plan.routes.insert((MAIN, IpNet::from(*address)), to(port, *address));
            }
            if network.is_some() {
                plan.rules.insert((device.clone(), LAST));
            }
            if let Some(interface) = interface {
                plan.rules.insert((device.clone(), numbers.of(&interface.table)));
            }
            if interface.is_some_and(|interface| !interface.source_dest_check) {
                plan.unchecked.insert(device);
            } else {
                plan.checked.insert(device, addresses);
            }
        }
        for (table, routes) in network.into_iter().flat_map(|network| &network.tables) {
            plan.add_table(numbers.of(table), routes, wired);
        }
        plan
    }

    fn add_table(
        &mut self,
        number: u32,
        routes: &[(IpNet, Hop)],
        wired: &BTreeMap<String, Attachment>,
    ) {
        for everything in everywhere() {
            self.routes.insert((number, everything), format!("dev {NO_ROUTE}"));
        }
        for (destination, hop) in routes {
            let way = match hop {
                Hop::Local => "throw".to_owned(),
                Hop::InternetGateway => match destination {
                    IpNet::V4(_) => format!("via {OUTSIDE_HOST} dev {OUTSIDE} onlink"),
                    IpNet::V6(_) => format!("via {OUTSIDE_HOST_IPV6} dev {OUTSIDE} onlink"),
                },
                Hop::Blackhole => format!("dev {BLACKHOLE}"),
                // A machine that is off is no way either.
                Hop::Instance(id) => match wired.get(id) {
                    Some(port) => to(port, destination.addr()),
                    None => format!("dev {BLACKHOLE}"),
                },
            };
            self.routes.insert((number, *destination), way);
        }
    }

    /// What to run to come here from `before`. New comes before old goes, and a route is replaced
    /// in one step: no packet meets a moment without.
    pub fn since(&self, before: &Self) -> Batch {
        let mut batch = Batch::default();
        for ((table, destination), way) in &self.routes {
            if before.routes.get(&(*table, *destination)) != Some(way) {
                batch.add(*destination, &route("replace", *table, *destination, way));
            }
        }
        for (device, table) in self.rules.difference(&before.rules) {
            batch.add_to_both(&rule("add", device, *table));
        }
        for (device, table) in before.rules.difference(&self.rules) {
            batch.add_to_both(&rule("del", device, *table));
        }
        batch.v6.push_str(&self.neighbours.since(&before.neighbours));
        for (table, destination) in before.routes.keys() {
            if !self.routes.contains_key(&(*table, *destination)) {
                batch.add(*destination, &route("del", *table, *destination, ""));
            }
        }
        batch
    }
}

/// The addresses that a machine's interface may use. Without a network those that it was wired with.
pub fn addresses(network: Option<&Network>, port: &Attachment) -> Vec<IpAddr> {
    match network {
        Some(network) => {
            let interface = network.interfaces.get(&port.instance_id);
            interface.map(|interface| interface.addresses.clone()).unwrap_or_default()
        }
        None => {
            let ipv6 = port.ipv6.and_then(|ipv6| ipv6.address).map(IpAddr::V6);
            [IpAddr::V4(port.address)].into_iter().chain(ipv6).collect()
        }
    }
}

impl Numbers {
    fn of(&mut self, table: &str) -> u32 {
        let next = FIRST_TABLE + self.0.len() as u32;
        *self.0.entry(table.to_owned()).or_insert(next)
    }
}

impl Batch {
    fn add(&mut self, destination: IpNet, line: &str) {
        match destination {
            IpNet::V4(_) => self.v4.push_str(line),
            IpNet::V6(_) => self.v6.push_str(line),
        }
    }

    fn add_to_both(&mut self, line: &str) {
        self.v4.push_str(line);
        self.v6.push_str(line);
    }
}

/// The link-local address that a hardware address makes (RFC 4291, appendix A). The router knows
/// its neighbour without asking, so it need not be one that the node really has.
pub fn link_local(mac: &str) -> Ipv6Addr {
    let mut bytes = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap_or_default());
    let mut byte = || bytes.next().unwrap_or_default();
    let [a, b, c, d, e, f] = [byte() ^ 2, byte(), byte(), byte(), byte(), byte()];
    let pair = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(0xfe80, 0, 0, 0, pair(a, b), pair(c, 0xff), pair(0xfe, d), pair(e, f))
}

/// To a machine, by the hardware address that the router knows.
fn to(port: &Attachment, destination: IpAddr) -> String {
    let device = port.router_interface();
    match destination {
        IpAddr::V4(own) if own == port.address => format!("dev {device}"),
        IpAddr::V4(_) => format!("via {} dev {device} onlink", port.address),
        IpAddr::V6(_) => format!("via {} dev {device} onlink", link_local(&port.mac)),
    }
}

fn route(what: &str, table: u32, destination: IpNet, way: &str) -> String {
    match way {
        "throw" => format!("route {what} table {table} throw {destination}\n"),
        way => format!("route {what} table {table} {destination} {way}\n"),
    }
}

fn rule(what: &str, device: &str, table: u32) -> String {
    let preference = if table == LAST { BEHIND_MAIN } else { BEFORE_MAIN };
    format!("rule {what} pref {preference} iif {device} lookup {table}\n")
}

fn everywhere() -> [IpNet; 2] {
    [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]
}

#[cfg(test)]
mod tests {
    use super::super::vpc::Interface;
    use super::*;

    fn port(number: u8) -> Attachment {
        Attachment {
            instance_id: format!("i-{number}"),
            mac: format!("02:00:00:00:00:{number:02x}"),
            address: [10, 0, 1, number].into(),
            subnet: "10.0.1.0/24".parse().unwrap(),
            ipv6: None,
        }
    }

    fn wired(numbers: &[u8]) -> BTreeMap<String, Attachment> {
        numbers.iter().map(|number| (format!("i-{number}"), port(*number))).collect()
    }

    fn network(routes: &[(&str, Hop)]) -> Network {
        let interface = |number: u8| Interface {
            table: "rtb-a".into(),
            addresses: vec![[10, 0, 1, number].into()],
            source_dest_check: number != 2,
        };
        let routes = routes.iter().map(|(cidr, hop)| (cidr.parse().unwrap(), hop.clone()));
        Network {
            tables: [("rtb-a".to_owned(), routes.collect())].into(),
            interfaces: [("i-1".to_owned(), interface(1)), ("i-2".to_owned(), interface(2))].into(),
        }
    }

    fn plan(routes: &[(&str, Hop)], numbers: &mut Numbers) -> Plan {
        Plan::of(&wired(&[1, 2]), Some(&network(routes)), numbers)
    }

    #[test]
    fn a_route_table_is_a_table_of_the_kernel_that_its_interfaces_look_up() {
        let routes = [
            ("10.0.0.0/16", Hop::Local),
            ("100.64.1.0/24", Hop::Instance("i-1".into())),
            ("100.64.9.0/24", Hop::Instance("i-9".into())),
            ("0.0.0.0/0", Hop::InternetGateway),
            ("fd00:64::/64", Hop::Instance("i-1".into())),
            ("::/0", Hop::InternetGateway),
        ];
        let plan = plan(&routes, &mut Numbers::default());
        let batch = plan.since(&Plan::default());
        assert_eq!(
            batch.v4.lines().collect::<Vec<_>>(),
            [
                "route replace table 99 0.0.0.0/0 dev absent",
                "route replace table 254 10.0.1.1/32 dev vi-1",
                "route replace table 254 10.0.1.2/32 dev vi-2",
                "route replace table 1000 0.0.0.0/0 via 203.0.113.10 dev outside onlink",
                "route replace table 1000 throw 10.0.0.0/16",
                "route replace table 1000 100.64.1.0/24 via 10.0.1.1 dev vi-1 onlink",
                "route replace table 1000 100.64.9.0/24 dev blackhole",
                "rule add pref 40000 iif outside lookup 99",
                "rule add pref 40000 iif vi-1 lookup 99",
                "rule add pref 1000 iif vi-1 lookup 1000",
                "rule add pref 40000 iif vi-2 lookup 99",
                "rule add pref 1000 iif vi-2 lookup 1000",
            ]
        );
        assert_eq!(
            batch.v6.lines().filter(|line| line.starts_with("route")).collect::<Vec<_>>(),
            [
                "route replace table 99 ::/0 dev absent",
                "route replace table 1000 ::/0 via 3fff::10 dev outside onlink",
                "route replace table 1000 fd00:64::/64 via fe80::ff:fe00:1 dev vi-1 onlink",
            ]
        );
        assert_eq!(plan.checked, [("vi-1".to_owned(), vec![[10, 0, 1, 1].into()])].into());
        assert_eq!(plan.unchecked, ["vi-2".to_owned()].into());
    }

    #[test]
    fn another_target_is_one_replacement_and_nothing_else() {
        let mut numbers = Numbers::default();
        let before = plan(&[("100.64.1.0/24", Hop::Instance("i-1".into()))], &mut numbers);
        let after = plan(&[("100.64.1.0/24", Hop::Instance("i-2".into()))], &mut numbers);
        let batch = after.since(&before);
        assert_eq!(
            batch.v4,
            "route replace table 1000 100.64.1.0/24 via 10.0.1.2 dev vi-2 onlink\n"
        );
        assert_eq!(batch.v6, "");
        let gone = plan(&[], &mut numbers).since(&after);
        assert_eq!(gone.v4, "route del table 1000 100.64.1.0/24 \n");
        assert_eq!(after.since(&after), Batch::default());
    }

    #[test]
    fn without_a_network_machines_reach_one_another_under_their_own_addresses() {
        let plan = Plan::of(&wired(&[1]), None, &mut Numbers::default());
        assert_eq!(
            plan.since(&Plan::default()).v4,
            "route replace table 99 0.0.0.0/0 dev absent\nroute replace table 254 10.0.1.1/32 dev vi-1\n\
             rule add pref 40000 iif outside lookup 99\n"
        );
        assert_eq!(plan.checked, [("vi-1".to_owned(), vec![[10, 0, 1, 1].into()])].into());
    }
}
