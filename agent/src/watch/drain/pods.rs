//! The pods of this node, as they come and go: one list, and one watch from there on.

use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1 as core;
use kube::Api;
use kube::api::{ApiResource, ListParams, ObjectList, WatchEvent, WatchParams};
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};

use super::cluster::Cluster;
use super::pod::{Pod, Told, Uid};
use super::step::Observation;

/// The list is small: a node has at most a few hundred pods.
const LIST: Duration = Duration::from_secs(10);
/// The server ends a watch after so long, and the next one begins where it ended.
const WATCH_SECONDS: u32 = 60;
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);
/// Between a watch that failed and the list that replaces it.
const AGAIN: Duration = Duration::from_secs(1);

/// Tells of the Node's pods for as long as somebody listens.
pub(super) async fn follow(cluster: Cluster, tell: Sender<Observation>) {
    // Said once, and once more when it is another reason.
    let mut said = String::new();
    while !tell.is_closed() {
        if let Err(error) = follow_once(&cluster, &tell).await {
            let error = format!("{error:#}");
            if error != said {
                tracing::warn!("the pods of this node are not known now: {error}");
                said = error;
            }
        }
        sleep(AGAIN).await;
    }
}

/// All pods of the Node, those that stay too.
pub(super) async fn list(cluster: &Cluster) -> anyhow::Result<ObjectList<Told>> {
    let all = ListParams::default().fields(&selector(cluster));
    let listed = timeout(LIST, pods(cluster)?.list(&all)).await;
    listed.context("listing them: no answer")?.context("listing them")
}

fn pods(cluster: &Cluster) -> anyhow::Result<Api<Told>> {
    let kind = ApiResource::erase::<core::Pod>(&());
    Ok(Api::all_with(cluster.client()?, &kind))
}

/// Without it a kubelet may not list pods.
fn selector(cluster: &Cluster) -> String {
    format!("spec.nodeName={}", cluster.node())
}

async fn follow_once(cluster: &Cluster, tell: &Sender<Observation>) -> anyhow::Result<()> {
    let listed = list(cluster).await?;
    let pods = pods(cluster)?;
    let leave = listed.items.iter().filter_map(Pod::of).collect();
    let mut version = listed.metadata.resource_version.unwrap_or_default();
    if tell.send(Observation::Pods(leave)).await.is_err() {
        return Ok(());
    }
    let params = WatchParams::default().fields(&selector(cluster)).timeout(WATCH_SECONDS);
    loop {
        let watching = timeout(LIST, pods.watch(&params, &version));
        let watching = watching.await.context("watching them: no answer")?;
        let mut changes = watching.context("watching them")?.boxed();
        // A server that vanished says nothing either.
        while let Some(change) = timeout(SILENCE, changes.next()).await.context("watching them")? {
            let observed = match change.context("watching them")? {
                WatchEvent::Added(pod) | WatchEvent::Modified(pod) => {
                    version = pod.metadata.resource_version.clone().unwrap_or(version);
                    seen(&pod)
                }
                WatchEvent::Deleted(pod) => {
                    version = pod.metadata.resource_version.clone().unwrap_or(version);
                    uid(&pod).map(Observation::PodGone)
                }
                WatchEvent::Bookmark(mark) => {
                    version = mark.metadata.resource_version;
                    None
                }
                // 410: what happened since is forgotten.
                WatchEvent::Error(_) => return Ok(()),
            };
            if let Some(observed) = observed
                && tell.send(observed).await.is_err()
            {
                return Ok(());
            }
        }
    }
}

/// One that has finished, or stays for another reason, does not have to leave.
fn seen(pod: &Told) -> Option<Observation> {
    match Pod::of(pod) {
        Some(pod) => Some(Observation::Pod(pod)),
        None => uid(pod).map(Observation::PodGone),
    }
}

fn uid(pod: &Told) -> Option<Uid> {
    pod.metadata.uid.clone().map(Uid)
}
