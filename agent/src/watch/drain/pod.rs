//! Which of a node's pods move, as `kubectl drain` decides it, and in which order.
//!
//! Source: "Safely Drain a Node" (Kubernetes), and what `kubectl drain` leaves: pods of a DaemonSet,
//! mirror pods, and those that have finished.

use std::fmt;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::Object;
use serde::de::IgnoredAny;
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
    /// `None` of a pod that stays.
    pub(super) fn of(pod: &Told) -> Option<Self> {
        if stays(pod).is_some() {
            return None;
        }
        let (meta, spec) = (&pod.metadata, &pod.spec);
        let controller = controller(pod);
        let volumes = || spec.volumes.iter();
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

    /// What is lost with it, as the end of a sentence.
    pub(super) fn loses(&self) -> &'static str {
        match (self.bare, self.local_data) {
            (true, true) => "; no controller makes it anew, and its local data goes",
            (true, false) => "; no controller makes it anew",
            (false, true) => "; its local data goes",
            (false, false) => "",
        }
    }

    /// It goes last: others may need it while they end.
    pub fn is_critical(&self) -> bool {
        self.priority >= CRITICAL
    }
}

/// Why a pod is not asked to leave: it ends with the node, or has ended.
pub(super) fn stays(pod: &Told) -> Option<&'static str> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let annotations = pod.metadata.annotations.as_ref();
    if annotations.is_some_and(|it| it.contains_key(MIRROR)) {
        return Some("is of a file on the node");
    }
    if controller(pod).is_some_and(|owner| owner.kind == "DaemonSet") {
        return Some("is of a DaemonSet");
    }
    matches!(phase, Some("Succeeded" | "Failed")).then_some("has ended")
}

fn controller(pod: &Told) -> Option<&OwnerReference> {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true))
}

/// A pod as the API server tells it, with what concerns us alone: the type with everything that a pod
/// can say would be a tenth of this program.
pub(super) type Told = Object<Spec, Status>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    termination_grace_period_seconds: Option<i64>,
    priority: Option<i32>,
    #[serde(default)]
    volumes: Vec<Volume>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Status {
    phase: Option<String>,
}

/// Which kind of a volume it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    empty_dir: Option<IgnoredAny>,
    persistent_volume_claim: Option<IgnoredAny>,
    ephemeral: Option<IgnoredAny>,
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(more: &Value) -> Option<Pod> {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "web-1", "namespace": "shop", "uid": "u1",
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "r", "controller": true }],
            },
            "spec": {
                "containers": [{ "name": "web", "image": "web" }],
                "terminationGracePeriodSeconds": 60, "priority": 7,
                "volumes": [{ "name": "token", "projected": { "sources": [] } }],
            },
            "status": { "phase": "Running" },
        });
        for (part, fields) in more.as_object().expect("an object") {
            for (field, value) in fields.as_object().expect("an object") {
                pod[part][field] = value.clone();
            }
        }
        Pod::of(&serde_json::from_value(pod).expect("a pod"))
    }

    fn plain() -> Pod {
        Pod {
            uid: Uid("u1".to_owned()),
            namespace: "shop".to_owned(),
            name: "web-1".to_owned(),
            grace: Duration::from_secs(60),
            priority: 7,
            ending: false,
            bare: false,
            local_data: false,
            volumes: false,
        }
    }

    #[test]
    fn what_would_be_lost_with_its_node_has_to_leave() {
        assert_eq!(told(&json!({})), Some(plain()));
        let bare = json!({ "metadata": { "ownerReferences": null } });
        assert_eq!(told(&bare), Some(Pod { bare: true, ..plain() }));
        let volumes = json!({ "spec": { "volumes": [
            { "name": "scratch", "emptyDir": {} },
            { "name": "data", "persistentVolumeClaim": { "claimName": "data" } },
        ] } });
        assert_eq!(told(&volumes), Some(Pod { local_data: true, volumes: true, ..plain() }));
        let ending = json!({ "metadata": {
            "deletionTimestamp": "2026-11-25T09:00:00Z", "deletionGracePeriodSeconds": 5,
        } });
        let grace = Duration::from_secs(5);
        assert_eq!(told(&ending), Some(Pod { ending: true, grace, ..plain() }));
    }

    /// aws-node-termination-handler issue 593: a DaemonSet's pods kept a node from being drained.
    #[test]
    fn what_ends_with_its_node_or_has_ended_stays() {
        let owner = json!([{ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "d", "controller": true }]);
        assert_eq!(told(&json!({ "metadata": { "ownerReferences": owner } })), None);
        let mirror =
            json!({ "metadata": { "annotations": { "kubernetes.io/config.mirror": "x" } } });
        assert_eq!(told(&mirror), None);
        for phase in ["Succeeded", "Failed"] {
            assert_eq!(told(&json!({ "status": { "phase": phase } })), None);
        }
    }
}
