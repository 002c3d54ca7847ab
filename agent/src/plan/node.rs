//! What the Node object says: asked by kubelet's registration and by the admitter that makes the
//! object beforehand, so that both say the same.
//!
//! Source: "Node restriction" in "Using Node Authorization" and "Admission Control in Kubernetes":
//! a kubelet may give itself only some labels of Kubernetes' own domains.

use std::collections::BTreeMap;

use crate::config::{Gpu, NodeConfig, NodeNames, Role, Taint};
use crate::exchange::InstanceId;
use crate::facts::Instance;

/// What must be known of an instance to name and describe its Node: little enough that EC2's
/// DescribeInstances says all of it to an admitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched<'a> {
    pub id: &'a InstanceId,
    pub zone: &'a str,
    pub instance_type: &'a str,
    pub private_dns: &'a str,
}

/// A Node as it is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedNode {
    pub name: String,
    /// `aws:///ZONE/INSTANCE-ID`, as the AWS cloud controller manager writes it.
    pub provider_id: String,
    /// Labels that a kubelet may give its own Node.
    pub labels: BTreeMap<String, String>,
    /// Labels that only somebody else may give it.
    pub protected_labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
}

/// The label that says which group a Node belongs to.
pub const GROUP_LABEL: &str = "windlass.dev/group";

/// The label of nodes with NVIDIA's GPUs, as NVIDIA's own discovery sets it: where pods of the runtime class go.
pub const NVIDIA_LABEL: (&str, &str) = ("nvidia.com/gpu.present", "true");

/// The Node that an instance of this group becomes.
pub fn planned(launched: Launched<'_>, config: &NodeConfig) -> PlannedNode {
    let (labels, protected_labels) =
        all_labels(launched, config).into_iter().partition(|(key, _)| kubelet_may_set(key));
    PlannedNode {
        name: name(launched, config.cluster.node_names),
        provider_id: format!("aws:///{}/{}", launched.zone, launched.id),
        labels,
        protected_labels,
        taints: config.node.taints.clone(),
    }
}

/// What the instance's Node is called.
pub fn name(launched: Launched<'_>, names: NodeNames) -> String {
    match names {
        NodeNames::InstanceId => launched.id.to_string(),
        NodeNames::PrivateDns => launched.private_dns.to_ascii_lowercase(),
    }
}

/// Whether NodeRestriction lets a kubelet give its own Node the label `key`.
pub fn kubelet_may_set(key: &str) -> bool {
    let Some((prefix, _)) = key.split_once('/') else { return true };
    let domain = prefix.rsplit('.').take(2).collect::<Vec<_>>();
    if !matches!(domain[..], ["io", "kubernetes" | "k8s"]) {
        return true;
    }
    let below = |wanted: &str| prefix == wanted || prefix.ends_with(&format!(".{wanted}"));
    below("kubelet.kubernetes.io") || below("node.kubernetes.io") || WELL_KNOWN.contains(&key)
}

/// Labels of Kubernetes' domains that kubelets have always given themselves.
const WELL_KNOWN: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

/// The operator's labels first: what EC2 says cannot be overruled by them.
fn all_labels(launched: Launched<'_>, config: &NodeConfig) -> BTreeMap<String, String> {
    let mut labels = config.node.labels.clone();
    let mut say = |key: &str, value: &str| labels.insert(key.to_owned(), value.to_owned());
    say(GROUP_LABEL, &config.group);
    say("node.kubernetes.io/instance-type", launched.instance_type);
    say("topology.kubernetes.io/region", &config.cluster.region);
    say("topology.kubernetes.io/zone", launched.zone);
    if config.host.gpu == Gpu::Nvidia {
        say(NVIDIA_LABEL.0, NVIDIA_LABEL.1);
    }
    let role = match config.node.role {
        Role::Worker => "node-role.kubernetes.io/worker",
        Role::ControlPlane => "node-role.kubernetes.io/control-plane",
    };
    say(role, "");
    labels
}

impl Instance {
    /// What names and describes the instance's Node.
    pub fn launched(&self) -> Launched<'_> {
        Launched {
            id: &self.id,
            zone: &self.zone,
            instance_type: &self.instance_type,
            private_dns: &self.private_dns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelet_may_label_itself_only_as_node_restriction_allows() {
        for key in ["team", "acme.example/team", "windlass.dev/group", "mykubernetes.io/x"] {
            assert!(kubelet_may_set(key), "{key}");
        }
        for key in [
            "node.kubernetes.io/instance-type",
            "kubelet.kubernetes.io/a",
            "x.node.kubernetes.io/b",
        ] {
            assert!(kubelet_may_set(key), "{key}");
        }
        for key in [
            "node-role.kubernetes.io/worker",
            "node-restriction.kubernetes.io/tier",
            "acme.node-restriction.kubernetes.io/tier",
            "kubernetes.io/cluster",
            "acme.k8s.io/x",
        ] {
            assert!(!kubelet_may_set(key), "{key}");
        }
    }
}
