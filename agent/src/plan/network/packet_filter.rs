//! The nftables table `inet windlass`: what pods may not reach, and which of their packets leave
//! under the node's address. Other tables (kube-proxy's, for one) are not looked at.
//!
//! Whole values, so that a table is compared and replaced as one. There is no list of exceptions
//! from the block on the metadata service: whoever reaches it from a pod has the node's role, and a
//! pod's address is no proof of who asks.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::BRIDGE;
use crate::config::NodeConfig;
use crate::facts::Facts;

/// Family and name of the table.
pub const TABLE: [&str; 2] = ["inet", "windlass"];

/// Where the metadata service answers.
///
/// Source: "Access instance metadata for an EC2 instance" (Amazon EC2 User Guide).
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// The table, as what it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PacketFilter {
    /// Closed to whatever comes from the pods' bridge, under whatever source address.
    pub closed: Vec<IpAddr>,
    /// Reached under the pods' own addresses: the VPC's CIDRs and the pod network.
    pub direct: Vec<IpNet>,
    /// Whose packets to all other destinations bear the node's address. The whole pod network: no
    /// pod but this node's own sends packets through here, and so the table needs no grant.
    pub masqueraded: Vec<IpNet>,
}

impl PacketFilter {
    pub(in crate::plan) fn planned(facts: &Facts, config: &NodeConfig) -> Self {
        let mut direct: Vec<_> =
            facts.instance.vpc_cidrs().chain(&config.network.pods).copied().collect();
        direct.sort();
        Self { closed: METADATA.to_vec(), direct, masqueraded: config.network.pods.clone() }
    }
}

/// In the words in which `nft --stateless list table` lists it.
///
/// A chain of the hook `forward` sees what pods send and nothing of the host's own, nor of pods in
/// the host's network. Ports of masqueraded connections are random: two that begin at once do not
/// race for the same one.
impl fmt::Display for PacketFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {} {{", TABLE.join(" "))?;
        writeln!(f, "\tchain forward {{")?;
        writeln!(f, "\t\ttype filter hook forward priority filter; policy accept;")?;
        for address in &self.closed {
            let family = family(address);
            writeln!(f, "\t\tiifname \"{BRIDGE}\" {family} daddr {address} counter drop")?;
        }
        writeln!(f, "\t}}\n")?;
        writeln!(f, "\tchain postrouting {{")?;
        writeln!(f, "\t\ttype nat hook postrouting priority srcnat; policy accept;")?;
        for cidr in &self.direct {
            writeln!(f, "\t\t{} daddr {cidr} return", family(&cidr.addr()))?;
        }
        for cidr in &self.masqueraded {
            let family = family(&cidr.addr());
            let leaving = format!("oifname != \"{BRIDGE}\" {family} saddr {cidr}");
            writeln!(f, "\t\t{leaving} counter masquerade fully-random")?;
        }
        writeln!(f, "\t}}\n}}")
    }
}

fn family(address: &IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "ip",
        IpAddr::V6(_) => "ip6",
    }
}
