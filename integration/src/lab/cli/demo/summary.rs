//! What the demo has to say at its end, for people and as JSON.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::network::Reached;
use super::pods::Answered;
use crate::lab::cli::cost::{self, Counts, Idle};
use crate::lab::daemon::Status;
use crate::lab::progress::Progress;

#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub nodes: Vec<Node>,
    pub pods: Vec<Answered>,
    /// By each family that pods have.
    pub network: Vec<Reached>,
    /// Of all nodes, from nothing until all were Ready.
    pub calls: Counts,
    /// What those calls cost.
    pub usd: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Idle>,
    pub seconds: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Node {
    pub name: String,
    pub group: String,
    pub zone: String,
    /// From windlass boot's first instruction until kubelet was requested.
    pub own_ms: Option<f64>,
    /// From PID 1 until the Node was Ready.
    pub ready_ms: Option<f64>,
    /// Until all were Ready.
    pub calls: Counts,
}

impl Summary {
    pub fn new(
        nodes: &[Status],
        reports: &[Value],
        (pods, network): (Vec<Answered>, Vec<Reached>),
        records: &[Value],
        idle: Option<Idle>,
        progress: &Progress,
    ) -> Self {
        let node = |(status, report): (&Status, &Value)| Node {
            name: report["node"].as_str().unwrap_or(&status.instance).to_owned(),
            group: status.group.clone(),
            zone: status.zone.clone(),
            own_ms: report["own_ms"].as_f64(),
            ready_ms: report["ready_ms"].as_f64(),
            calls: cost::count(&cost::way_in(records.to_vec(), &status.instance)),
        };
        let by_nodes = || records.iter().filter(|record| cost::is_instance(record));
        Self {
            nodes: nodes.iter().zip(reports).map(node).collect(),
            pods,
            network,
            calls: cost::count(by_nodes()),
            usd: by_nodes().map(cost::usd).sum(),
            idle,
            seconds: progress.elapsed_ms() as f64 / 1000.0,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms =
            |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0} ms"));
        writeln!(
            f,
            "{:<21} {:<14} {:<12} {:>9} {:>9}  calls on the way in",
            "NODE", "GROUP", "ZONE", "OWN TIME", "READY"
        )?;
        for node in &self.nodes {
            write!(
                f,
                "{:<21} {:<14} {:<12} {:>9} {:>9}",
                node.name,
                node.group,
                node.zone,
                ms(node.own_ms),
                ms(node.ready_ms)
            )?;
            writeln!(f, "  {}", shown(&node.calls))?;
        }
        writeln!(
            f,
            "\n{} pods ran and answered: HTTP from their own nodes, kubectl logs, kubectl exec",
            self.pods.len()
        )?;
        for Reached { family, pairs, endpoints, outside, jumbo_bytes } in &self.network {
            writeln!(
                f,
                "by {family} {pairs} pairs of pods reached one another, {endpoints} pods answered for a \
                 Service, pings of {jumbo_bytes} bytes came through whole; beyond the VPC a pod was seen \
                 as {outside}"
            )?;
        }
        writeln!(
            f,
            "all of the nodes' calls until then: {}; {:.6} USD",
            shown(&self.calls),
            self.usd
        )?;
        if let Some(idle) = &self.idle {
            writeln!(
                f,
                "an idle cluster, watched for {:.0} s: {}",
                idle.watched_seconds,
                shown(&idle.calls)
            )?;
            writeln!(f, "that is {:.2} USD a month by AWS' list prices", idle.usd_a_month)?;
        }
        write!(f, "{:.0} s in all", self.seconds)
    }
}

fn shown(counts: &Counts) -> String {
    counts.iter().map(|(call, count)| format!("{count} {call}")).collect::<Vec<_>>().join(", ")
}
