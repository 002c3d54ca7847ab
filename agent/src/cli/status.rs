//! `windlass status`: what this node is and does now.

use serde::Serialize;
use time::OffsetDateTime;

use super::Failure;
use super::output::Output;
use crate::basis::Basis;
use crate::client::Wire;
use crate::host::{Machine, UnitState};
use crate::operator::when;
use crate::report::Report;
use crate::watch::drain::{Kept, Leaving, Rules};

const WATCH: &str = "windlass-watch.service";

/// Say what this node does now, until when, and what it waits for.
///
/// Reads what `windlass boot` and `windlass watch` left on this machine, and asks nobody.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass status
  windlass status --output json | jq -r '.drain.waits_for[]'
  systemctl status windlass-boot windlass-watch            how the units are")]
pub struct Args {
    #[command(flatten)]
    output: Output,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct NodeStatus {
    node: String,
    instance: String,
    group: String,
    /// How the last boot ended.
    boot: String,
    /// Whether somebody keeps its network and would drain it.
    watched: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    drain: Option<DrainStatus>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct DrainStatus {
    state: &'static str,
    /// By what its leaving was announced.
    announced: Vec<String>,
    /// Until when pods have time.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_left: Option<u64>,
    waits_for: Vec<String>,
    /// When this was written down.
    as_of: String,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<(), Failure> {
    let time = OffsetDateTime::from(Wire::real().time.now());
    let machine = Machine::this();
    let units = machine.unit_states(&[WATCH]).await?;
    let watched = matches!(units.get(WATCH), Some(UnitState::Running { .. }));
    let status = status(&machine, watched, time)?;
    Ok(args.output.print(&status, text)?)
}

fn status(machine: &Machine, watched: bool, time: OffsetDateTime) -> Result<NodeStatus, Failure> {
    let report = machine.read("/var/lib/windlass/report.json")?;
    let report: Option<Report> = report.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let basis = match (Basis::kept(machine), &report) {
        (Ok(basis), _) => basis,
        // A boot that did not come so far says why.
        (Err(_), Some(report)) => return Ok(NodeStatus::of_boot(report, watched)),
        (Err(failure), None) => return Err(failure),
    };
    let instance = &basis.facts.instance.id;
    let leaves = |kept: &Kept| kept.instance == *instance && kept.leaving != Leaving::default();
    let kept = Kept::read(machine)?.filter(leaves);
    let rules = Rules::of(&basis.config);
    let drain = kept.map(|kept| drain(&kept, &rules, machine, time)).transpose()?;
    let boot = report.map_or("no report of it is kept".to_owned(), |report| booted(&report));
    let (node, instance) = (basis.node_name(), instance.to_string());
    Ok(NodeStatus { node, instance, group: basis.config.group, boot, watched, drain })
}

impl NodeStatus {
    fn of_boot(report: &Report, watched: bool) -> Self {
        let instance = report.instance.to_string();
        let node = report.node.clone().unwrap_or_else(|| instance.clone());
        let (group, boot) = (report.group.clone(), booted(report));
        Self { node, instance, group, boot, watched, drain: None }
    }
}

fn booted(report: &Report) -> String {
    let began = when(report.origin);
    match (&report.failure, report.ready_ms) {
        (Some(failure), _) => format!("given up ({began}): {failure}"),
        (None, Some(ready)) => format!("Ready {:.1} s after {began}", ready / 1000.0),
        (None, None) if report.is_good() => {
            format!("prepared ({began}), rests in its group's warm pool")
        }
        (None, None) => format!("not Ready (began {began})"),
    }
}

fn drain(
    kept: &Kept,
    rules: &Rules,
    machine: &Machine,
    time: OffsetDateTime,
) -> anyhow::Result<DrainStatus> {
    let (leaving, now) = (&kept.leaving, kept.now(machine, time)?);
    let end = leaving.until(rules, now).map(|end| end.since(now));
    Ok(DrainStatus {
        state: leaving.state.name(),
        announced: leaving.events.iter().map(|it| it.announced.id.to_string()).collect(),
        until: end.map(|left| when(time + left)),
        seconds_left: end.map(|left| left.as_secs()),
        waits_for: leaving.waits_for(rules, now),
        as_of: when(kept.time),
    })
}

fn text(status: &NodeStatus) -> String {
    let NodeStatus { node, instance, group, boot, watched, drain } = status;
    let name = if node == instance { node.clone() } else { format!("{node} ({instance})") };
    let watched = if *watched {
        "`windlass watch` runs"
    } else {
        "`windlass watch` does not run: nobody would drain this node"
    };
    let mut lines = vec![
        format!("node      {name}, group {group}"),
        format!("boot      {boot}"),
        format!("watch     {watched}"),
    ];
    match drain {
        None => lines.push("leaving   nothing is announced".to_owned()),
        Some(drain) => lines.extend(drain.lines()),
    }
    lines.join("\n") + "\n"
}

impl DrainStatus {
    fn lines(&self) -> Vec<String> {
        let why = match self.announced.is_empty() {
            true => String::new(),
            false => format!(": {}", self.announced.join(", ")),
        };
        let state = format!("leaving   {} (as of {}){why}", self.state, self.as_of);
        let until = self.until.as_ref().zip(self.seconds_left);
        let until = until.map(|(until, left)| format!("until     {until}, {left} s from now"));
        let waits = self.waits_for.iter().map(|what| format!("waits     for {what}"));
        std::iter::once(state).chain(until).chain(waits).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeStatus {
        NodeStatus {
            node: "i-0123456789abcdef0".to_owned(),
            instance: "i-0123456789abcdef0".to_owned(),
            group: "workers".to_owned(),
            boot: "Ready 4.2 s after 2026-11-26T06:00:00Z".to_owned(),
            watched: true,
            drain: None,
        }
    }

    #[test]
    fn a_node_in_service_says_so() {
        let wanted = "\
node      i-0123456789abcdef0, group workers
boot      Ready 4.2 s after 2026-11-26T06:00:00Z
watch     `windlass watch` runs
leaving   nothing is announced
";
        assert_eq!(text(&node()), wanted);
    }

    #[test]
    fn a_machine_in_a_warm_pool_is_no_failure() {
        let report = serde_json::json!({
            "version": 1, "instance": "i-0123456789abcdef0", "cluster": "prod", "group": "workers",
            "origin": "2026-11-26T06:00:00Z", "steps": [], "calls": {}, "stage": "warm-pool",
        });
        let report: Report = serde_json::from_value(report).expect("a report");
        assert_eq!(
            booted(&report),
            "prepared (2026-11-26T06:00:00Z), rests in its group's warm pool"
        );
    }

    #[test]
    fn a_node_that_leaves_says_until_when_and_what_it_waits_for() {
        let drain = DrainStatus {
            state: "draining",
            announced: vec!["termination (Terminated)".to_owned()],
            until: Some("2026-11-26T06:15:00Z".to_owned()),
            seconds_left: Some(840),
            waits_for: vec!["pod shop/web-1, ending, asked 12 s ago".to_owned()],
            as_of: "2026-11-26T06:01:00Z".to_owned(),
        };
        let said = text(&NodeStatus { drain: Some(drain), watched: false, ..node() });
        let wanted = "\
watch     `windlass watch` does not run: nobody would drain this node
leaving   draining (as of 2026-11-26T06:01:00Z): termination (Terminated)
until     2026-11-26T06:15:00Z, 840 s from now
waits     for pod shop/web-1, ending, asked 12 s ago
";
        assert!(said.ends_with(wanted), "{said}");
    }
}
