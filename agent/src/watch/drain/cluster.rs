//! The API server, as a drain asks it: one Node, and its pods.
//!
//! On the node it is asked with kubelet's certificate, which may do all of this for the node's own pods
//! (Kubernetes, "Using Node Authorization"); from elsewhere with whatever an operator has.
//!
//! Source: "Safely Drain a Node" and "API-initiated Eviction" (Kubernetes).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_async::time::SharedTimeSource;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::client::Body;
use kube::{Api, Client};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::access::Access;
use super::evictions::Answer;
use super::pod::Pod;
use super::step::NodeAnswer;
use crate::client::Wire;
use crate::config::Api as Endpoint;
use crate::host::Machine;

/// A request that is not answered by then has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests for pods at a time: each needs a connection, and 110 pods are through in 14 rounds.
const AT_ONCE: usize = 8;

/// "The Node is excluded from load balancers" (Kubernetes, "Well-Known Labels").
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Who drains. Each notes on the Node, in an annotation of his own, what of it is his to take back:
/// nothing, `cordon`, `exclude` or `cordon,exclude`. The other's stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The node itself.
    Node,
    /// Somebody with `windlass drain`.
    Hand,
}

impl Mark {
    pub(super) fn annotation(self) -> &'static str {
        match self {
            Self::Node => "windlass.dev/drain",
            Self::Hand => "windlass.dev/drain-by-hand",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Node => Self::Hand,
            Self::Hand => Self::Node,
        }
    }

    /// As the end of a sentence.
    fn why(self) -> &'static str {
        match self {
            Self::Node => "since AWS announced its end",
            Self::Hand => "since somebody drained it by hand",
        }
    }

    /// Whether he wants it cordoned.
    pub(super) fn is_on(self, node: &Node) -> bool {
        self.on(node).is_some()
    }

    /// What is his, where he has a part in it.
    fn on(self, node: &Node) -> Option<BTreeSet<&str>> {
        let noted = node.metadata.annotations.as_ref()?.get(self.annotation())?;
        Some(noted.split(',').filter(|it| !it.is_empty()).collect())
    }
}

/// Whether a drain of the node's own has changed it, and has not taken that back.
pub fn is_marked(node: &Node) -> bool {
    Mark::Node.is_on(node)
}

/// The way to the API server. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    access: Access,
    time: SharedTimeSource,
    node: String,
    mark: Mark,
    /// Requests for pods.
    places: Arc<Semaphore>,
    /// Changes of the Node are made one after the other, in the order in which they are asked for.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Cluster {
    /// As the kubelet of `node`.
    pub(super) fn of_kubelet(
        machine: &Machine,
        wire: &Wire,
        endpoint: &Endpoint,
        node: &str,
    ) -> Self {
        let access = Access::of_kubelet(machine, wire, endpoint);
        Self::new(access, wire, node, Mark::Node)
    }

    /// As somebody who may drain any node.
    pub(super) fn of_operator(client: Client, wire: &Wire, node: &str) -> Self {
        Self::new(Access::Given(client), wire, node, Mark::Hand)
    }

    fn new(access: Access, wire: &Wire, node: &str, mark: Mark) -> Self {
        Self {
            access,
            time: wire.time.clone(),
            node: node.to_owned(),
            mark,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            turn: Arc::default(),
        }
    }

    pub(super) fn client(&self) -> anyhow::Result<Client> {
        self.access.client()
    }

    /// The Node's name.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// No new pods; where `exclude`, load balancers leave the Node out, else we keep them from nothing.
    /// What was so before stays somebody else's.
    pub(super) async fn cordon(&self, exclude: bool) -> NodeAnswer {
        self.change_node(|node| cordoned(node, self.mark, exclude)).await
    }

    /// Takes back what is ours.
    pub(super) async fn uncordon(&self) -> NodeAnswer {
        self.change_node(|node| {
            if self.mark.is_on(node) && self.mark.other().is_on(node) {
                tracing::info!("node `{}` stays cordoned, {}", self.node, self.mark.other().why());
            }
            uncordoned(node, self.mark)
        })
        .await
    }

    async fn change_node(&self, change: impl Fn(&Node) -> Option<Value>) -> NodeAnswer {
        let _turn = self.turn.lock().await;
        let changing = async {
            let nodes: Api<Node> = Api::all(self.client()?);
            let node = nodes.get(&self.node).await.map_err(anyhow::Error::from)?;
            let Some(mut patch) = change(&node) else { return Ok(()) };
            // Somebody may cordon it in between: then it is looked at again.
            patch["metadata"]["resourceVersion"] = json!(node.metadata.resource_version);
            let params = PatchParams::default();
            nodes.patch(&self.node, &params, &Patch::Merge(patch)).await?;
            Ok::<(), anyhow::Error>(())
        };
        match timeout(PATIENCE, changing).await {
            Ok(Ok(())) => NodeAnswer::Done,
            Ok(Err(error)) if is_refusal(&error) => NodeAnswer::Refused(said(&error)),
            Ok(Err(error)) => NodeAnswer::Failed(said(&error)),
            Err(_) => NodeAnswer::Failed(nothing()),
        }
    }

    /// How many volumes are attached to the Node, as it says itself.
    pub(super) async fn volumes(&self) -> Result<usize, String> {
        let looking = async {
            let nodes: Api<Node> = Api::all(self.client()?);
            let status = nodes.get(&self.node).await?.status.unwrap_or_default();
            Ok::<usize, anyhow::Error>(status.volumes_attached.map_or(0, |it| it.len()))
        };
        match timeout(PATIENCE, looking).await {
            Ok(looked) => looked.map_err(|error| said(&error)),
            Err(_) => Err(nothing()),
        }
    }

    /// Asks the pod to leave, where no budget forbids it.
    pub(super) async fn evict(&self, pod: &Pod, grace: Option<Duration>) -> Answer {
        let Pod { namespace, name, .. } = pod;
        let body = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": { "namespace": namespace, "name": name },
            "deleteOptions": options(pod, grace),
        });
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
        self.ask(http::Method::POST, path, body).await
    }

    /// Ends the pod, whoever forbids it.
    pub(super) async fn delete(&self, pod: &Pod, grace: Duration) -> Answer {
        let path = format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name);
        self.ask(http::Method::DELETE, path, options(pod, Some(grace))).await
    }

    /// Something happened to the Node. That it cannot be written hinders nothing.
    pub(super) async fn event(&self, warning: bool, reason: &str, message: &str) {
        let now = OffsetDateTime::from(self.time.now());
        let body = event(&self.node, now, warning, reason, message);
        let path = "/api/v1/namespaces/default/events".to_owned();
        if let Answer::Failed(said) = self.ask(http::Method::POST, path, body).await {
            tracing::debug!("event {reason}: {said}");
        }
    }

    async fn ask(&self, method: http::Method, path: String, body: Value) -> Answer {
        let asking = async {
            let _place = self.places.acquire().await?;
            self.send(method, path, body).await
        };
        match timeout(PATIENCE, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::Failed(said(&error)),
            Err(_) => Answer::Failed(nothing()),
        }
    }

    async fn send(
        &self,
        method: http::Method,
        path: String,
        body: Value,
    ) -> anyhow::Result<Answer> {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(Body::from(serde_json::to_vec(&body)?))?;
        let response = self.client()?.send(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect_bytes().await?;
        let again = head.headers.get(http::header::RETRY_AFTER).and_then(|it| it.to_str().ok());
        let again = again.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        Ok(answer(head.status.as_u16(), again, &body))
    }
}

fn answer(status: u16, again: Option<Duration>, body: &[u8]) -> Answer {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = body["message"].as_str().unwrap_or("without a message").to_owned();
    let causes = body["details"]["causes"].as_array();
    let causes = causes.into_iter().flatten().filter_map(|cause| cause["message"].as_str());
    let said = causes.fold(message, |said, cause| format!("{said} {cause}"));
    // Some refusals come with the status of a success: of a pod with two budgets, for one.
    let failure = (body["status"] == "Failure").then(|| body["code"].as_u64()).flatten();
    match failure.unwrap_or_else(|| status.into()) {
        200..=299 => Answer::Granted,
        404 => Answer::Gone,
        // Another pod has the name now. Other conflicts are of the server's own.
        409 if said.contains("UID in precondition") => Answer::Gone,
        429 => Answer::Refused { again, said },
        status => Answer::Failed(format!("{status}: {said}")),
    }
}

/// Only this pod, not one that has its name by then.
fn options(pod: &Pod, grace: Option<Duration>) -> Value {
    let mut options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": { "uid": pod.uid },
    });
    if let Some(grace) = grace {
        options["gracePeriodSeconds"] = json!(grace.as_secs());
    }
    options
}

fn cordoned(node: &Node, mark: Mark, exclude: bool) -> Option<Value> {
    let noted = mark.on(node);
    let unschedulable = node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true);
    // Its value is no matter, but for "false" (kubernetes/kubernetes 131085).
    let label = node.metadata.labels.as_ref().and_then(|it| it.get(EXCLUDED));
    let excluded = label.is_some_and(|value| value != "false");
    let mut ours = noted.clone().unwrap_or_default();
    let mut patch = json!({ "metadata": {} });
    if !unschedulable {
        patch["spec"] = json!({ "unschedulable": true });
        ours.insert("cordon");
        // Somebody took the other's cordon away since: it is not his any more.
        if let Some(theirs) = mark.other().on(node) {
            patch["metadata"]["annotations"] = json!({ mark.other().annotation(): null });
            ours.extend(theirs.get("exclude").filter(|_| excluded));
        }
    }
    if exclude && !excluded {
        patch["metadata"]["labels"] = json!({ EXCLUDED: "true" });
        ours.insert("exclude");
    }
    if !exclude && ours.remove("exclude") {
        patch["metadata"]["labels"] = json!({ EXCLUDED: null });
    }
    if noted.as_ref() != Some(&ours) {
        patch["metadata"]["annotations"][mark.annotation()] = json!(joined(&ours));
    }
    (patch != json!({ "metadata": {} })).then_some(patch)
}

/// What is ours is taken back; where the other has a part in it, it is his from then on.
fn uncordoned(node: &Node, mark: Mark) -> Option<Value> {
    let ours = mark.on(node)?;
    let mut patch = json!({ "metadata": { "annotations": { mark.annotation(): null } } });
    if let Some(theirs) = mark.other().on(node) {
        let both = joined(&theirs.union(&ours).copied().collect());
        patch["metadata"]["annotations"][mark.other().annotation()] = json!(both);
        return Some(patch);
    }
    if ours.contains("cordon") {
        patch["spec"] = json!({ "unschedulable": null });
    }
    if ours.contains("exclude") {
        patch["metadata"]["labels"] = json!({ EXCLUDED: null });
    }
    Some(patch)
}

fn joined(ours: &BTreeSet<&str>) -> String {
    ours.iter().copied().collect::<Vec<_>>().join(",")
}

/// As kubelet writes its own; the Node's name is its UID there.
fn event(node: &str, now: OffsetDateTime, warning: bool, reason: &str, message: &str) -> Value {
    let at = now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": { "generateName": format!("{node}."), "namespace": "default" },
        "involvedObject": { "apiVersion": "v1", "kind": "Node", "name": node, "uid": node },
        "reason": reason, "message": message,
        "type": if warning { "Warning" } else { "Normal" },
        "source": { "component": "windlass", "host": node },
        "firstTimestamp": at, "lastTimestamp": at, "count": 1,
    })
}

/// That the server would say the same again.
fn is_refusal(error: &anyhow::Error) -> bool {
    let status = error.downcast_ref().and_then(|error| match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    });
    matches!(status, Some(400 | 403 | 404 | 422))
}

fn said(error: &anyhow::Error) -> String {
    format!("{error:#}")
}

fn nothing() -> String {
    format!("no answer within {} s", PATIENCE.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(value: Value) -> Node {
        serde_json::from_value(value).expect("a Node")
    }

    /// What a merge patch leaves.
    fn merged(node: &Node, patch: Option<Value>) -> Node {
        fn merge(into: &mut Value, patch: Value) {
            let Value::Object(patch) = patch else {
                *into = patch;
                return;
            };
            if !into.is_object() {
                *into = json!({});
            }
            for (key, value) in patch {
                match value {
                    Value::Null => drop(into.as_object_mut().and_then(|it| it.remove(&key))),
                    value => merge(&mut into[&key], value),
                }
            }
        }
        let mut value = serde_json::to_value(node).expect("a Node");
        merge(&mut value, patch.unwrap_or_else(|| json!({})));
        serde_json::from_value(value).expect("a Node")
    }

    const OURS: &str = "windlass.dev/drain";

    fn noted(node: &Node, mark: Mark) -> Option<String> {
        node.metadata.annotations.clone()?.get(mark.annotation()).cloned()
    }

    #[test]
    fn what_we_cordoned_is_taken_back_and_nothing_else() {
        let plain =
            node(json!({ "metadata": { "name": "n", "labels": { "a": "b" } }, "spec": {} }));
        let cordoned_once = merged(&plain, cordoned(&plain, Mark::Node, false));
        assert_eq!(cordoned_once.spec.as_ref().and_then(|it| it.unschedulable), Some(true));
        assert_eq!(cordoned_once.metadata.annotations.clone().expect("one")[OURS], "cordon");
        let both = merged(&cordoned_once, cordoned(&cordoned_once, Mark::Node, true));
        assert_eq!(both.metadata.annotations.clone().expect("one")[OURS], "cordon,exclude");
        assert_eq!(both.metadata.labels.clone().expect("labels")[EXCLUDED], "true");
        assert_eq!(cordoned(&both, Mark::Node, true), None, "a second time changes nothing");
        let only = merged(&both, cordoned(&both, Mark::Node, false));
        assert_eq!(only, cordoned_once, "load balancers may have it again");
        let back = merged(&both, uncordoned(&both, Mark::Node));
        assert_eq!(back.spec.expect("a spec").unschedulable, None);
        assert_eq!(back.metadata.labels, plain.metadata.labels);
        assert_eq!(uncordoned(&plain, Mark::Node), None);
    }

    #[test]
    fn what_somebody_else_cordoned_stays_so() {
        let theirs =
            node(json!({ "metadata": { "name": "n" }, "spec": { "unschedulable": true } }));
        let ours = merged(&theirs, cordoned(&theirs, Mark::Node, true));
        assert_eq!(ours.metadata.annotations.clone().expect("one")[OURS], "exclude");
        let back = merged(&ours, uncordoned(&ours, Mark::Node));
        assert_eq!(back.spec.expect("a spec").unschedulable, Some(true));
        assert!(!back.metadata.labels.unwrap_or_default().contains_key(EXCLUDED));
    }

    #[test]
    fn who_drains_by_hand_and_the_node_itself_keep_each_others_cordon() {
        let plain = node(json!({ "metadata": { "name": "n" }, "spec": {} }));
        for (first, second) in [(Mark::Node, Mark::Hand), (Mark::Hand, Mark::Node)] {
            let one = merged(&plain, cordoned(&plain, first, true));
            let both = merged(&one, cordoned(&one, second, true));
            assert_eq!(noted(&both, second).as_deref(), Some(""), "nothing was left to do");
            let left = merged(&both, uncordoned(&both, first));
            assert_eq!(left.spec.as_ref().and_then(|it| it.unschedulable), Some(true));
            assert_eq!(noted(&left, first), None);
            assert_eq!(noted(&left, second).as_deref(), Some("cordon,exclude"));
            let back = merged(&left, uncordoned(&left, second));
            assert_eq!(back.spec.expect("a spec").unschedulable, None);
            assert!(!back.metadata.labels.unwrap_or_default().contains_key(EXCLUDED));
        }
    }

    #[test]
    fn a_cordon_that_somebody_took_away_is_nobodys_any_more() {
        let plain = node(json!({ "metadata": { "name": "n" }, "spec": {} }));
        let mut left = merged(&plain, cordoned(&plain, Mark::Hand, true));
        // kubectl uncordon
        left.spec.as_mut().expect("a spec").unschedulable = None;
        let ours = merged(&left, cordoned(&left, Mark::Node, true));
        assert_eq!(noted(&ours, Mark::Hand), None);
        let back = merged(&ours, uncordoned(&ours, Mark::Node));
        assert_eq!(back.spec.expect("a spec").unschedulable, None);
        assert!(!back.metadata.labels.unwrap_or_default().contains_key(EXCLUDED));
    }

    #[test]
    fn an_answer_is_taken_for_what_it_says() {
        let budget = br#"{"message": "Cannot evict pod as it would violate the pod's disruption budget.",
            "details": {"causes": [{"message": "The disruption budget web needs 3 healthy pods and has 3 currently"}]}}"#;
        let again = Some(Duration::from_secs(10));
        let said = "Cannot evict pod as it would violate the pod's disruption budget. The disruption budget web needs 3 healthy pods and has 3 currently".to_owned();
        assert_eq!(answer(429, again, budget), Answer::Refused { again, said });
        assert_eq!(answer(201, None, b"{}"), Answer::Granted);
        assert_eq!(answer(404, None, b"{}"), Answer::Gone);
        let other =
            br#"{"message": "Precondition failed: UID in precondition: a, UID in object meta: b"}"#;
        assert_eq!(answer(409, None, other), Answer::Gone);
        let again = br#"{"message": "couldn't update PodDisruptionBudget due to conflicts"}"#;
        assert!(matches!(answer(409, None, again), Answer::Failed(_)), "the pod is here");
        let two = br#"{"kind": "Status", "status": "Failure", "code": 500,
            "message": "This pod has more than one PodDisruptionBudget"}"#;
        assert!(matches!(answer(201, None, two), Answer::Failed(_)), "no success");
        let failed = Answer::Failed("500: without a message".to_owned());
        assert_eq!(answer(500, None, b"no json"), failed);
    }
}
