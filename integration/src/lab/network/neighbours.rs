//! For which neighbours the router answers (RFC 4861, 7.2.8): by what it advertises a subnet's IPv6
//! block is on the link, and yet there is no layer 2 between instances. With IPv4 the kernel answers
//! for everybody; with IPv6 it wants each address named.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use super::forwarding::addresses;
use super::router::Attachment;
use super::vpc::Network;

/// Addresses by the interface on which they are answered for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours(BTreeSet<(String, Ipv6Addr)>);

impl Neighbours {
    /// On each machine's interface, all other machines of its subnet.
    pub fn of(wired: &BTreeMap<String, Attachment>, network: Option<&Network>) -> Self {
        let ipv6 = |port: &Attachment| {
            let all = addresses(network, port).into_iter();
            all.filter_map(|address| match address {
                IpAddr::V4(_) => None,
                IpAddr::V6(address) => Some(address),
            })
            .collect::<Vec<_>>()
        };
        let mut neighbours = BTreeSet::new();
        for port in wired.values() {
            let Some(subnet) = port.ipv6.map(|ipv6| ipv6.subnet) else { continue };
            let others = wired.values().filter(|other| other.instance_id != port.instance_id);
            let theirs = others.flat_map(ipv6).filter(|address| subnet.contains(address));
            neighbours.extend(theirs.map(|address| (port.router_interface(), address)));
        }
        Self(neighbours)
    }

    /// What to tell `ip -6` to come here from `before`.
    pub fn since(&self, before: &Self) -> String {
        let line = |what: &str, (device, address): &(String, Ipv6Addr)| {
            format!("neigh {what} proxy {address} dev {device}\n")
        };
        let new = self.0.difference(&before.0).map(|new| line("add", new));
        new.chain(before.0.difference(&self.0).map(|old| line("del", old))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::router::Ipv6;
    use super::*;

    fn port(number: u8, subnet: &str) -> (String, Attachment) {
        let subnet: ipnet::Ipv6Net = subnet.parse().unwrap();
        let address = Ipv6Addr::from(u128::from(subnet.network()) + u128::from(number));
        let attachment = Attachment {
            instance_id: format!("i-{number}"),
            mac: format!("02:00:00:00:00:{number:02x}"),
            address: [10, 0, 1, number].into(),
            subnet: "10.0.1.0/24".parse().unwrap(),
            ipv6: Some(Ipv6 { subnet, address: Some(address) }),
        };
        (attachment.instance_id.clone(), attachment)
    }

    #[test]
    fn the_router_answers_for_the_others_of_a_subnet_and_for_nobody_elsewhere() {
        let two = BTreeMap::from([port(1, "2001:db8::/64"), port(9, "2001:db8:0:9::/64")]);
        let mut three = two.clone();
        three.extend([port(2, "2001:db8::/64")]);
        let (before, after) = (Neighbours::of(&two, None), Neighbours::of(&three, None));
        assert_eq!(before, Neighbours::default());
        assert_eq!(
            after.since(&before),
            "neigh add proxy 2001:db8::2 dev vi-1\nneigh add proxy 2001:db8::1 dev vi-2\n"
        );
        assert_eq!(
            before.since(&after),
            "neigh del proxy 2001:db8::2 dev vi-1\nneigh del proxy 2001:db8::1 dev vi-2\n"
        );
    }
}
