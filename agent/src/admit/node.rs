//! The Node object, made before the grant: so no pod lands before a taint, a node cannot choose its
//! own role, and `spec.podCIDR` is there for those who read it. Where the API server is away the
//! grant does not wait: kubelet registers itself, and what it may not say is added later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Node, NodeSpec, Taint};
use kube::api::{
    Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions,
};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout};

use super::Admitter;
use super::apiserver::Access;
use super::verify::launched;
use crate::client::ec2::{Instance, State};
use crate::config::NodeConfig;
use crate::exchange::{Grant, InstanceId, UserId};
use crate::plan;

/// What a grant waits for the API server at most.
const PATIENCE: Duration = Duration::from_secs(3);

/// For how long nobody waits after the API server did not answer.
const AWAY: Duration = Duration::from_secs(10);

/// Between two rounds of completing Nodes, and until the API server is there for the first one: the
/// control plane's own Node waits for it.
const COMPLETION: Duration = Duration::from_secs(15);
const FIRST_COMPLETION: Duration = Duration::from_secs(1);

/// A Node as it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    name: String,
    provider_id: String,
    labels: BTreeMap<String, String>,
    taints: Vec<crate::config::Taint>,
    pod_cidrs: Vec<IpNet>,
}

/// The Nodes of the cluster.
#[derive(Debug)]
pub(super) struct Nodes {
    pub(super) access: Access,
    /// Granted without a complete Node, by name.
    incomplete: Mutex<BTreeMap<String, Wanted>>,
    away_until: Mutex<Option<Instant>>,
}

/// What `instance` becomes with this revision and these pod CIDRs.
pub(super) fn wanted(instance: &Instance, revision: &NodeConfig, pod_cidrs: &[IpNet]) -> Wanted {
    let planned = plan::node::planned(launched(instance), revision);
    let mut labels = planned.labels;
    labels.extend(planned.protected_labels);
    Wanted {
        name: planned.name,
        provider_id: planned.provider_id,
        labels,
        taints: planned.taints,
        pod_cidrs: pod_cidrs.to_vec(),
    }
}

impl Nodes {
    pub(super) fn new(access: Access) -> Self {
        Self { access, incomplete: Mutex::default(), away_until: Mutex::default() }
    }

    /// Sees to the Node now, or remembers it for later where the API server does not answer soon.
    pub(super) async fn ensure_or_later(&self, wanted: Wanted) {
        let away = *self.away_until.lock().expect("until when the API server is away");
        if away.is_none_or(|until| until <= Instant::now()) {
            match timeout(PATIENCE, self.ensure(&wanted)).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    tracing::warn!("Node {} is completed later: {error:#}", wanted.name);
                }
                Err(_) => {
                    tracing::warn!("Node {} is completed later: no answer", wanted.name);
                }
            }
            let until = Instant::now() + AWAY;
            *self.away_until.lock().expect("until when the API server is away") = Some(until);
        }
        self.later(wanted);
    }

    fn later(&self, wanted: Wanted) {
        let mut incomplete = self.incomplete.lock().expect("the incomplete Nodes");
        incomplete.insert(wanted.name.clone(), wanted);
    }

    /// Leaves a Node that says all that is wanted, whoever made it.
    async fn ensure(&self, wanted: &Wanted) -> anyhow::Result<()> {
        let nodes: Api<Node> = Api::all(self.access.client()?);
        match nodes.create(&PostParams::default(), &wanted.object()).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {}
            Err(error) => return Err(error).context("creating the Node"),
        }
        let Some(found) = nodes.get_opt(&wanted.name).await.context("reading the Node")? else {
            bail!("Node {} came and went", wanted.name);
        };
        if wanted.is_of_another_instance(&found) {
            tracing::info!("Node {} is left from another instance: made anew", wanted.name);
            delete(&nodes, &found).await?;
            nodes.create(&PostParams::default(), &wanted.object()).await.context("creating it")?;
            return Ok(());
        }
        if let Some(patch) = wanted.missing_in(&found) {
            let params = PatchParams::default();
            nodes.patch(&wanted.name, &params, &Patch::Merge(patch)).await.context("patching")?;
        }
        Ok(())
    }

    /// Deletes the Nodes whose provider IDs name `gone` instances.
    pub(super) async fn delete(&self, gone: &BTreeSet<InstanceId>) -> anyhow::Result<()> {
        let is_gone = |instance: Option<InstanceId>| instance.is_some_and(|it| gone.contains(&it));
        let nodes: Api<Node> = Api::all(self.access.client()?);
        for node in self.list().await?.iter().filter(|node| is_gone(instance_of(node))) {
            delete(&nodes, node).await?;
        }
        let mut incomplete = self.incomplete.lock().expect("the incomplete Nodes");
        incomplete.retain(|_, wanted| !is_gone(instance_in(&wanted.provider_id)));
        Ok(())
    }

    async fn list(&self) -> anyhow::Result<Vec<Node>> {
        let nodes: Api<Node> = Api::all(self.access.client()?);
        Ok(nodes.list(&ListParams::default()).await.context("listing Nodes")?.items)
    }

    async fn complete_known(&self) {
        let incomplete = self.incomplete.lock().expect("the incomplete Nodes").clone();
        for (name, wanted) in incomplete {
            match self.ensure(&wanted).await {
                Ok(()) => {
                    tracing::info!("completed Node {name}");
                    self.incomplete.lock().expect("the incomplete Nodes").remove(&name);
                }
                Err(error) => tracing::warn!("Node {name} is still incomplete: {error:#}"),
            }
        }
    }
}

impl Admitter {
    /// Completes Nodes that were granted while the API server was away, by whichever admitter.
    pub(super) async fn complete_nodes(self: Arc<Self>) {
        let Some(nodes) = &self.nodes else { return };
        let mut told = false;
        while let Err(error) = self.find_incomplete(nodes).await {
            if !std::mem::replace(&mut told, true) {
                tracing::info!("Nodes cannot be looked at yet: {error:#}");
            }
            tokio::time::sleep(FIRST_COMPLETION).await;
        }
        loop {
            nodes.complete_known().await;
            tokio::time::sleep(COMPLETION).await;
        }
    }

    /// After a start nobody remembers who was granted without a Node: those that are alive, have a
    /// grant, and whose Node has no pod CIDR.
    async fn find_incomplete(&self, nodes: &Nodes) -> anyhow::Result<()> {
        let listed = nodes.list().await?;
        let complete = |instance: &InstanceId| {
            listed.iter().any(|node| {
                instance_of(node).as_ref() == Some(instance) && pod_cidr(node).is_some()
            })
        };
        for key in self.store.list(&self.keys.nodes()).await? {
            let Some(user) = UserId::in_key(&key).filter(|_| key.ends_with("/grant.json")) else {
                continue;
            };
            if complete(&user.instance) {
                continue;
            }
            if let Some(wanted) = self.granted(&key, &user).await? {
                nodes.later(wanted);
            }
        }
        Ok(())
    }

    async fn granted(&self, key: &str, user: &UserId) -> anyhow::Result<Option<Wanted>> {
        let described = self.ec2.instances_by_id(std::slice::from_ref(&user.instance)).await?;
        let alive = |it: &Instance| matches!(it.state, State::Pending | State::Running);
        let instance = described.into_iter().find(alive);
        let (Some(instance), Some(object)) = (instance, self.store.get(key).await?) else {
            return Ok(None);
        };
        let grant: Grant = serde_json::from_slice(&object.bytes)
            .with_context(|| format!("`{key}` is not a grant"))?;
        let group = self.configs.current(&grant.group).await?;
        Ok(group.map(|revision| wanted(&instance, &revision, &grant.pod_cidrs)))
    }
}

impl Wanted {
    fn object(&self) -> Node {
        Node {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(self.labels.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(NodeSpec {
                provider_id: Some(self.provider_id.clone()),
                pod_cidr: self.pod_cidrs.first().map(IpNet::to_string),
                pod_cidrs: Some(self.pod_cidrs.iter().map(IpNet::to_string).collect()),
                taints: Some(self.taints.iter().map(taint).collect()),
                ..NodeSpec::default()
            }),
            status: None,
        }
    }

    /// Where nodes are named by their address, a name comes back with another instance.
    fn is_of_another_instance(&self, found: &Node) -> bool {
        let provider_id = found.spec.as_ref().and_then(|spec| spec.provider_id.as_deref());
        provider_id.is_some_and(|id| !id.is_empty() && id != self.provider_id)
    }

    /// What the Node lacks, as a JSON merge patch. Labels that somebody changed later stay changed
    /// and taints that somebody removed stay removed: both are added only with the pod CIDR, which
    /// a Node that kubelet registered itself does not have.
    fn missing_in(&self, found: &Node) -> Option<Value> {
        if pod_cidr(found).is_some() {
            return None;
        }
        let spec = found.spec.clone().unwrap_or_default();
        let mut taints = spec.taints.unwrap_or_default();
        for wanted in self.taints.iter().map(taint) {
            let same = |it: &Taint| it.key == wanted.key && it.effect == wanted.effect;
            if !taints.iter().any(same) {
                taints.push(wanted);
            }
        }
        let labels: Map<_, _> =
            self.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        Some(json!({
            // So that what was looked at is what is changed.
            "metadata": { "labels": labels, "resourceVersion": found.metadata.resource_version },
            "spec": {
                "podCIDR": self.pod_cidrs.first(),
                "podCIDRs": self.pod_cidrs,
                "providerID": self.provider_id,
                "taints": taints,
            },
        }))
    }
}

/// With the UID that was looked at: a Node of the same name that came since stays.
async fn delete(nodes: &Api<Node>, node: &Node) -> anyhow::Result<()> {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let preconditions = Preconditions { uid: node.metadata.uid.clone(), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match nodes.delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(error) => Err(error).with_context(|| format!("deleting Node {name}")),
    }
}

fn taint(planned: &crate::config::Taint) -> Taint {
    Taint {
        key: planned.key.clone(),
        value: Some(planned.value.clone()),
        effect: planned.effect.clone(),
        time_added: None,
    }
}

fn pod_cidr(node: &Node) -> Option<&str> {
    node.spec.as_ref()?.pod_cidr.as_deref().filter(|cidr| !cidr.is_empty())
}

fn instance_of(node: &Node) -> Option<InstanceId> {
    instance_in(node.spec.as_ref()?.provider_id.as_deref()?)
}

/// The instance in a provider ID, `aws:///ZONE/INSTANCE-ID`.
fn instance_in(provider_id: &str) -> Option<InstanceId> {
    provider_id.strip_prefix("aws://")?.rsplit('/').next()?.parse().ok()
}
