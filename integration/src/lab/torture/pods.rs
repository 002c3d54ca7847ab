//! The pods of one Node, and who makes and ends them where there is no kubelet and no controller:
//! whatever was asked to leave is gone a while later, and of what a budget protects another one is
//! ready elsewhere then.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent,
    WatchParams,
};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::book::Book;

/// A pod that is wanted on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub kind: Kind,
    pub grace_seconds: u32,
    /// From being asked to leave to being gone; none: never.
    pub ends_after: Option<Duration>,
    /// Nobody removes its finalizer.
    pub finalizer: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of several with a budget, of which one at a time may be away.
    Web,
    /// Without a controller, with local data.
    Bare,
    /// It leaves last.
    Critical,
    /// It stays.
    OfDaemonSet,
}

/// What the budget of the node's web pods allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    OneAway,
    /// Never anything.
    NoneAway,
}

/// They are there, and end when they are asked to, until this is dropped.
pub struct Pods {
    _at_work: JoinSet<()>,
}

impl Wanted {
    /// With Kubernetes' usual grace.
    pub fn new(name: &str, kind: Kind, ends_after: Option<Duration>) -> Self {
        let name = name.to_owned();
        Self { name, kind, grace_seconds: 30, ends_after, finalizer: false }
    }
}

impl Kind {
    pub fn leaves(self) -> bool {
        self != Self::OfDaemonSet
    }
}

impl Pods {
    /// Makes Node and pods, in a namespace of their own with the Node's name.
    pub async fn create(
        client: &Client,
        node: &str,
        wanted: &[Wanted],
        budget: Budget,
        book: &Book,
    ) -> Result<Self> {
        make(Api::<Namespace>::all(client.clone()), named(node, json!({}))).await?;
        make(Api::<Node>::all(client.clone()), named(node, json!({}))).await?;
        let webs = wanted.iter().filter(|pod| pod.kind == Kind::Web).count();
        if webs > 0 {
            let away = usize::from(budget == Budget::OneAway);
            let spec = json!({
                "minAvailable": webs - away, "selector": { "matchLabels": { "app": "web" } },
            });
            let budgets = Api::<PodDisruptionBudget>::namespaced(client.clone(), node);
            make(budgets, named("web", spec)).await?;
        }
        let mut made: FuturesUnordered<_> = wanted
            .iter()
            .map(|pod| {
                book.born(&pod.name, pod.kind.leaves());
                run(client, node, node, &pod.name, pod)
            })
            .collect();
        while let Some(made) = made.next().await {
            made?;
        }
        if webs > 0 && budget == Budget::OneAway {
            until_allowed(client, node).await?;
        }
        let kubelet = Kubelet {
            client: client.clone(),
            node: node.to_owned(),
            wanted: wanted.to_vec(),
            book: book.clone(),
        };
        let mut at_work = JoinSet::new();
        at_work.spawn(kubelet.work());
        at_work.spawn(watch_node(client.clone(), node.to_owned(), book.clone()));
        Ok(Self { _at_work: at_work })
    }
}

#[derive(Clone)]
struct Kubelet {
    client: Client,
    node: String,
    wanted: Vec<Wanted>,
    book: Book,
}

impl Kubelet {
    async fn work(self) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.node);
        let selector = format!("spec.nodeName={}", self.node);
        let mut ending = JoinSet::new();
        let mut asked = Vec::new();
        let (pods, book) = (&pods, self.book.clone());
        let each = |change: Change<Pod>| match change {
            Change::Is(pod) => {
                let name = pod.name_any();
                if pod.metadata.deletion_timestamp.is_some() && !asked.contains(&name) {
                    asked.push(name.clone());
                    book.asked(&name);
                    ending.spawn(self.clone().end(pod));
                }
            }
            Change::Gone(name) => book.gone(&name),
        };
        follow(pods, &selector, each).await;
    }

    /// As kubelet does when the pod's containers have ended.
    async fn end(self, pod: Pod) {
        let name = pod.name_any();
        let Some(wanted) = self.wanted.iter().find(|wanted| wanted.name == name) else { return };
        let Some(after) = wanted.ends_after else { return };
        sleep(after).await;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.node);
        let uid = pod.metadata.uid.clone();
        let at_once = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid, ..Preconditions::default() }),
            ..DeleteParams::default()
        };
        self.book.ends(&name);
        match pods.delete(&name, &at_once).await {
            Ok(_) if wanted.finalizer => return,
            Ok(_) => self.book.gone(&name),
            Err(error) => self.book.tell(format!("pod {name} cannot be ended: {error}")),
        }
        if wanted.kind == Kind::Web {
            let successor = format!("{name}-successor");
            let made = run(&self.client, &self.node, "elsewhere", &successor, wanted).await;
            if let Err(error) = made {
                self.book.tell(format!("no successor of pod {name}: {error:#}"));
            }
        }
    }
}

async fn watch_node(client: Client, node: String, book: Book) {
    let nodes: Api<Node> = Api::all(client);
    let each = |change: Change<Node>| {
        if let Change::Is(node) = change {
            let spec = node.spec.unwrap_or_default();
            book.cordoned(spec.unschedulable == Some(true));
        }
    };
    follow(&nodes, &format!("metadata.name={node}"), each).await;
}

/// A pod that runs and is ready.
async fn run(
    client: &Client,
    namespace: &str,
    node: &str,
    name: &str,
    wanted: &Wanted,
) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    make(pods.clone(), manifest(node, name, wanted)).await?;
    let status = json!({ "status": {
        "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }],
    } });
    let (params, patch) = (PatchParams::default(), Patch::Merge(status));
    let mut patched = pods.patch_status(name, &params, &patch).await;
    if !matches!(patched, Ok(_) | Err(kube::Error::Api(_))) {
        patched = pods.patch_status(name, &params, &patch).await;
    }
    patched.map(drop).with_context(|| format!("cannot say that pod {name} is ready"))
}

fn manifest(node: &str, name: &str, wanted: &Wanted) -> Value {
    let owner = |version: &str, kind: &str| {
        json!([{ "apiVersion": version, "kind": kind, "name": "owner", "controller": true,
            "uid": "5a1cb2f4-7a90-4b7e-9f0e-2f4b1d1c0001" }])
    };
    let owners = match wanted.kind {
        Kind::Web | Kind::Critical => owner("apps/v1", "ReplicaSet"),
        Kind::OfDaemonSet => owner("apps/v1", "DaemonSet"),
        Kind::Bare => json!([]),
    };
    let volumes = match wanted.kind {
        Kind::Bare => json!([{ "name": "scratch", "emptyDir": {} }]),
        _ => json!([]),
    };
    let class = match wanted.kind {
        Kind::Critical => json!("system-cluster-critical"),
        _ => Value::Null,
    };
    let labels = if wanted.kind == Kind::Web { json!({ "app": "web" }) } else { json!({}) };
    let finalizers = if wanted.finalizer { json!(["windlass.dev/never"]) } else { json!([]) };
    json!({
        "metadata": {
            "name": name, "labels": labels, "ownerReferences": owners, "finalizers": finalizers,
        },
        "spec": {
            "nodeName": node, "terminationGracePeriodSeconds": wanted.grace_seconds,
            "priorityClassName": class, "automountServiceAccountToken": false, "volumes": volumes,
            "containers": [{ "name": "pause", "image": "pause" }],
        },
    })
}

fn named(name: &str, spec: Value) -> Value {
    json!({ "metadata": { "name": name }, "spec": spec })
}

async fn make<K>(api: Api<K>, object: Value) -> Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let shown = object["metadata"]["name"].to_string();
    let object: K = serde_json::from_value(object)?;
    // A connection that was kept may end at any moment, and what was asked on it may be done.
    for again in [true, true, false] {
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => break,
            Err(kube::Error::Api(status)) if status.code == 409 => break,
            Err(kube::Error::Api(status)) => bail!("cannot make {shown}: {}", status.message),
            Err(_) if again => {}
            Err(error) => return Err(error).with_context(|| format!("cannot make {shown}")),
        }
    }
    Ok(())
}

/// Until the budget counts its pods.
async fn until_allowed(client: &Client, namespace: &str) -> Result<()> {
    let budgets = Api::<PodDisruptionBudget>::namespaced(client.clone(), namespace);
    for _ in 0..1200 {
        let status = budgets.get("web").await?.status.unwrap_or_default();
        if status.disruptions_allowed > 0 {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    bail!("the disruption controller allows nothing after 120 s")
}

enum Change<K> {
    Is(K),
    /// By its name.
    Gone(String),
}

/// One list and the watch from there on, again and again, for as long as it is polled.
async fn follow<K>(api: &Api<K>, selector: &str, mut each: impl FnMut(Change<K>))
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let mut known: Vec<String> = Vec::new();
    loop {
        if let Ok(listed) = api.list(&ListParams::default().fields(selector)).await {
            let names: Vec<String> = listed.items.iter().map(ResourceExt::name_any).collect();
            let gone = known.into_iter().filter(|name| !names.contains(name));
            gone.for_each(|name| each(Change::Gone(name)));
            known = names;
            let version = listed.metadata.resource_version.unwrap_or_default();
            listed.items.into_iter().for_each(|object| each(Change::Is(object)));
            let params = WatchParams::default().fields(selector);
            if let Ok(changes) = api.watch(&params, &version).await {
                let mut changes = changes.boxed();
                while let Some(Ok(change)) = changes.next().await {
                    match change {
                        WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                            each(Change::Is(object));
                        }
                        WatchEvent::Deleted(object) => each(Change::Gone(object.name_any())),
                        WatchEvent::Bookmark(_) => {}
                        WatchEvent::Error(_) => break,
                    }
                }
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
}
