//! Waiting until the Node is Ready, with the node's own credential.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures_util::{Stream, TryStreamExt};
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use kube::Api;
use kube::api::{WatchEvent, WatchParams};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Done;
use super::stop::{Deadline, Stop};
use crate::client::Wire;
use crate::client::apiserver::{self, Identity};
use crate::client::dns::Unresolved;
use crate::config::NodeConfig;
use crate::host::Machine;
use crate::plan::CLIENT_CERTIFICATE;
use crate::report::Outcome;

/// After an API server that could not be asked; it may be starting itself.
const PAUSE: Duration = Duration::from_millis(250);
/// One that has not answered by then is no help to a drain either.
const ANSWERS: Duration = Duration::from_secs(5);
/// What a person needs to see of kubelet's journal.
const LAST_LINES: usize = 12;

/// Whose readiness is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Waiting<'a> {
    pub machine: &'a Machine,
    pub wire: &'a Wire,
    pub config: &'a NodeConfig,
    pub node: &'a str,
    /// When kubelet was started: what the Node says from before that is of an earlier boot.
    pub since: Option<OffsetDateTime>,
}

/// The Node says Ready.
pub async fn node(waiting: Waiting<'_>, deadline: Deadline) -> Result<Done<Node>, Stop> {
    let mut last = "the API server was not asked yet".to_owned();
    match timeout_at(deadline.at, watch(waiting, &mut last)).await {
        Ok(ready) => ready,
        Err(_) => {
            let words = waiting.machine.last_words("kubelet.service", LAST_LINES).await;
            let words = if words.is_empty() { "nothing".to_owned() } else { words };
            Err(Stop::late(anyhow!(
                "node `{}` is not Ready within {deadline}: {last}\nkubelet's journal says last:\n{words}",
                waiting.node
            )))
        }
    }
}

async fn watch(waiting: Waiting<'_>, last: &mut String) -> Result<Done<Node>, Stop> {
    let began = Instant::now();
    loop {
        match watch_once(waiting, last).await {
            Ok(Some(node)) => {
                let ms = began.elapsed().as_millis();
                let detail = format!("node `{}` is Ready after {ms} ms", waiting.node);
                return Ok(Done { value: node, outcome: Outcome::Unchanged, detail });
            }
            Ok(None) => {}
            Err(error) => {
                *last = explained(&error);
                tracing::debug!("watching the node: {error:#}");
            }
        }
        sleep(PAUSE).await;
    }
}

/// A name that does not resolve is the operator's to put right, and the rest of the chain is noise.
fn explained(error: &anyhow::Error) -> String {
    match Unresolved::behind(error.as_ref()) {
        Some(unresolved) => format!(
            "{unresolved}\n\
             hint: `api.endpoint` in the cluster's description names it; the VPC's resolver must know it"
        ),
        None => format!("{error:#}"),
    }
}

/// The API server answers, and has the Node: pods may be on it.
pub async fn is_registered(waiting: Waiting<'_>) -> bool {
    let mut last = "no answer".to_owned();
    let asked = async {
        loop {
            match first_event(waiting).await {
                Ok(Some(WatchEvent::Added(_))) => return,
                Ok(_) => last = format!("{} has no such node", waiting.config.api.endpoint),
                // It may be one of several API servers that is just being replaced.
                Err(error) => last = explained(&error),
            }
            sleep(PAUSE).await;
        }
    };
    let registered = timeout(ANSWERS, asked).await.is_ok();
    if !registered {
        tracing::info!("node `{}` cannot be drained: {last}", waiting.node);
    }
    registered
}

async fn first_event(waiting: Waiting<'_>) -> anyhow::Result<Option<WatchEvent<Node>>> {
    let mut events = pin!(events(waiting).await?);
    Ok(events.try_next().await?)
}

/// Watches until the server ends the watch, or the Node is Ready.
async fn watch_once(waiting: Waiting<'_>, last: &mut String) -> anyhow::Result<Option<Node>> {
    let endpoint = &waiting.config.api.endpoint;
    let mut events = pin!(events(waiting).await?);
    *last = format!("{endpoint} has no such node");
    while let Some(event) =
        events.try_next().await.with_context(|| format!("watching {endpoint}"))?
    {
        let (WatchEvent::Added(node) | WatchEvent::Modified(node)) = event else { continue };
        match readiness(&node, waiting.since) {
            Readiness::Ready => return Ok(Some(node)),
            Readiness::NotReady(why) => *last = why,
        }
    }
    Ok(None)
}

/// What the API server says of the Node, from how it is now on.
async fn events(
    waiting: Waiting<'_>,
) -> anyhow::Result<impl Stream<Item = kube::Result<WatchEvent<Node>>> + use<>> {
    let endpoint = &waiting.config.api.endpoint;
    // Read each time: kubelet may have renewed it.
    let pem = waiting
        .machine
        .read_text(CLIENT_CERTIFICATE)?
        .with_context(|| format!("there is no {CLIENT_CERTIFICATE}"))?;
    let identity = Identity { certificate: pem.clone(), private_key: pem };
    let authorities = &waiting.config.api.certificate_authorities;
    let client = apiserver::connect(waiting.wire, endpoint, authorities, &identity)?;
    let nodes: Api<Node> = Api::all(client);
    let only_ours = WatchParams::default().fields(&format!("metadata.name={}", waiting.node));
    nodes.watch(&only_ours, "0").await.with_context(|| format!("asking {endpoint}"))
}

#[derive(Debug, PartialEq, Eq)]
enum Readiness {
    Ready,
    NotReady(String),
}

fn readiness(node: &Node, since: Option<OffsetDateTime>) -> Readiness {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.and_then(|all| all.iter().find(|condition| condition.type_ == "Ready"));
    let Some(ready) = ready else {
        return Readiness::NotReady("kubelet has not reported its state".to_owned());
    };
    if is_older(ready, since) {
        return Readiness::NotReady("kubelet has reported nothing since it was started".to_owned());
    }
    if ready.status == "True" {
        return Readiness::Ready;
    }
    Readiness::NotReady(format!(
        "Ready is {} ({}): {}",
        ready.status,
        ready.reason.as_deref().unwrap_or("no reason"),
        ready.message.as_deref().unwrap_or("no message")
    ))
}

/// kubelet stamps whole seconds, with this machine's clock.
fn is_older(condition: &NodeCondition, since: Option<OffsetDateTime>) -> bool {
    match (&condition.last_heartbeat_time, since) {
        (Some(heartbeat), Some(since)) => heartbeat.0.as_second() < since.unix_timestamp(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(status: &str, heartbeat: &str) -> Node {
        let ready = json!({
            "type": "Ready", "status": status, "reason": "KubeletNotReady",
            "message": "container runtime network not ready", "lastHeartbeatTime": heartbeat,
        });
        let memory = json!({ "type": "MemoryPressure", "status": "False" });
        serde_json::from_value(json!({ "status": { "conditions": [memory, ready] } }))
            .expect("a Node")
    }

    #[test]
    fn a_node_that_was_ready_before_this_boot_is_not_ready() {
        let since = Some(OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a time"));
        let before = node("True", "2027-01-15T07:59:59Z");
        let after = node("True", "2027-01-15T08:00:00Z");
        assert_ne!(readiness(&before, since), Readiness::Ready);
        assert_eq!(readiness(&after, since), Readiness::Ready);
        assert_eq!(readiness(&before, None), Readiness::Ready);
    }

    #[test]
    fn a_node_that_is_not_ready_says_why() {
        let said = "Ready is False (KubeletNotReady): container runtime network not ready";
        let found = readiness(&node("False", "2027-01-15T08:00:00Z"), None);
        assert_eq!(found, Readiness::NotReady(said.to_owned()));
    }
}
