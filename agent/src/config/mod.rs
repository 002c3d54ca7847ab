//! What the operator decided: UserData names a cluster and a group, a configuration revision says
//! everything that a node of that group needs.
//!
//! What is used is here: validated, no options left that code would have to guess about.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod api;
pub mod cluster;
mod defaults;
pub(crate) mod entry;
mod host;
mod kubelet;
mod labels;
mod mime;
mod network;
pub mod problems;
pub(crate) mod raw;
mod revision;
mod rules;
mod sections;
mod storage;
pub mod userdata;
mod watch;
mod words;

pub use cluster::{CaBundle, ClusterFile};
pub use host::{Gpu, Host, PageSize, Swap};
pub use kubelet::merge;
pub(crate) use network::overlap;
pub use problems::{Problem, Problems};
pub use storage::{InstanceStore, Storage};
pub use userdata::{Sha256Hex, UserData};
pub use watch::{Listen, Watch};
pub use words::parse_duration;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;

/// A configuration revision: one group of one cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeConfig {
    /// The group that this revision is for.
    pub group: String,
    pub cluster: Cluster,
    pub api: Api,
    pub network: Network,
    pub admission: Admission,
    pub node: Node,
    pub kubelet: Kubelet,
    /// Left out of a revision where it is as by default, so that an image from before this table was
    /// known still boots.
    #[serde(skip_serializing_if = "Host::is_plain")]
    pub host: Host,
    /// Left out as `host` is.
    #[serde(skip_serializing_if = "Storage::is_plain")]
    pub storage: Storage,
    pub registry: Registry,
    pub hooks: Hooks,
    pub boot: Boot,
    pub drain: Drain,
    pub watch: Watch,
}

/// The cluster that the group belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cluster {
    pub name: String,
    /// AWS region, such as `eu-west-1`.
    pub region: String,
    /// The VPC that every instance must be in, `vpc-…`.
    pub vpc: String,
    pub node_names: NodeNames,
}

/// What a Node is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeNames {
    /// `i-0123456789abcdef0`.
    InstanceId,
    /// `ip-10-0-1-5.eu-west-1.compute.internal`.
    PrivateDns,
}

/// What the instance is to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Worker,
    /// May read the CA key, signs for itself and runs `windlass admit`.
    ControlPlane,
}

/// How to reach and trust the API server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Api {
    /// `https://HOST[:PORT]`.
    pub endpoint: String,
    /// CA certificates that the API server's and clients' certificates may descend from: PEM,
    /// concatenated.
    pub certificate_authorities: String,
    /// The generation of the CA (`pki/kubernetes/<generation>`) that signs now.
    pub ca_generation: u32,
}

/// The pod network and the services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Pod CIDRs of the whole cluster: one of each address family at most.
    pub pods: Vec<IpNet>,
    /// Prefix length of a node's IPv4 pod CIDR.
    pub node_mask_ipv4: u8,
    /// Prefix length of a node's IPv6 pod CIDR.
    pub node_mask_ipv6: u8,
    pub services: Vec<IpNet>,
    /// The cluster's DNS service.
    pub dns: Vec<IpAddr>,
    /// `cluster.local` in most clusters.
    pub domain: String,
    /// The account's quota of routes in a VPC route table, for each address family.
    pub routes_per_table: u32,
}

/// Who may become a node of this group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Admission {
    /// IAM role ids (`AROA…`) that may ask for this group.
    pub role_ids: Vec<String>,
    /// ARN of the group's instance profile.
    pub instance_profile: String,
    /// How long after its launch an instance may ask.
    #[serde(with = "seconds")]
    pub window: Duration,
    /// How long a first certificate lives; 24 h at most.
    #[serde(with = "seconds")]
    pub certificate_lifetime: Duration,
}

/// What the Node object says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    pub role: Role,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Taint {
    pub key: String,
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// How kubelet differs from what Windlass would plan by itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kubelet {
    pub max_pods: MaxPods,
    pub reserved: ReservedFormula,
    /// Laid over the planned KubeletConfiguration, as its JSON fields are called.
    pub overrides: BTreeMap<String, serde_json::Value>,
}

/// How many pods a node takes; its pod CIDR always bounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaxPods {
    /// As EKS' max-pods calculator: from the type's ENIs, 110 at most below 30 vCPUs, else 250.
    Eks,
    /// 110, as GKE and upstream Kubernetes say.
    Gke,
    #[serde(untagged)]
    Fixed(u32),
}

/// Which published formula reserves CPU and memory for the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReservedFormula {
    Eks,
    Gke,
    None,
}

/// Where images come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Registry {
    /// Registry host → mirrors, tried in order before the registry itself.
    pub mirrors: BTreeMap<String, Vec<String>>,
}

/// Lifecycle hooks of the group's Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hooks {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination: Option<String>,
    /// The termination hook's `HeartbeatTimeout`, or less.
    #[serde(with = "seconds")]
    pub termination_timeout: Duration,
}

/// Limits of a boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Boot {
    /// From the start of `windlass boot` until the node must be Ready.
    #[serde(with = "seconds")]
    pub deadline: Duration,
}

/// How pods leave before their node does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drain {
    /// What happens to pods that may not be evicted in time.
    pub when_refused: WhenRefused,
    /// What a drain may take where AWS sets no earlier end.
    #[serde(with = "seconds")]
    pub deadline: Duration,
    /// What load balancers need to let go of a node.
    #[serde(with = "seconds")]
    pub deregistration_delay: Duration,
    pub on_rebalance: OnRebalance,
    /// Pods that no controller makes anew.
    pub bare_pods: Treatment,
    /// Pods with data in an `emptyDir`.
    pub local_data: Treatment,
}

/// What a rebalance recommendation is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnRebalance {
    Cordon,
    Drain,
}

/// Whether pods that lose something by it are evicted, or end with the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    Evict,
    Keep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenRefused {
    Wait,
    Delete,
}

/// Durations are whole seconds with a unit, `"900s"`, in a revision.
mod seconds {
    use std::time::Duration;

    use serde::Serializer;

    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{}s", duration.as_secs()))
    }
}

#[cfg(test)]
mod roundtrip;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod userdata_tests;
