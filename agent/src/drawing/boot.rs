//! The picture of a boot.

use super::picture::{Picture, Row};
use super::{bytes, duration, short, title};
use crate::report::{Outcome, Report, Stage, Step};

/// The row that no step of ours recorded.
const BEFORE: &str = "kernel, systemd";

impl From<&Report> for Picture {
    fn from(report: &Report) -> Self {
        let own = report.started_ms.zip(report.own_ms);
        let requests = report.calls.iter().map(|(call, count)| format!("{call} {count}"));
        let requests = requests.collect::<Vec<_>>().join(" · ");
        let mut picture = Self {
            of: "Boot",
            title: title(&report.instance, report.node.as_deref()),
            subject: subject(report),
            headline: String::new(),
            well: report.is_good(),
            rows: rows(report),
            own,
            ready_ms: report.ready_ms,
            why: report.failure.clone(),
            notes: report.notes.clone(),
            requests: Some(requests).filter(|said| !said.is_empty()),
        };
        picture.headline = headline(report, picture.end_ms());
        picture
    }
}

/// `Ready 2.31 s after the machine started`.
fn headline(report: &Report, end_ms: f64) -> String {
    let (what, ms) = match (&report.failure, report.ready_ms, report.stage) {
        (Some(_), _, _) => ("gave up", end_ms),
        (None, Some(ready), _) => ("Ready", ready),
        (None, None, Stage::WarmPool) => ("prepared for the warm pool", end_ms),
        (None, None, _) => ("not Ready", end_ms),
    };
    let since = match report.stage {
        Stage::Launch | Stage::WarmPool => "the machine started",
        Stage::FromWarmPool => "it was called out of the warm pool",
    };
    format!("{what} {} after {since}", duration(ms))
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

/// The steps, and before them what ran until this program did.
fn rows(report: &Report) -> Vec<Row> {
    let before = report.started_ms.filter(|started| *started > 0.0).map(|started| Row {
        name: BEFORE.to_owned(),
        start_ms: 0.0,
        end_ms: started,
        waited: true,
        failed: false,
        notes: Vec::new(),
        detail: String::new(),
    });
    before.into_iter().chain(report.steps.iter().map(row)).collect()
}

fn row(step: &Step) -> Row {
    Row {
        name: step.name.clone(),
        start_ms: step.start_ms,
        end_ms: step.end_ms,
        waited: step.waited_for.is_some(),
        failed: step.outcome == Outcome::Failed,
        notes: notes(step),
        detail: step.detail.clone(),
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

#[cfg(test)]
pub(super) mod tests {
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
            stage: Stage::Launch,
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
    fn a_headline_says_what_a_boot_was_for() {
        let from_pool = Report { stage: Stage::FromWarmPool, ..boot() };
        let into_pool = Report { stage: Stage::WarmPool, ready_ms: None, ..boot() };
        let drawn = |report: &Report| {
            let picture = Picture::from(report);
            (picture.headline, picture.well)
        };
        let said = [boot(), from_pool, into_pool].map(|report| drawn(&report));
        let wanted = [
            "Ready 1.87 s after the machine started",
            "Ready 1.87 s after it was called out of the warm pool",
            "prepared for the warm pool 1.92 s after the machine started",
        ];
        assert_eq!(said, wanted.map(|it| (it.to_owned(), true)));
        assert!(!drawn(&failed()).1);
    }
}
