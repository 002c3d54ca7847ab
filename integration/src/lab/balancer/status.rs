//! What the load balancer tells of itself, for people and programs.

use serde::{Deserialize, Serialize};

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
