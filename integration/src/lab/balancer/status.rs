//! What the load balancer tells of itself, for people and programs.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::counts::Counts;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Where it listens; nowhere, until there is a Service for it.
    pub address: Option<String>,
    /// Whom it serves: `default/web, NodePort 30080`.
    pub service: Option<String>,
    pub targets: Vec<TargetStatus>,
    /// Of all requests to this Service, also those that went to targets which are gone.
    pub counts: Counts,
    /// The latest requests that failed, in the order in which they ended.
    pub failures: Vec<Failure>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// The Node.
    pub node: String,
    pub address: String,
    /// initial, healthy, unhealthy or draining
    pub state: String,
    /// How long it has been leaving.
    pub draining_ms: Option<u64>,
    pub counts: Counts,
}

/// A request that failed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// When it came.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// How long after that it had failed.
    pub after_ms: u64,
    /// The Node that it went to, if any.
    pub node: Option<String>,
    pub why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, after_ms, node, why } = self;
        let node = node.as_deref().unwrap_or("no node");
        let at = at.format(&Rfc3339).map_err(|_| fmt::Error)?;
        write!(f, "{at}, {node}, after {after_ms} ms: {why}")
    }
}
