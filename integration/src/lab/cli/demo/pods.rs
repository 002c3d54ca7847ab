//! A pod on each node: runs, answers from its own node, and is reached through a verified kubelet.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use crate::lab::artifacts::AGNHOST;
use crate::lab::daemon::Status;
use crate::lab::node::Node;
use crate::lab::progress::Progress;
use crate::lab::run::output;

const PATIENCE: Duration = Duration::from_secs(90);
pub const PORT: u16 = 8080;

/// kubectl with the lab's kubeconfig.
pub struct Kubectl<'a> {
    variables: &'a BTreeMap<String, String>,
}

/// A pod that did all that it should.
#[derive(Clone, Debug, Serialize)]
pub struct Answered {
    pub pod: String,
    pub node: String,
    /// One of each family that pods have, in the cluster's order.
    pub addresses: Vec<IpAddr>,
    /// From its creation until it ran.
    pub running_ms: u128,
}

impl<'a> Kubectl<'a> {
    pub fn new(variables: &'a BTreeMap<String, String>) -> Self {
        Self { variables }
    }

    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        output(&mut self.command(arguments))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut kubectl = Command::new("kubectl");
        kubectl.args(arguments).envs(self.variables).stdin(Stdio::null());
        kubectl
    }

    /// The command with the lab's tools on its path.
    pub fn with_tools<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.envs(self.variables)
    }

    pub fn create(&self, objects: &Value) -> Result<()> {
        let mut create = self.command(&["create", "--filename", "-"]);
        let mut child =
            create.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(objects.to_string().as_bytes())?;
        }
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "kubectl create failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// Again until it succeeds: what controllers make is there a little later.
    pub fn eventually<T>(&self, what: &str, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(error) if started.elapsed() > PATIENCE => {
                    return Err(error).with_context(|| {
                        format!("{what} did not succeed within {} s", PATIENCE.as_secs())
                    });
                }
                Err(_) => std::thread::sleep(Duration::from_millis(250)),
            }
        }
    }
}

/// One pod on each of these nodes.
pub fn run(kubectl: &Kubectl<'_>, nodes: &[Status], progress: &Progress) -> Result<Vec<Answered>> {
    progress.say("pods", format!("one on each of {} nodes", nodes.len()));
    kubectl.eventually("finding the service account `default`", || {
        kubectl.run(&["get", "serviceaccount", "default"])
    })?;
    let created = Instant::now();
    let items: Vec<Value> = nodes.iter().map(|node| object(&node.instance)).collect();
    kubectl.create(&json!({"apiVersion": "v1", "kind": "List", "items": items}))?;
    let timeout = format!("--timeout={}s", PATIENCE.as_secs());
    kubectl.run(&["wait", "--for=condition=Ready", "pod", "--all", &timeout]).with_context(
        || kubectl.run(&["describe", "pods"]).unwrap_or_else(|error| format!("{error:#}")),
    )?;
    let running_ms = created.elapsed().as_millis();
    progress.say("pods", "all run");
    let answered: Result<Vec<_>> =
        nodes.iter().map(|node| check(kubectl, node, running_ms)).collect();
    progress.say("pods", "each answers HTTP from its own node, kubectl logs and kubectl exec");
    answered
}

fn object(node: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name(node), "labels": {"app": "web"}},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            // The one on the control-plane node must bear its taint.
            "tolerations": [{"operator": "Exists"}],
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "agnhost",
                "image": AGNHOST,
                "imagePullPolicy": "Never",
                "args": ["netexec", format!("--http-port={PORT}")],
                "readinessProbe": {"httpGet": {"path": "/healthz", "port": PORT}, "periodSeconds": 1},
            }],
        },
    })
}

fn name(node: &str) -> String {
    format!("web-{node}")
}

fn check(kubectl: &Kubectl<'_>, node: &Status, running_ms: u128) -> Result<Answered> {
    let pod = name(&node.instance);
    let said = kubectl.run(&["get", "pod", &pod, "--output", "jsonpath={.status.podIPs[*].ip}"])?;
    let addresses: Result<Vec<IpAddr>, _> = said.split_whitespace().map(str::parse).collect();
    let addresses = addresses.with_context(|| format!("{pod} has the addresses `{said}`"))?;
    let pid = node.pid.with_context(|| format!("the machine of {} is off", node.instance))?;
    for address in &addresses {
        let url = format!("http://{}/hostname", SocketAddr::new(*address, PORT));
        let said = output(&mut Node::command(
            pid,
            ["curl", "--silent", "--show-error", "--max-time", "5", &url],
        ))?;
        if said != pod {
            bail!("{url} said `{said}`, wanted `{pod}`");
        }
    }
    // Both go to kubelet, whose serving certificate the API server verifies.
    let logs = kubectl.eventually("kubectl logs", || kubectl.run(&["logs", &pod]))?;
    ensure!(logs.contains("Started HTTP server"), "`kubectl logs {pod}` said: {logs}");
    let target = format!("127.0.0.1:{PORT}");
    kubectl.run(&["exec", &pod, "--", "/agnhost", "connect", &target, "--timeout=3s"])?;
    Ok(Answered { pod, node: node.instance.clone(), addresses, running_ms })
}
