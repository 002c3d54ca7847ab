//! Which of a node's pods move, as `kubectl drain` decides it, and in which order.
//!
//! Source: "Safely Drain a Node" (Kubernetes), and what `kubectl drain` leaves: pods of a DaemonSet,
//! mirror pods, and those that have finished.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use serde::{Deserialize, Serialize};

/// From here on a priority class is one of the system's (Kubernetes, "Pod Priority and Preemption":
/// user classes end at 1,000,000,000; `system-cluster-critical` is twice that).
const CRITICAL: i32 = 2_000_000_000;

/// What the API server gives where a pod says nothing.
const GRACE: Duration = Duration::from_secs(30);

/// What tells a pod from a later one with the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub String);

/// A pod that would be lost with its node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pod {
    pub uid: Uid,
    pub namespace: String,
    pub name: String,
    /// What it has to end by itself, once it is asked to.
    pub grace: Duration,
    pub priority: i32,
    /// It was deleted already, and ends.
    pub ending: bool,
    /// No controller makes another one.
    pub bare: bool,
    /// It has data in an `emptyDir`, which nobody else has.
    pub local_data: bool,
    /// It has a volume that must be detached before another node can have it.
    pub volumes: bool,
}

impl Pod {
    /// `None` of a pod that stays: it ends with the node, or has ended.
    pub fn of(pod: &core::Pod) -> Option<Self> {
        let meta = &pod.metadata;
        let spec = pod.spec.as_ref()?;
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let mirror = meta.annotations.as_ref().is_some_and(|it| it.contains_key(MIRROR));
        let owners = meta.owner_references.iter().flatten();
        let controller = owners.clone().find(|owner| owner.controller == Some(true));
        let of_daemon_set = controller.is_some_and(|owner| owner.kind == "DaemonSet");
        if mirror || of_daemon_set || matches!(phase, Some("Succeeded" | "Failed")) {
            return None;
        }
        let volumes = || spec.volumes.iter().flatten();
        Some(Self {
            uid: Uid(meta.uid.clone()?),
            namespace: meta.namespace.clone()?,
            name: meta.name.clone()?,
            grace: grace(
                meta.deletion_grace_period_seconds.or(spec.termination_grace_period_seconds),
            ),
            priority: spec.priority.unwrap_or(0),
            ending: meta.deletion_timestamp.is_some(),
            bare: controller.is_none(),
            local_data: volumes().any(|volume| volume.empty_dir.is_some()),
            volumes: volumes().any(|volume| {
                volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some()
            }),
        })
    }

    /// It goes last: others may need it while they end.
    pub fn is_critical(&self) -> bool {
        self.priority >= CRITICAL
    }
}

/// Pods of files in a kubelet's folder carry it.
const MIRROR: &str = "kubernetes.io/config.mirror";

fn grace(seconds: Option<i64>) -> Duration {
    seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(GRACE, Duration::from_secs)
}

impl fmt::Display for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
