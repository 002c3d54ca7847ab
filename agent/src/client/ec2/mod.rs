//! EC2: what it says of a cluster's instances and route tables, and the few changes that admission
//! makes.
//!
//! Nothing here decides anything. An error is an error, never an empty answer.

mod change;
mod instance;
mod route_table;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::Filter;

use super::Chain;
use crate::exchange::InstanceId;

pub use change::{CHANGE_TIMEOUT, NotChanged};
pub use instance::{Instance, State};
pub use route_table::{Route, RouteTable, Target};

/// A filter takes up to 200 values ("DescribeInstances", Amazon EC2 API Reference).
pub const MAX_FILTER_VALUES: usize = 200;

/// The most that one page holds ("DescribeInstances", `MaxResults`).
const PAGE: i32 = 1000;

/// EC2 through one caller's credentials.
#[derive(Clone, Debug)]
pub struct Ec2 {
    client: Client,
    /// For changes: whoever paces them must hear of each throttle, and an answer that comes late is
    /// not waited for.
    changing: Client,
}

/// EC2 did not say.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("EC2 denied {action}: {message}")]
    Denied { action: &'static str, message: String },
    #[error("EC2 failed {action}: {message}")]
    Failed { action: &'static str, message: String },
    /// An answer without something that EC2 always says.
    #[error("EC2 described {of} without {what}")]
    Incomplete { of: &'static str, what: &'static str },
}

impl Ec2 {
    /// A client in the region and with the credentials of `config`.
    pub fn new(config: &SdkConfig) -> Self {
        let timeouts = TimeoutConfig::builder().operation_timeout(CHANGE_TIMEOUT).build();
        let changing = aws_sdk_ec2::config::Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        Self { client: Client::new(config), changing: Client::from_conf(changing.build()) }
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
