//! What the kernel should know of the pods' network, as values: routes and policy rules, and the
//! packet filter. The interfaces' own addresses are not in it: they are DHCP's, and nobody's to put
//! back.
//!
//! What is here is the whole of it. Whatever else the kernel has under [`PROTOCOL`] is a remainder
//! of ours; whatever it has under another number is somebody else's.

mod cni;
mod fit;
mod packet_filter;
mod ways;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

pub use packet_filter::{PacketFilter, TABLE};

pub(super) use fit::fits_the_vpc;

use super::HostPlan;
use crate::config::NodeConfig;
use crate::facts::Facts;

/// The protocol number of every route and policy rule that Windlass owns (`rtm_protocol`,
/// `FRA_PROTOCOL`). rtnetlink(7): what is above 4 is for whoever makes routes to tell his own.
pub const PROTOCOL: u8 = 0x57;

/// How many metrics, and priorities of rules, are tried from the wanted one up when somebody else
/// has it.
pub const TRIES: u32 = 8;

/// The bridge that pods hang on.
pub const BRIDGE: &str = "cni0";

/// What the grant decides of the network.
pub(super) fn plan(plan: &mut HostPlan, facts: &Facts, config: &NodeConfig, pod_cidrs: &[IpNet]) {
    cni::plan(plan, facts, pod_cidrs);
    plan.network = Some(PodNetwork {
        routes: ways::routes(facts, config, pod_cidrs),
        rules: ways::rules(facts, pod_cidrs),
    });
}

/// All routes and rules that the kernel should have of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodNetwork {
    pub routes: BTreeSet<Route>,
    pub rules: BTreeSet<Rule>,
}

/// A route of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    pub destination: IpNet,
    /// 254 is the table `main`.
    pub table: u32,
    pub way: Way,
    /// A lower one wins. Where somebody else has a route with the same destination and metric, ours
    /// has one of the next [`TRIES`].
    pub metric: u32,
}

/// What becomes of a packet that a route takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// It is dropped without an answer.
    Blackhole,
    /// It leaves by this interface.
    Out {
        interface: String,
        /// To this neighbour; without one, to its destination.
        gateway: Option<IpAddr>,
        /// What the host's own packets bear as source.
        source: Option<IpAddr>,
        mtu_bytes: Option<u32>,
    },
}

/// A policy rule of ours: which table a packet's way is looked up in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// A lower one is asked first. Where somebody else has the very same rule, ours has one of the
    /// next [`TRIES`].
    pub priority: u32,
    pub packets: Packets,
    pub table: u32,
}

/// Which packets a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Packets {
    From(IpNet),
    To(IpNet),
}

impl PodNetwork {
    /// The interfaces that its routes leave by.
    pub fn interfaces(&self) -> BTreeSet<&str> {
        self.routes.iter().filter_map(|route| route.way.interface()).collect()
    }
}

impl Way {
    /// The interface that packets leave by.
    pub fn interface(&self) -> Option<&str> {
        match self {
            Self::Blackhole => None,
            Self::Out { interface, .. } => Some(interface),
        }
    }
}

impl Packets {
    pub fn cidr(&self) -> IpNet {
        match self {
            Self::From(cidr) | Self::To(cidr) => *cidr,
        }
    }
}

/// As ip-route(8) writes it.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Blackhole => write!(f, "blackhole {}", self.destination)?,
            Way::Out { interface, gateway, source, mtu_bytes } => {
                write!(f, "{}", self.destination)?;
                if let Some(gateway) = gateway {
                    write!(f, " via {gateway}")?;
                }
                write!(f, " dev {interface}")?;
                if let Some(source) = source {
                    write!(f, " src {source}")?;
                }
                if let Some(mtu_bytes) = mtu_bytes {
                    write!(f, " mtu {mtu_bytes}")?;
                }
            }
        }
        match self.table {
            254 => write!(f, " metric {}", self.metric),
            table => write!(f, " table {table} metric {}", self.metric),
        }
    }
}

/// As ip-rule(8) writes it.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.packets {
            Packets::From(cidr) => write!(f, "from {cidr}")?,
            Packets::To(cidr) => write!(f, "to {cidr}")?,
        }
        match self.table {
            254 => write!(f, " lookup main priority {}", self.priority),
            table => write!(f, " lookup {table} priority {}", self.priority),
        }
    }
}
