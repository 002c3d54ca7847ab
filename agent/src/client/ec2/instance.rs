//! An instance as EC2 describes it, mapped to the few facts that admission rests on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use aws_sdk_ec2::types::{Instance as Described, InstanceNetworkInterface};
use time::OffsetDateTime;

use super::Error;
use crate::exchange::InstanceId;

/// An instance as EC2 describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub id: InstanceId,
    pub state: State,
    /// The latest start, not the first launch.
    pub launched: OffsetDateTime,
    /// `vpc-…`; a terminated instance has none.
    pub vpc: Option<String>,
    /// ARN of the instance profile.
    pub instance_profile: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// `eu-west-1a`
    pub zone: String,
    pub instance_type: String,
    /// The primary network interface, `eni-…`.
    pub network_interface: Option<String>,
    /// Whether that interface drops packets that are neither from nor for its own addresses, as
    /// those of pods are ("Elastic network interfaces", Amazon EC2 User Guide).
    pub source_dest_check: bool,
    pub private_ip: Option<IpAddr>,
    pub private_dns: Option<String>,
    /// Every address, private, public and IPv6, of every network interface.
    pub addresses: BTreeSet<IpAddr>,
    /// Every DNS name, private and public.
    pub dns_names: BTreeSet<String>,
}

/// Where an instance is in its life.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Pending,
    Running,
    Stopping,
    Stopped,
    ShuttingDown,
    Terminated,
    /// One that this program does not know; as EC2 writes it.
    Other(String),
}

impl Instance {
    pub(super) fn of(described: &Described) -> Result<Self, Error> {
        let id = described.instance_id().and_then(|id| id.parse().ok());
        let state = described.state().and_then(|state| state.name());
        let launched = described.launch_time().map(|at| at.as_nanos());
        let launched = launched.and_then(|at| OffsetDateTime::from_unix_timestamp_nanos(at).ok());
        let interfaces = described.network_interfaces();
        let primary = interfaces.iter().find(|it| is_primary(it));
        let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let address = |text: Option<&str>| text.and_then(|text| text.parse::<IpAddr>().ok());
        let private_ip = address(described.private_ip_address());
        let own = [described.private_ip_address(), described.public_ip_address()];
        let own = own.into_iter().chain([described.ipv6_address()]).filter_map(address);
        let names = [described.private_dns_name(), described.public_dns_name()];
        Ok(Self {
            id: id.ok_or(Error::Incomplete { of: "an instance", what: "an id" })?,
            state: state.map_or_else(
                || Err(Error::Incomplete { of: "an instance", what: "a state" }),
                |name| Ok(State::of(name.as_str())),
            )?,
            launched: launched
                .ok_or(Error::Incomplete { of: "an instance", what: "a launch time" })?,
            vpc: text(described.vpc_id()),
            instance_profile: described.iam_instance_profile().and_then(|it| text(it.arn())),
            tags: described
                .tags()
                .iter()
                .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned())))
                .collect(),
            zone: described
                .placement()
                .and_then(|it| text(it.availability_zone()))
                .unwrap_or_default(),
            instance_type: described.instance_type().map(|it| it.to_string()).unwrap_or_default(),
            network_interface: primary.and_then(|it| text(it.network_interface_id())),
            // It is on unless EC2 says that it is off.
            source_dest_check: primary.is_none_or(|it| it.source_dest_check() != Some(false)),
            private_ip,
            private_dns: text(described.private_dns_name()),
            addresses: own.chain(interfaces.iter().flat_map(addresses)).collect(),
            dns_names: names.into_iter().filter_map(text).collect(),
        })
    }
}

fn is_primary(interface: &InstanceNetworkInterface) -> bool {
    interface.attachment().and_then(|it| it.device_index()) == Some(0)
}

fn addresses(interface: &InstanceNetworkInterface) -> Vec<IpAddr> {
    let ipv4 = interface.private_ip_addresses().iter();
    let ipv4 = ipv4
        .flat_map(|it| [it.private_ip_address(), it.association().and_then(|it| it.public_ip())]);
    let ipv6 = interface.ipv6_addresses().iter().map(|it| it.ipv6_address());
    ipv4.chain(ipv6).flatten().filter_map(|text| text.parse().ok()).collect()
}

impl State {
    /// As EC2 writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Other(name) => name,
        }
    }

    fn of(name: &str) -> Self {
        match name {
            "pending" => Self::Pending,
            "running" => Self::Running,
            "stopping" => Self::Stopping,
            "stopped" => Self::Stopped,
            "shutting-down" => Self::ShuttingDown,
            "terminated" => Self::Terminated,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
