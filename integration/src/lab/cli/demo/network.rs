//! The pod network, as pods have it: from every pod to every other, through a Service, to the API
//! server, beyond the VPC, with whole jumbo frames; and not to the instance metadata.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde_json::json;

use super::pods::{Answered, Kubectl, PORT};
use crate::lab::daemon::Status;
use crate::lab::network::forwarding::{OUTSIDE_HOST, OUTSIDE_HOST_IPV6};
use crate::lab::network::router::{METADATA, MTU, outside_of};
use crate::lab::node::Node;
use crate::lab::progress::Progress;
use crate::lab::run::{command, output};
use crate::lab::running::router;

/// What was seen to work, by one family.
#[derive(Clone, Debug, Serialize)]
pub struct Reached {
    pub family: &'static str,
    /// Ordered pairs of pods on two nodes.
    pub pairs: usize,
    /// How many different pods answered for the Service.
    pub endpoints: usize,
    /// What the host beyond the VPC saw as a pod's address, and whose node's it is.
    pub outside: IpAddr,
    pub jumbo_bytes: u16,
}

/// Who tries.
struct Trial<'a> {
    lab: &'a str,
    kubectl: &'a Kubectl<'a>,
    nodes: &'a [Status],
    pods: &'a [Answered],
}

/// Tries all of it, by each family that pods have. Each failure says who did not reach whom.
pub fn run(
    lab: &str,
    kubectl: &Kubectl<'_>,
    nodes: &[Status],
    pods: &[Answered],
    progress: &Progress,
) -> Result<Vec<Reached>> {
    progress.say("network", "from pod to pod, to a Service, to the API server, beyond the VPC");
    kubectl.create(&json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"app": "web"},
            "ports": [{"port": 80, "targetPort": PORT}],
            "ipFamilyPolicy": "PreferDualStack",
        },
    }))?;
    let trial = Trial { lab, kubectl, nodes, pods };
    let api = service_addresses(kubectl, "kubernetes")?;
    connect(kubectl, &pods[0].pod, SocketAddr::new(api[0], 443))
        .context("the API server's Service")?;
    ensure!(
        connect(kubectl, &pods[0].pod, (METADATA, 80).into()).is_err(),
        "the pod {} reaches the instance metadata",
        pods[0].pod
    );
    let mut reached = Vec::new();
    for (place, service) in service_addresses(kubectl, "web")?.into_iter().enumerate() {
        let one = trial.by_family(place, service)?;
        let Reached { family, pairs, .. } = &one;
        progress.say(
            "network",
            format!("{pairs} of {pairs} pairs of pods reach one another by {family}"),
        );
        reached.push(one);
    }
    progress.say("network", "Service, API server, beyond the VPC, jumbo frames: as they should be");
    Ok(reached)
}

impl Trial<'_> {
    /// By the addresses that are in this place of a pod's.
    fn by_family(&self, place: usize, service: IpAddr) -> Result<Reached> {
        let address = |pod: &Answered| {
            let address = pod.addresses.get(place).copied();
            address.with_context(|| format!("{} has only {:?}", pod.pod, pod.addresses))
        };
        let pairs = self.pairs(address)?;
        let endpoints = self.service(service)?;
        let outside = self.outside(&self.pods[0], service.is_ipv6())?;
        for (from, to) in self.pods.iter().zip(self.pods.iter().skip(1)) {
            self.jumbo(from, address(from)?, address(to)?).with_context(|| {
                format!("{} does not reach {} by a whole jumbo frame", from.pod, to.pod)
            })?;
        }
        let family = if service.is_ipv6() { "IPv6" } else { "IPv4" };
        Ok(Reached { family, pairs, endpoints, outside, jumbo_bytes: jumbo_bytes(service) })
    }

    fn pairs(&self, address: impl Fn(&Answered) -> Result<IpAddr>) -> Result<usize> {
        let mut pairs = 0;
        for from in self.pods {
            for to in self.pods.iter().filter(|to| to.pod != from.pod) {
                connect(self.kubectl, &from.pod, SocketAddr::new(address(to)?, PORT))
                    .with_context(|| format!("{} does not reach {}", from.pod, to.pod))?;
                pairs += 1;
            }
        }
        Ok(pairs)
    }

    /// Who answers for a Service of all pods, asked from a node through its cluster address.
    fn service(&self, address: IpAddr) -> Result<usize> {
        let (kubectl, pods) = (self.kubectl, self.pods);
        let from = &pods[pods.len() - 1].pod;
        // kube-proxy hears of it a moment later.
        kubectl.eventually("reaching the Service `web`", || {
            connect(kubectl, from, SocketAddr::new(address, 80))
        })?;
        let dial = format!(
            "http://localhost:{PORT}/dial?host={address}&port=80&request=hostname&tries={}",
            pods.len() * 8
        );
        let said = kubectl.run(&["get", "--raw", &proxied(from, &dial)])?;
        let answers: serde_json::Value = serde_json::from_str(&said).context("agnhost's answer")?;
        let answers = answers["responses"].as_array().into_iter().flatten();
        let who: BTreeSet<_> = answers.filter_map(|it| it.as_str()).collect();
        ensure!(
            who.len() == pods.len(),
            "{} of {} pods answered for the Service: {said}",
            who.len(),
            pods.len()
        );
        Ok(who.len())
    }

    /// Beyond the VPC a pod is seen under its node's address.
    fn outside(&self, pod: &Answered, ipv6: bool) -> Result<IpAddr> {
        let kubectl = self.kubectl;
        let host = outside_of(&router(self.lab));
        let listen = format!("--http-port={PORT}");
        let mut serve =
            command("ip", ["netns", "exec", &host, "agnhost", "netexec", &listen, "--udp-port=-1"]);
        let serve = kubectl.with_tools(&mut serve);
        let _server = Ended(serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        let target = if ipv6 { IpAddr::V6(OUTSIDE_HOST_IPV6) } else { IpAddr::V4(OUTSIDE_HOST) };
        let dial = format!(
            "http://localhost:{PORT}/dial?host={target}&port={PORT}&request=clientip&tries=1"
        );
        let seen = kubectl.eventually("reaching a host beyond the VPC", || {
            let said = kubectl.run(&["get", "--raw", &proxied(&pod.pod, &dial)])?;
            let said: serde_json::Value = serde_json::from_str(&said)?;
            let seen = said["responses"][0].as_str().and_then(|it| it.parse::<SocketAddr>().ok());
            Ok(seen.with_context(|| format!("it said {said}"))?.ip())
        })?;
        let path = "jsonpath={.status.addresses[?(@.type==\"InternalIP\")].address}";
        let node = kubectl.run(&["get", "node", &pod.node, "--output", path])?;
        // With pods of IPv6 alone the Node has no other; the instance does.
        if seen.is_ipv6() != ipv6 || !node.split(' ').any(|own| own.parse() == Ok(seen)) {
            bail!("the host beyond the VPC saw {seen}, wanted the node's address, of {node}");
        }
        Ok(seen)
    }

    /// A ping as large as the MTU, that no router may break up.
    fn jumbo(&self, pod: &Answered, from: IpAddr, to: IpAddr) -> Result<()> {
        let node = self.nodes.iter().find(|node| node.instance == pod.node);
        let node = node.context("the pod's node")?;
        let pid = node.pid.with_context(|| format!("the machine of {} is off", node.instance))?;
        let script = format!(
            "for ns in $(ls /run/netns); do ip -n $ns -o addr | grep -qw {from} && \
             exec ip netns exec $ns ping -M do -s {} -c 1 -W 3 {to}; done; exit 9",
            jumbo_bytes(to)
        );
        output(&mut Node::command(pid, ["sh", "-c", &script])).map(drop)
    }
}

fn connect(kubectl: &Kubectl<'_>, from: &str, to: SocketAddr) -> Result<String> {
    let to = to.to_string();
    kubectl.run(&["exec", from, "--", "/agnhost", "connect", &to, "--timeout=2s"])
}

/// One of each family that it has, in the cluster's order.
fn service_addresses(kubectl: &Kubectl<'_>, name: &str) -> Result<Vec<IpAddr>> {
    let said = kubectl.run(&["get", "service", name, "--output=jsonpath={.spec.clusterIPs[*]}"])?;
    let addresses: Result<Vec<_>, _> = said.split_whitespace().map(str::parse).collect();
    addresses.with_context(|| format!("the Service `{name}` has the addresses `{said}`"))
}

/// What a whole frame of an interface's MTU of 9001 leaves for a ping: 8 bytes are ICMP's.
fn jumbo_bytes(address: IpAddr) -> u16 {
    let header = if address.is_ipv6() { 40 } else { 20 };
    MTU - header - 8
}

/// A pod's own URL by way of the API server.
fn proxied(pod: &str, url: &str) -> String {
    let path = url.split_once(&format!(":{PORT}")).map_or("", |(_, path)| path);
    format!("/api/v1/namespaces/default/pods/{pod}:{PORT}/proxy{path}")
}

/// A process that ends with its owner.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
