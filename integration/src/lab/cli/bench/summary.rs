//! What was measured, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use windlass::report::Report;

use super::boots::Boot;
use super::counts::{Requests, shown};
use super::machine::Machine;
use crate::lab::cli::cost::{Counts, Idle};
use crate::lab::cli::figures::{Spread, table};
use crate::lab::cli::up::Latency;

#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub machine: Machine,
    pub measured: Vec<Measured>,
}

/// With one latency profile.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub latency: &'static str,
    pub boots: usize,
    pub at_once: usize,
    /// By name, in the order in which they begin; milliseconds.
    pub times: Vec<(String, Spread)>,
    pub requests: Requests,
    /// windlass' resident memory at its peak during a boot, bytes.
    pub peak_memory: Option<Spread>,
    pub admitting: Admitting,
    pub idle: Idle,
}

/// What the admitter does and takes.
#[derive(Clone, Debug, Serialize)]
pub struct Admitting {
    /// While workers came.
    pub calls: Counts,
    pub nodes: u64,
    pub memory_bytes: u64,
    pub peak_memory_bytes: u64,
}

impl Measured {
    pub fn new(
        latency: Latency,
        at_once: usize,
        boots: &[Boot],
        admitting: Admitting,
        idle: Idle,
    ) -> Self {
        let reports: Vec<&Report> = boots.iter().map(|boot| &boot.report).collect();
        let peaks: Vec<f64> = reports
            .iter()
            .filter_map(|report| report.peak_memory_bytes)
            .map(|bytes| bytes as f64)
            .collect();
        Self {
            latency: latency.name(),
            boots: boots.len(),
            at_once,
            times: times(&reports),
            requests: Requests::of(boots),
            peak_memory: Spread::of(&peaks),
            admitting,
            idle,
        }
    }
}

/// The parts of a boot, and then its sums.
fn times(reports: &[&Report]) -> Vec<(String, Spread)> {
    let mut steps: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for step in reports.iter().flat_map(|report| &report.steps) {
        steps.entry(&step.name).or_default().push((step.start_ms, step.end_ms - step.start_ms));
    }
    let mut steps: Vec<_> = steps.into_iter().collect();
    let first =
        |starts: &[(f64, f64)]| starts.iter().map(|(start, _)| *start).fold(f64::MAX, f64::min);
    steps.sort_by(|(_, a), (_, b)| first(a).total_cmp(&first(b)));
    let steps = steps.into_iter().map(|(name, all)| {
        (format!("  {name}"), all.into_iter().map(|(_, took)| took).collect::<Vec<_>>())
    });
    let all =
        |of: fn(&Report) -> Option<f64>| reports.iter().filter_map(|report| of(report)).collect();
    let sums: [(&str, Vec<f64>); 4] = [
        ("own time: first instruction → kubelet requested", all(|report| report.own_ms)),
        ("PID 1 → first instruction", all(|report| report.started_ms)),
        ("PID 1 → kubelet requested", all(|report| Some(report.started_ms? + report.own_ms?))),
        ("PID 1 → Ready", all(|report| report.ready_ms)),
    ];
    let sums = sums.into_iter().map(|(name, all)| (name.to_owned(), all));
    steps.chain(sums).filter_map(|(name, all)| Some((name, Spread::of(&all)?))).collect()
}

impl Summary {
    pub fn broken_limits(&self) -> Vec<String> {
        let of = |measured: &Measured| {
            let broken = measured.requests.broken_limits();
            broken
                .into_iter()
                .map(|limit| format!("{limit} (latencies: {})", measured.latency))
                .collect::<Vec<_>>()
        };
        self.measured.iter().flat_map(of).collect()
    }

    /// Milliseconds, a column pair for each profile.
    fn times(&self) -> String {
        let mut names: Vec<&String> = Vec::new();
        for (name, _) in self.measured.iter().flat_map(|measured| &measured.times) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let mut header = vec!["milliseconds".to_owned()];
        for measured in &self.measured {
            header.extend([format!("`{}` median", measured.latency), "p99".to_owned()]);
        }
        let row = |name: &String| {
            let mut row = vec![name.clone()];
            for measured in &self.measured {
                let found = measured.times.iter().find(|(other, _)| other == name);
                let ms = |of: fn(&Spread) -> f64| {
                    found.map_or_else(String::new, |(_, spread)| format!("{:.0}", of(spread)))
                };
                row.extend([ms(|spread| spread.median), ms(|spread| spread.p99)]);
            }
            row
        };
        table(&std::iter::once(header).chain(names.into_iter().map(row)).collect::<Vec<_>>())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.machine)?;
        for measured in &self.measured {
            let Measured { latency, boots, at_once, .. } = measured;
            writeln!(f, "latencies `{latency}`: {boots} boots of a worker, {at_once} at a time")?;
        }
        writeln!(f, "\n{}", self.times())?;
        self.measured.iter().try_for_each(|measured| write!(f, "{measured}"))
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Requests { by_action, api, imds, imds_connections, ec2, .. } = &self.requests;
        writeln!(f, "latencies `{}`, a worker's requests on its way in:", self.latency)?;
        for (action, range) in by_action {
            writeln!(f, "  {:>5}  {action}", shown(*range))?;
        }
        writeln!(
            f,
            "  EC2: {}; S3 and Auto Scaling: {}; IMDS: {} on {} connection",
            shown(*ec2),
            shown(*api),
            shown(*imds),
            shown(*imds_connections)
        )?;
        if let Some(peak) = self.peak_memory {
            writeln!(
                f,
                "  windlass' peak memory: median {:.1} MB, largest {:.1} MB",
                peak.median / 1e6,
                peak.p99 / 1e6
            )?;
        }
        let Admitting { calls, nodes, memory_bytes, peak_memory_bytes } = &self.admitting;
        writeln!(f, "the admitter, while {nodes} workers came:")?;
        for (action, count) in calls {
            writeln!(f, "  {:>5.1} a node  {action}", *count as f64 / *nodes as f64)?;
        }
        writeln!(
            f,
            "  memory: {:.1} MB, at its peak {:.1} MB",
            *memory_bytes as f64 / 1e6,
            *peak_memory_bytes as f64 / 1e6
        )?;
        writeln!(f, "an idle cluster, watched for {:.0} s:", self.idle.watched_seconds)?;
        for (action, count) in &self.idle.calls {
            writeln!(f, "  {count:>5}  {action}")?;
        }
        writeln!(f, "  {:.2} USD a month by AWS' list prices\n", self.idle.usd_a_month)
    }
}
