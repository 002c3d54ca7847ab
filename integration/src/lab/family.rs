//! Which addresses pods and services have, and what follows from that for the VPC and the control
//! plane. Nodes have IPv4 in any case: AWS' endpoints and the metadata service are reached by it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::ValueEnum;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::network::router::nth_address;

const PODS: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 64, 0, 0), 14));
const SERVICES: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 16));
/// Unique local addresses (RFC 4193): outside of the VPC they mean nothing, like those of IPv4.
const PODS_IPV6: IpNet = ipv6(0x64, 48);
/// kube-apiserver takes no more than 20 host bits.
const SERVICES_IPV6: IpNet = ipv6(0x96, 112);

/// The choice of a lab.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Family {
    /// Pods with IPv4, in a VPC without IPv6
    #[default]
    Ipv4,
    /// Pods with IPv6 alone
    Ipv6,
    /// Pods with both, IPv4 first
    Dual,
}

impl Family {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Dual => "dual",
        }
    }

    /// Whether the VPC and its subnets have IPv6.
    pub fn has_ipv6(self) -> bool {
        self != Self::Ipv4
    }

    pub fn pods(self) -> Vec<IpNet> {
        self.those(PODS, PODS_IPV6)
    }

    pub fn services(self) -> Vec<IpNet> {
        self.those(SERVICES, SERVICES_IPV6)
    }

    fn those(self, ipv4: IpNet, ipv6: IpNet) -> Vec<IpNet> {
        match self {
            Self::Ipv4 => vec![ipv4],
            Self::Ipv6 => vec![ipv6],
            Self::Dual => vec![ipv4, ipv6],
        }
    }
}

/// The nth address of a network of either family.
pub fn nth(network: IpNet, n: u32) -> IpAddr {
    match network {
        IpNet::V4(network) => nth_address(network, n).into(),
        IpNet::V6(network) => {
            Ipv6Addr::from_bits(network.network().to_bits() + u128::from(n)).into()
        }
    }
}

const fn ipv6(part: u16, length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, part, 0, 0, 0, 0, 0, 0), length))
}
