//! The pod network, as pods have it: from every pod to every other, through a Service, to the API
//! server, beyond the VPC, with whole jumbo frames; and not to the instance metadata.

use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde_json::json;

use super::pods::{Answered, Kubectl, PORT};
use crate::lab::daemon::Status;
use crate::lab::network::forwarding::OUTSIDE_HOST;
use crate::lab::network::router::{METADATA, outside_of};
use crate::lab::node::Node;
use crate::lab::progress::Progress;
use crate::lab::run::{command, output};
use crate::lab::running::router;

/// The largest payload of a ping that fits an interface's MTU of 9001: 20 bytes are IP's, 8 ICMP's.
const JUMBO_BYTES: u16 = 8973;

/// What was seen to work.
#[derive(Clone, Debug, Serialize)]
pub struct Reached {
    /// Ordered pairs of pods on two nodes.
    pub pairs: usize,
    /// How many different pods answered for the Service.
    pub endpoints: usize,
    /// What the host beyond the VPC saw as a pod's address, and whose node's it is.
    pub outside: String,
    pub jumbo_bytes: u16,
}

/// Tries all of it. Each failure says who did not reach whom.
pub fn run(
    lab: &str,
    kubectl: &Kubectl<'_>,
    nodes: &[Status],
    pods: &[Answered],
    progress: &Progress,
) -> Result<Reached> {
    progress.say("network", "from pod to pod, to a Service, to the API server, beyond the VPC");
    let pairs = pairs(kubectl, pods)?;
    progress.say("network", format!("{pairs} of {pairs} pairs of pods reach one another"));
    let endpoints = service(kubectl, pods)?;
    let api =
        kubectl.run(&["get", "service", "kubernetes", "--output=jsonpath={.spec.clusterIP}"])?;
    connect(kubectl, &pods[0].pod, &format!("{api}:443")).context("the API server's Service")?;
    ensure!(
        connect(kubectl, &pods[0].pod, &format!("{METADATA}:80")).is_err(),
        "the pod {} reaches the instance metadata",
        pods[0].pod
    );
    let outside = outside(lab, kubectl, nodes, &pods[0])?;
    for (from, to) in pods.iter().zip(pods.iter().skip(1)) {
        jumbo(nodes, from, to)?;
    }
    progress.say("network", "Service, API server, beyond the VPC, jumbo frames: as they should be");
    Ok(Reached { pairs, endpoints, outside, jumbo_bytes: JUMBO_BYTES })
}

fn connect(kubectl: &Kubectl<'_>, from: &str, to: &str) -> Result<String> {
    kubectl.run(&["exec", from, "--", "/agnhost", "connect", to, "--timeout=2s"])
}

fn pairs(kubectl: &Kubectl<'_>, pods: &[Answered]) -> Result<usize> {
    let mut pairs = 0;
    for from in pods {
        for to in pods.iter().filter(|to| to.pod != from.pod) {
            connect(kubectl, &from.pod, &format!("{}:{PORT}", to.address))
                .with_context(|| format!("{} does not reach {}", from.pod, to.pod))?;
            pairs += 1;
        }
    }
    Ok(pairs)
}

/// Who answers for a Service of all pods, asked from a node through its cluster address.
fn service(kubectl: &Kubectl<'_>, pods: &[Answered]) -> Result<usize> {
    kubectl.create(&json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": PORT}]},
    }))?;
    let address = kubectl.run(&["get", "service", "web", "--output=jsonpath={.spec.clusterIP}"])?;
    let from = &pods[pods.len() - 1].pod;
    // kube-proxy hears of it a moment later.
    kubectl.eventually("reaching the Service `web`", || {
        connect(kubectl, from, &format!("{address}:80"))
    })?;
    let dial = format!(
        "http://localhost:{PORT}/dial?host={address}&port=80&request=hostname&tries={}",
        pods.len() * 8
    );
    let said = kubectl.run(&["get", "--raw", &proxied(from, &dial)])?;
    let answers: serde_json::Value = serde_json::from_str(&said).context("agnhost's answer")?;
    let mut who: Vec<_> = answers["responses"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it.as_str())
        .collect();
    who.sort_unstable();
    who.dedup();
    ensure!(
        who.len() == pods.len(),
        "{} of {} pods answered for the Service: {said}",
        who.len(),
        pods.len()
    );
    Ok(who.len())
}

/// A pod's own URL by way of the API server.
fn proxied(pod: &str, url: &str) -> String {
    let path = url.split_once(&format!(":{PORT}")).map_or("", |(_, path)| path);
    format!("/api/v1/namespaces/default/pods/{pod}:{PORT}/proxy{path}")
}

/// Beyond the VPC a pod is seen under its node's address.
fn outside(lab: &str, kubectl: &Kubectl<'_>, nodes: &[Status], pod: &Answered) -> Result<String> {
    let host = outside_of(&router(lab));
    let listen = format!("--http-port={PORT}");
    let mut serve =
        command("ip", ["netns", "exec", &host, "agnhost", "netexec", &listen, "--udp-port=-1"]);
    let serve = kubectl.with_tools(&mut serve);
    let _server = Ended(serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let dial = format!(
        "http://localhost:{PORT}/dial?host={OUTSIDE_HOST}&port={PORT}&request=clientip&tries=1"
    );
    let seen = kubectl.eventually("reaching a host beyond the VPC", || {
        let said = kubectl.run(&["get", "--raw", &proxied(&pod.pod, &dial)])?;
        let said: serde_json::Value = serde_json::from_str(&said)?;
        let seen = said["responses"][0].as_str().and_then(|it| it.rsplit_once(':'));
        Ok(seen.with_context(|| format!("it said {said}"))?.0.to_owned())
    })?;
    let node = nodes.iter().find(|node| node.instance == pod.node).context("the pod's node")?;
    if seen != node.address {
        bail!("the host beyond the VPC saw {seen}, wanted the node's address, {}", node.address);
    }
    Ok(seen)
}

/// A ping as large as the MTU, that no router may break up.
fn jumbo(nodes: &[Status], from: &Answered, to: &Answered) -> Result<()> {
    let node = nodes.iter().find(|node| node.instance == from.node).context("the pod's node")?;
    let pid = node.pid.with_context(|| format!("the machine of {} is off", node.instance))?;
    let script = format!(
        "for ns in $(ls /run/netns); do ip -n $ns -o addr | grep -qw {} && \
         exec ip netns exec $ns ping -M do -s {JUMBO_BYTES} -c 1 -W 3 {}; done; exit 9",
        from.address, to.address
    );
    output(&mut Node::command(pid, ["sh", "-c", &script]))
        .with_context(|| format!("{} does not reach {} by {JUMBO_BYTES} bytes", from.pod, to.pod))
        .map(drop)
}

/// A process that ends with its owner.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
