//! The drain report: how one node left, pod by pod.
//!
//! The node puts it into S3 when its pods are gone or their time is over, and once more when the
//! group's hook is completed; `windlass report` draws it. All times count from `origin`.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::exchange::InstanceId;

/// One drain of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainReport {
    /// The layout of this object: [`VERSION`](super::VERSION).
    pub version: u32,
    pub instance: InstanceId,
    pub cluster: String,
    pub group: String,
    /// The Node's name.
    pub node: String,
    /// When the drain began, by the instance's clock: 0 ms. What announced it may have been seen long
    /// before.
    #[serde(with = "time::serde::rfc3339")]
    pub origin: OffsetDateTime,
    /// In the order in which they were seen.
    pub announced: Vec<Announcement>,
    /// The Node took no new pods any more, and load balancers were told to leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordoned_ms: Option<u64>,
    /// Nothing was left to wait for, or no time.
    pub ended_ms: u64,
    /// What became of the group's hook was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
    /// Whether the node's pods were ever known.
    pub listed: bool,
    /// Those that had to leave, in the order in which they were asked.
    pub pods: Vec<LeavingPod>,
}

/// By what it was announced that the node leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// `termination`, `spot`, `rebalance`, `maintenance`, `warm-pool`, `shutdown` or `by-hand`.
    pub kind: String,
    /// AWS' own id or time of it.
    pub name: String,
    /// Less than nothing where it was seen before the drain began.
    pub seen_ms: i64,
    /// Until when pods had time.
    pub end_ms: i64,
    /// What became of the group's hook for it, as a sentence; absent where none waited, or waits
    /// still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
}

/// A pod that had to leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeavingPod {
    pub namespace: String,
    pub name: String,
    /// When it was first asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_ms: Option<u64>,
    /// Absent where it was here at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_ms: Option<u64>,
    /// How often that was refused.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refusals: u32,
    /// What was said last, where it was not a yes; it names the disruption budget that refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// It was deleted, past its budget or with less than its own grace.
    #[serde(default)]
    pub forced: bool,
}

impl DrainReport {
    /// The pods that were here at the end.
    pub fn remaining(&self) -> impl Iterator<Item = &LeavingPod> {
        self.pods.iter().filter(|pod| pod.gone_ms.is_none())
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
