//! The boot report: what one boot did, how long each step took and what it waited for.
//!
//! The node puts it into S3 when it is Ready, or when it gives up; `windlass report` draws it. All
//! times count from `origin`: the moment at which the kernel started or, in a container, whose
//! kernel started long before, PID 1; of a machine that waited in a warm pool, at which it was called.

mod drain;
mod record;

use std::collections::BTreeMap;

use anyhow::ensure;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use self::drain::{Announcement, DrainReport, LeavingPod};
pub use self::record::{BootStep, Recorder, Running, status};
use crate::exchange::InstanceId;

/// The layout of both reports, and the only one that is understood.
pub const VERSION: u32 = 1;

/// Reads a boot report or a drain report.
///
/// # Errors
/// Where the text is none, or has another layout than [`VERSION`].
pub fn read<T: DeserializeOwned>(text: &[u8]) -> anyhow::Result<T> {
    #[derive(Deserialize)]
    struct Layout {
        version: u32,
    }
    let Layout { version } = serde_json::from_slice(text)?;
    ensure!(
        version == VERSION,
        "the report has the layout {version}, wanted {VERSION}\n\
         hint: use the `windlass` that is as new as the one that wrote it"
    );
    Ok(serde_json::from_slice(text)?)
}

/// One boot of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The layout of this object: [`VERSION`].
    pub version: u32,
    pub instance: InstanceId,
    pub cluster: String,
    pub group: String,
    /// The Node's name, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The configuration revision, 64 hexadecimal digits, once it is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// Which part of the instance's life this is about.
    #[serde(default, skip_serializing_if = "Stage::is_launch")]
    pub stage: Stage,
    /// When the kernel (in a container: PID 1) started, or the group called the instance out of its
    /// warm pool, by the instance's clock: 0 ms.
    #[serde(with = "time::serde::rfc3339")]
    pub origin: OffsetDateTime,
    /// In order of their start; they may overlap.
    pub steps: Vec<Step>,
    /// When `windlass boot` ran its first instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<f64>,
    /// From `started_ms` until it asked systemd for kubelet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_ms: Option<f64>,
    /// From `origin` until the Node was Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_ms: Option<f64>,
    /// The most memory that `windlass boot` had resident until this was written, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// Requests by `service:Action`, retries included.
    pub calls: BTreeMap<String, u64>,
    /// What a reader should know although nothing failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Why the boot was given up, as a person reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// What a boot was for. An instance in a warm pool is prepared first, and becomes a node when its
/// group calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// From the machine's start on, to become a node.
    #[default]
    Launch,
    /// From the machine's start on, to rest in the warm pool.
    WarmPool,
    /// From the call on, to become a node: the machine had been running in the warm pool.
    FromWarmPool,
}

impl Stage {
    fn is_launch(&self) -> bool {
        *self == Self::Launch
    }
}

impl Report {
    /// It ended as it should.
    pub fn is_good(&self) -> bool {
        self.failure.is_none() && (self.ready_ms.is_some() || self.stage == Stage::WarmPool)
    }
}

/// Something that took time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What it leaves true or waits for: `configuration`, `containerd`, `grant`.
    pub name: String,
    pub start_ms: f64,
    pub end_ms: f64,
    pub outcome: Outcome,
    /// One line for a person: what was done or found.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u64,
    /// Received or written, where that is the step's work.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// Whom the time was spent waiting for, such as `admission`; none where the work was our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<String>,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Changed,
    Unchanged,
    Failed,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_another_layout_is_named_and_not_guessed_at() {
        let error = read::<Report>(br#"{"version": 2, "boot": "entirely different"}"#);
        assert_eq!(
            error.expect_err("from the future").to_string(),
            "the report has the layout 2, wanted 1\n\
             hint: use the `windlass` that is as new as the one that wrote it"
        );
        assert!(read::<DrainReport>(b"{}").is_err());
    }
}
