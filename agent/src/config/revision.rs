//! A configuration revision as TOML: one group, everything said.

use super::problems::Problems;
use super::raw::{self, Section};
use super::{
    Admission, Api, Boot, Drain, Host, Kubelet, Node, NodeConfig, Storage, Watch, api, host,
    kubelet, labels, network, rules, sections, storage, watch,
};

impl NodeConfig {
    /// Reads a revision. All that is wrong with it is reported at once.
    pub fn parse(text: &str) -> Result<NodeConfig, Problems> {
        raw::document("configuration", text, read)
    }

    /// The revision that [`NodeConfig::parse`] reads as this very value.
    ///
    /// # Panics
    ///
    /// If an override of kubelet's holds JSON's `null`, which TOML does not have and `parse`
    /// never makes.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration has only what TOML has")
    }
}

fn read(root: &Section<'_>) -> Option<NodeConfig> {
    let group = root.required("group", "the group's name").and_then(|entry| rules::name(&entry));
    let cluster = root.table("cluster", sections::cluster);
    let api = root.table("api", read_api);
    let network = root.table("network", network::read);
    let admission = root.table("admission", read_admission);
    let node = root.table("node", read_node);
    let kubelet = root.table("kubelet", |table| kubelet::read(table, Kubelet::default()));
    let host = root.table("host", |table| host::read(table, Host::default()));
    let storage = root.table("storage", |table| storage::read(table, Storage::default()));
    let registry = root.table("registry", sections::registry);
    let hooks = root.table("hooks", sections::hooks);
    let boot = root.table("boot", |table| sections::boot(table, Boot::default()));
    let drain = root.table("drain", |table| sections::drain(table, Drain::default()));
    let watch = root.table("watch", |table| watch::read(table, Watch::default()));
    Some(NodeConfig {
        group: group?,
        cluster: cluster?,
        api: api?,
        network: network?,
        admission: admission?,
        node: node?,
        kubelet: kubelet?,
        host: host?,
        storage: storage?,
        registry: registry?,
        hooks: hooks?,
        boot: boot?,
        drain: drain?,
        watch: watch?,
    })
}

fn read_api(section: &Section<'_>) -> Option<Api> {
    let endpoint = section.required("endpoint", "the API server's URL");
    let endpoint = endpoint.and_then(|entry| api::endpoint(&entry));
    let authorities = section.required("certificate_authorities", "CA certificates as PEM");
    let authorities = authorities.and_then(|entry| api::certificate_authorities(&entry));
    let generation = section.required("ca_generation", "the generation of the CA that signs now");
    let generation = generation.and_then(|entry| entry.integer(1..=u32::MAX));
    Some(Api {
        endpoint: endpoint?,
        certificate_authorities: authorities?,
        ca_generation: generation?,
    })
}

fn read_admission(section: &Section<'_>) -> Option<Admission> {
    let identities = sections::identities(section);
    let limits = sections::limits(section);
    let ((role_ids, instance_profile), limits) = (identities?, limits?);
    Some(Admission {
        role_ids,
        instance_profile,
        window: limits.window,
        certificate_lifetime: limits.certificate_lifetime,
    })
}

fn read_node(section: &Section<'_>) -> Option<Node> {
    let role = sections::role(section);
    let labels = section.or("labels", Default::default(), labels::labels);
    let taints = section.or("taints", Vec::new(), labels::taints);
    Some(Node { role: role?, labels: labels?, taints: taints? })
}
