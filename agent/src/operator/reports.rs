//! Finding one node's boot report by what a person calls the node.

use futures_util::{StreamExt, stream};

use super::{Cluster, Hinted};
use crate::exchange::{Denied, Grant, InstanceId, UserId};
use crate::report::Report;

/// How many objects are read at a time.
const PARALLEL: usize = 16;

/// The boot report of `node`: an instance id or a Node's name.
pub async fn find(cluster: &Cluster, node: &str) -> anyhow::Result<Report> {
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
        let key = cluster.keys.report(user);
        if listed.contains(&key) {
            let object = cluster.store.get(&key).await.map_err(|error| cluster.explain(error))?;
            if let Some(object) = object {
                return Ok(serde_json::from_slice(&object.bytes)?);
            }
        }
    }
    Err(none(cluster, node, &users, &listed).await?.into())
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
