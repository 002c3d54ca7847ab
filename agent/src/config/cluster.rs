//! The operator's `cluster.toml`: a cluster described once, its groups by what makes them differ.
//!
//! Every group of it becomes a configuration revision, which says everything.

use std::collections::BTreeMap;

use super::entry::Entry;
use super::problems::Problems;
use super::raw::{self, Section};
use super::sections::{self, Limits};
use super::{
    Admission, Api, Boot, Cluster, Drain, Hooks, Host, Kubelet, Network, Node, NodeConfig,
    Registry, Storage, Watch, api, host, kubelet, labels, network, rules, storage, watch,
};

/// A whole `cluster.toml`, validated.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterFile {
    pub cluster: Cluster,
    /// The S3 bucket that holds the cluster's state.
    pub bucket: String,
    /// The KMS key that encrypts the CA's private keys: ARN, id or alias.
    pub kms_key: Option<String>,
    /// The API server, `https://HOST[:PORT]`.
    pub endpoint: String,
    network: Network,
    registry: Registry,
    groups: BTreeMap<String, Group>,
}

/// What nodes trust and which generation of the CA signs now: not in the file but in S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaBundle {
    /// PEM, concatenated.
    pub certificate_authorities: String,
    pub generation: u32,
}

#[derive(Clone, Debug, PartialEq)]
struct Group {
    admission: Admission,
    node: Node,
    kubelet: Kubelet,
    host: Host,
    storage: Storage,
    hooks: Hooks,
    boot: Boot,
    drain: Drain,
    watch: Watch,
}

impl ClusterFile {
    /// Reads the file. All that is wrong with it is reported at once.
    pub fn parse(text: &str) -> Result<ClusterFile, Problems> {
        raw::document("cluster.toml", text, read)
    }

    /// The names of its groups.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// One revision a group, by its name.
    pub fn revisions(&self, ca: &CaBundle) -> BTreeMap<String, NodeConfig> {
        let revision = |(name, group): (&String, &Group)| {
            let group = group.clone();
            let config = NodeConfig {
                group: name.clone(),
                cluster: self.cluster.clone(),
                api: Api {
                    endpoint: self.endpoint.clone(),
                    certificate_authorities: ca.certificate_authorities.clone(),
                    ca_generation: ca.generation,
                },
                network: self.network.clone(),
                admission: group.admission,
                node: group.node,
                kubelet: group.kubelet,
                host: group.host,
                storage: group.storage,
                registry: self.registry.clone(),
                hooks: group.hooks,
                boot: group.boot,
                drain: group.drain,
                watch: group.watch,
            };
            (name.clone(), config)
        };
        self.groups.iter().map(revision).collect()
    }
}

/// What a group says only where it differs.
struct Shared {
    limits: Limits,
    kubelet: Kubelet,
    host: Host,
    storage: Storage,
    boot: Boot,
    drain: Drain,
    watch: Watch,
}

fn read(root: &Section<'_>) -> Option<ClusterFile> {
    let cluster = root.table("cluster", read_cluster);
    let endpoint = root.table("api", |table| {
        let endpoint = table.required("endpoint", "the API server's URL");
        endpoint.and_then(|entry| api::endpoint(&entry))
    });
    let network = root.table("network", network::read);
    let registry = root.table("registry", sections::registry);
    let limits = root.table("admission", sections::limits);
    let kubelet = root.table("kubelet", |table| kubelet::read(table, Kubelet::default()));
    let host = root.table("host", |table| host::read(table, Host::default()));
    let storage = root.table("storage", |table| storage::read(table, Storage::default()));
    let boot = root.table("boot", |table| sections::boot(table, Boot::default()));
    let drain = root.table("drain", |table| sections::drain(table, Drain::default()));
    let watch = root.table("watch", |table| watch::read(table, Watch::default()));
    let groups_at = root.required("groups", "a table `[groups.NAME]` for each group");
    let shared = (|| {
        let (limits, kubelet, host, storage) = (limits?, kubelet?, host?, storage?);
        let (boot, drain, watch) = (boot?, drain?, watch?);
        Some(Shared { limits, kubelet, host, storage, boot, drain, watch })
    })();
    let groups = groups_at.and_then(|entry| read_groups(&entry, shared.as_ref()));
    let (cluster, bucket, kms_key) = cluster?;
    Some(ClusterFile {
        cluster,
        bucket,
        kms_key,
        endpoint: endpoint?,
        network: network?,
        registry: registry?,
        groups: groups?,
    })
}

fn read_cluster(section: &Section<'_>) -> Option<(Cluster, String, Option<String>)> {
    let cluster = sections::cluster(section);
    let bucket = section.required("bucket", "the S3 bucket that holds the cluster's state");
    let bucket = bucket.and_then(|entry| rules::bucket(&entry));
    let kms_key = section.or("kms_key", None, |entry| rules::kms_key(&entry).map(Some));
    Some((cluster?, bucket?, kms_key?))
}

/// Where the shared tables are wrong the groups are read against the defaults, so that what is
/// wrong with them is reported too.
fn read_groups(entry: &Entry<'_>, shared: Option<&Shared>) -> Option<BTreeMap<String, Group>> {
    let groups: BTreeMap<String, Group> = entry.map(|name, entry| {
        if !rules::is_name(name) {
            return entry.problem(format!("is not a group's name, wanted {}", rules::NAME));
        }
        entry.table(|table| read_group(table, shared))
    })?;
    if groups.is_empty() {
        return entry.problem("is empty, wanted a table `[groups.NAME]` for each group");
    }
    Some(groups)
}

fn read_group(section: &Section<'_>, shared: Option<&Shared>) -> Option<Group> {
    let identities = sections::identities(section);
    let role = sections::role(section);
    let labels = section.or("labels", BTreeMap::new(), labels::labels);
    let taints = section.or("taints", Vec::new(), labels::taints);
    let hooks = section.table("hooks", sections::hooks);
    let kubelet = shared.map(|shared| shared.kubelet.clone()).unwrap_or_default();
    let kubelet = section.table("kubelet", |table| kubelet::read(table, kubelet));
    let host = shared.map(|shared| shared.host.clone()).unwrap_or_default();
    let host = section.table("host", |table| host::read(table, host));
    let storage = shared.map(|shared| shared.storage).unwrap_or_default();
    let storage = section.table("storage", |table| storage::read(table, storage));
    let boot = shared.map(|shared| shared.boot.clone()).unwrap_or_default();
    let boot = section.table("boot", |table| sections::boot(table, boot));
    let drain = shared.map(|shared| shared.drain.clone()).unwrap_or_default();
    let drain = section.table("drain", |table| sections::drain(table, drain));
    let watch = shared.map(|shared| shared.watch.clone()).unwrap_or_default();
    let watch = section.table("watch", |table| watch::read(table, watch));
    let ((role_ids, instance_profile), Limits { window, certificate_lifetime }) =
        (identities?, shared?.limits);
    Some(Group {
        admission: Admission { role_ids, instance_profile, window, certificate_lifetime },
        node: Node { role: role?, labels: labels?, taints: taints? },
        kubelet: kubelet?,
        host: host?,
        storage: storage?,
        hooks: hooks?,
        boot: boot?,
        drain: drain?,
        watch: watch?,
    })
}
