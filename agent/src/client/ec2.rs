//! What EC2 says of a cluster's instances, mapped to the few facts that admission rests on.
//!
//! Nothing here decides anything. An error is an error, never an empty answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use aws_config::SdkConfig;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::{Filter, Instance as Described, InstanceNetworkInterface};
use time::OffsetDateTime;

use super::Chain;
use crate::exchange::InstanceId;

/// A filter takes up to 200 values ("DescribeInstances", Amazon EC2 API Reference).
pub const MAX_FILTER_VALUES: usize = 200;

/// The most that one page holds ("DescribeInstances", `MaxResults`).
const PAGE: i32 = 1000;

/// EC2 through one caller's credentials.
#[derive(Clone, Debug)]
pub struct Ec2 {
    client: Client,
}

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

/// EC2 did not say.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("EC2 denied {action}: {message}")]
    Denied { action: &'static str, message: String },
    #[error("EC2 failed {action}: {message}")]
    Failed { action: &'static str, message: String },
    /// An answer without something that EC2 always says.
    #[error("EC2 described an instance without {what}")]
    Incomplete { what: &'static str },
}

impl Ec2 {
    /// A client in the region and with the credentials of `config`.
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    /// Every instance that is tagged `tag.0 = tag.1`, in `vpc` (or anywhere: a terminated instance
    /// is in none) and in one of `states` (all, if empty), whatever number of pages that takes.
    pub async fn instances(
        &self,
        vpc: Option<&str>,
        tag: (&str, &str),
        states: &[State],
    ) -> Result<Vec<Instance>, Error> {
        let mut filters = vec![filter(&format!("tag:{}", tag.0), [tag.1])];
        filters.extend(vpc.map(|vpc| filter("vpc-id", [vpc])));
        if !states.is_empty() {
            filters.push(filter("instance-state-name", states.iter().map(State::as_str)));
        }
        self.described(filters).await
    }

    /// The instances among `ids` that EC2 knows, wherever they are. By a filter: a list of ids
    /// fails as a whole when EC2 does not know one of them yet (`InvalidInstanceID.NotFound`).
    pub async fn instances_by_id(&self, ids: &[InstanceId]) -> Result<Vec<Instance>, Error> {
        let mut found = Vec::new();
        for batch in ids.chunks(MAX_FILTER_VALUES) {
            let ids = batch.iter().map(InstanceId::as_str);
            found.extend(self.described(vec![filter("instance-id", ids)]).await?);
        }
        Ok(found)
    }

    async fn described(&self, filters: Vec<Filter>) -> Result<Vec<Instance>, Error> {
        let request = self.client.describe_instances().set_filters(Some(filters)).max_results(PAGE);
        let mut pages = request.into_paginator().send();
        let mut instances = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(error("ec2:DescribeInstances"))?;
            for described in page.reservations().iter().flat_map(|it| it.instances()) {
                instances.push(Instance::of(described)?);
            }
        }
        Ok(instances)
    }
}

impl Instance {
    fn of(described: &Described) -> Result<Self, Error> {
        let id = described.instance_id().and_then(|id| id.parse().ok());
        let state = described.state().and_then(|state| state.name());
        let launched = described.launch_time().map(|at| at.as_nanos());
        let launched = launched.and_then(|at| OffsetDateTime::from_unix_timestamp_nanos(at).ok());
        let interfaces = described.network_interfaces();
        let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let address = |text: Option<&str>| text.and_then(|text| text.parse::<IpAddr>().ok());
        let private_ip = address(described.private_ip_address());
        let own = [described.private_ip_address(), described.public_ip_address()];
        let own = own.into_iter().chain([described.ipv6_address()]).filter_map(address);
        let names = [described.private_dns_name(), described.public_dns_name()];
        Ok(Self {
            id: id.ok_or(Error::Incomplete { what: "an id" })?,
            state: state.map_or_else(
                || Err(Error::Incomplete { what: "a state" }),
                |name| Ok(State::of(name.as_str())),
            )?,
            launched: launched.ok_or(Error::Incomplete { what: "a launch time" })?,
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
            network_interface: interfaces
                .iter()
                .find(|it| is_primary(it))
                .and_then(|it| text(it.network_interface_id())),
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

fn filter<'a>(name: &str, values: impl IntoIterator<Item = &'a str>) -> Filter {
    let values = values.into_iter().map(str::to_owned).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

fn error<E>(action: &'static str) -> impl Fn(E) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    move |error| {
        let message = match (error.code(), error.message()) {
            (Some(code), Some(said)) => format!("{code}: {said}"),
            _ => Chain(&error).to_string(),
        };
        match error.code() {
            Some("UnauthorizedOperation" | "AuthFailure") => Error::Denied { action, message },
            _ => Error::Failed { action, message },
        }
    }
}
