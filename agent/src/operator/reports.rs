//! Finding one node's reports by what a person calls the node.

use anyhow::Context;
use futures_util::{StreamExt, stream};
use serde::de::DeserializeOwned;

use super::{Cluster, Hinted};
use crate::exchange::{Denied, Grant, InstanceId, UserId};
use crate::report::{self, DrainReport, Report};

/// How many objects are read at a time.
const PARALLEL: usize = 16;

/// What one node reported.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Reports {
    pub boot: Option<Report>,
    /// Its last drain.
    pub drain: Option<DrainReport>,
}

/// What `node` reported: an instance id or a Node's name. An error where it is nothing.
pub async fn find(cluster: &Cluster, node: &str) -> anyhow::Result<Reports> {
    let listed = cluster.store.list(&cluster.keys.nodes()).await;
    let listed = listed.map_err(|error| cluster.explain(error))?;
    let mut users: Vec<UserId> = listed.iter().filter_map(|key| UserId::in_key(key)).collect();
    users.dedup();
    if let Ok(instance) = node.parse::<InstanceId>() {
        users.retain(|user| user.instance == instance);
    } else {
        users = named(cluster, users, node).await?;
    }
    for user in &users {
        let found = Reports {
            boot: read(cluster, &listed, cluster.keys.report(user)).await?,
            drain: read(cluster, &listed, cluster.keys.drain(user)).await.unwrap_or_else(|error| {
                tracing::warn!("how it left is not known: {error:#}");
                None
            }),
        };
        if found != Reports::default() {
            return Ok(found);
        }
    }
    Err(none(cluster, node, &users, &listed).await?.into())
}

/// The object, where it was listed.
async fn read<T: DeserializeOwned>(
    cluster: &Cluster,
    listed: &[String],
    key: String,
) -> anyhow::Result<Option<T>> {
    if !listed.contains(&key) {
        return Ok(None);
    }
    let object = cluster.store.get(&key).await.map_err(|error| cluster.explain(error))?;
    let Some(object) = object else { return Ok(None) };
    report::read(&object.bytes).with_context(|| format!("`{key}`")).map(Some)
}

/// Those whose grant is for the Node `name`.
async fn named(cluster: &Cluster, users: Vec<UserId>, name: &str) -> anyhow::Result<Vec<UserId>> {
    let granted = users.into_iter().map(async |user| {
        let object = cluster.store.get(&cluster.keys.grant(&user)).await.ok()??;
        let grant: Grant = serde_json::from_slice(&object.bytes).ok()?;
        (grant.node == name).then_some(user)
    });
    let found: Vec<Option<UserId>> = stream::iter(granted).buffered(PARALLEL).collect().await;
    Ok(found.into_iter().flatten().collect())
}

async fn none(
    cluster: &Cluster,
    node: &str,
    users: &[UserId],
    listed: &[String],
) -> anyhow::Result<Hinted> {
    let nodes = "`windlass nodes` lists the cluster's instances and says why each is not Ready";
    let Some(user) = users.first() else {
        let message = format!("{} knows no instance or node `{node}`", cluster.address());
        return Ok(Hinted::new(message, nodes));
    };
    let key = cluster.keys.denied(user);
    if listed.contains(&key) {
        let object = cluster.store.get(&key).await.map_err(|error| cluster.explain(error))?;
        if let Some(object) = object {
            let denied: Denied = serde_json::from_slice(&object.bytes)?;
            let message =
                format!("{} has no boot report: it was denied: {}", user.instance, denied.message);
            return Ok(Hinted::new(message, nodes));
        }
    }
    let message = format!("{} has no boot report yet", user.instance);
    Ok(Hinted::new(message, "it is written when the node is Ready, or when its boot is given up"))
}
