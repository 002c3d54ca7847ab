//! Boot reports for people: a time line for a terminal, a Gantt chart as SVG.
//!
//! Both are pure: a report in, text out. Whatever a picture shows is written at the place where it
//! shows, so that nobody needs a legend.

pub mod pen;
mod svg;
mod terminal;

pub use svg::svg;
pub use terminal::{Style, terminal};

use crate::report::{Outcome, Report, Step};

/// `Ready 2.31 s after the machine started`.
fn headline(report: &Report) -> String {
    match (&report.failure, report.ready_ms) {
        (Some(_), _) => format!("gave up {} after the machine started", duration(end_ms(report))),
        (None, Some(ready)) => format!("Ready {} after the machine started", duration(ready)),
        (None, None) => format!("not Ready {} after the machine started", duration(end_ms(report))),
    }
}

/// What kind of machine it was: group, zone, instance type and revision, as far as they are known.
fn subject(report: &Report) -> String {
    let revision = report.revision.as_deref().map(|hash| format!("revision {}", short(hash)));
    let known = [
        Some(format!("group {}", report.group)),
        report.instance_type.clone(),
        report.zone.clone(),
        revision,
    ];
    known.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// The node's name; with the instance's id where that is another.
fn title(report: &Report) -> String {
    match &report.node {
        Some(node) if node != report.instance.as_str() => format!("{node} ({})", report.instance),
        _ => report.instance.to_string(),
    }
}

/// What the bar does not say: `waited for admission`, `2 retries`, `1.2 KiB`, `was so already`.
fn notes(step: &Step) -> Vec<String> {
    let whom = step.waited_for.as_deref().filter(|whom| *whom != step.name);
    let waited = whom.map(|whom| format!("waited for {whom}"));
    let retries = match step.retries {
        0 => None,
        1 => Some("1 retry".to_owned()),
        n => Some(format!("{n} retries")),
    };
    let outcome = match step.outcome {
        Outcome::Changed => None,
        Outcome::Unchanged => Some("was so already".to_owned()),
        Outcome::Failed => Some("failed".to_owned()),
    };
    let bytes = (step.bytes > 0).then(|| bytes(step.bytes));
    [outcome, waited, retries, bytes].into_iter().flatten().collect()
}

/// The steps, and before them what ran until this program did.
fn rows(report: &Report) -> Vec<Step> {
    let before = report.started_ms.filter(|started| *started > 0.0).map(|started| Step {
        name: BEFORE.to_owned(),
        start_ms: 0.0,
        end_ms: started,
        outcome: Outcome::Changed,
        detail: String::new(),
        retries: 0,
        bytes: 0,
        waited_for: Some(BEFORE.to_owned()),
    });
    before.into_iter().chain(report.steps.iter().cloned()).collect()
}

/// The row that no step of ours recorded.
const BEFORE: &str = "kernel, systemd";

/// `s3:GetObject 3 · s3:PutObject 2`
fn calls(report: &Report) -> String {
    let each = report.calls.iter().map(|(call, count)| format!("{call} {count}"));
    each.collect::<Vec<_>>().join(" · ")
}

/// Where the time axis ends.
fn end_ms(report: &Report) -> f64 {
    let ends = report.steps.iter().map(|step| step.end_ms).chain(report.ready_ms);
    ends.fold(1.0, f64::max)
}

/// Round numbers from 0, about `wanted` of them, none beyond `end_ms`.
pub fn ticks(end_ms: f64, wanted: u32) -> Vec<f64> {
    let rough = end_ms / f64::from(wanted.max(1));
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= rough);
    let step = step.unwrap_or(power * 10.0);
    let count = (end_ms / step).floor() as u32;
    (0..=count).map(|n| f64::from(n) * step).collect()
}

/// Three digits that matter: `0.4 ms`, `312 ms`, `1.25 s`, `2 m 5 s`.
fn duration(ms: f64) -> String {
    match ms {
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 59_995.0 => format!("{:.2} s", ms / 1000.0),
        ms => {
            let seconds = (ms / 1000.0).round() as u64;
            format!("{} m {} s", seconds / 60, seconds % 60)
        }
    }
}

/// The unit of a whole axis: `200 ms`, `1.5 s`.
pub fn tick(ms: f64, end_ms: f64) -> String {
    match ms {
        0.0 => "0".to_owned(),
        ms if end_ms < 2000.0 => format!("{ms} ms"),
        ms => format!("{} s", ms / 1000.0),
    }
}

fn bytes(count: u64) -> String {
    match count {
        count if count < 1024 => format!("{count} B"),
        count if count < 1024 * 1024 => format!("{:.1} KiB", count as f64 / 1024.0),
        count => format!("{:.1} MiB", count as f64 / 1024.0 / 1024.0),
    }
}

/// As much of a hash as a person compares.
fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use time::macros::datetime;

    use super::*;

    fn step(name: &str, start_ms: f64, end_ms: f64) -> Step {
        Step {
            name: name.into(),
            start_ms,
            end_ms,
            outcome: Outcome::Changed,
            detail: String::new(),
            retries: 0,
            bytes: 0,
            waited_for: None,
        }
    }

    fn waiting(name: &str, start_ms: f64, end_ms: f64, whom: &str) -> Step {
        Step { waited_for: Some(whom.into()), ..step(name, start_ms, end_ms) }
    }

    /// A boot as the lab sees it, with one of everything that a picture can show.
    pub fn boot() -> Report {
        Report {
            version: 1,
            instance: "i-0a1b2c3d4e5f60718".parse().expect("an instance id"),
            cluster: "prod".into(),
            group: "workers".into(),
            node: Some("i-0a1b2c3d4e5f60718".into()),
            revision: Some("6f1c0a".repeat(10)),
            zone: Some("eu-west-1a".into()),
            instance_type: Some("m7g.large".into()),
            origin: datetime!(2026-11-23 06:00:00 UTC),
            steps: vec![
                step("facts", 684.0, 712.5),
                Step { bytes: 3102, retries: 1, ..step("configuration", 712.5, 779.0) },
                step("key and request", 779.0, 815.2),
                Step { outcome: Outcome::Unchanged, ..step("sysctls", 779.1, 779.5) },
                step("files", 779.5, 790.0),
                waiting("grant", 815.2, 968.0, "admission"),
                step("kubelet requested", 968.0, 991.0),
                waiting("Ready", 991.0, 1870.0, "kubelet"),
                step("launch hook", 1870.0, 1921.0),
            ],
            started_ms: Some(684.0),
            own_ms: Some(307.0),
            ready_ms: Some(1870.0),
            peak_memory_bytes: Some(17_000_000),
            calls: BTreeMap::from([
                ("autoscaling:CompleteLifecycleAction".into(), 1),
                ("imds:GET".into(), 11),
                ("s3:GetObject".into(), 4),
                ("s3:PutObject".into(), 2),
            ]),
            notes: vec!["S3 did not answer; the last verified configuration was used".into()],
            failure: None,
        }
    }

    /// A boot that ended before there was a grant.
    pub fn failed() -> Report {
        let mut report = boot();
        report.steps.truncate(6);
        report.steps[5].outcome = Outcome::Failed;
        report.steps[5].end_ms = 30_815.0;
        report.steps[5].retries = 58;
        report.own_ms = None;
        report.ready_ms = None;
        report.failure = Some("denied, role-not-listed: role AROAX of i-0a1b2c3d4e5f60718 is not among the 1 role ids of group `workers` & may <not> join".into());
        report
    }

    #[test]
    fn durations_have_three_digits_that_matter() {
        let said: Vec<String> =
            [0.04, 9.96, 312.4, 999.6, 1250.0, 59_990.0, 59_999.0, 125_000.0].map(duration).into();
        let wanted =
            ["0.0 ms", "10 ms", "312 ms", "1.00 s", "1.25 s", "59.99 s", "1 m 0 s", "2 m 5 s"];
        assert_eq!(said, wanted);
    }

    #[test]
    fn ticks_are_round_and_end_on_the_axis() {
        assert_eq!(ticks(1921.0, 8), [0.0, 500.0, 1000.0, 1500.0]);
        assert_eq!(ticks(1000.0, 5), [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]);
        assert_eq!(
            ticks(30_815.0, 8),
            [0.0, 5000.0, 10_000.0, 15_000.0, 20_000.0, 25_000.0, 30_000.0]
        );
        assert_eq!(ticks(1.0, 4), [0.0, 0.5, 1.0]);
    }
}
