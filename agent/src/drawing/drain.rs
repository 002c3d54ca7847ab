//! The picture of a drain: a row for each pod, from when it was asked until it was gone.

use super::picture::{Picture, Row};
use super::{duration, title};
use crate::report::{DrainReport, LeavingPod};

impl From<&DrainReport> for Picture {
    fn from(report: &DrainReport) -> Self {
        let remaining: Vec<String> =
            report.remaining().map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect();
        let why = match (report.listed, remaining.is_empty()) {
            (false, _) => Some("the API server did not say which pods the node has".to_owned()),
            (true, true) => None,
            (true, false) => Some(format!("still here at the end: {}", remaining.join(", "))),
        };
        Self {
            of: "Drain",
            title: title(&report.instance, Some(&report.node)),
            subject: format!("group {}", report.group),
            headline: headline(report),
            well: why.is_none(),
            rows: rows(report),
            own: None,
            ready_ms: None,
            why,
            notes: notes(report),
            requests: None,
        }
    }
}

/// `empty 12.40 s after the drain began`.
fn headline(report: &DrainReport) -> String {
    let took = duration(report.ended_ms as f64);
    match report.remaining().count() {
        _ if !report.listed => format!("gave up {took} after the drain began"),
        0 => format!("empty {took} after the drain began"),
        1 => format!("1 pod still here {took} after the drain began"),
        n => format!("{n} pods still here {took} after the drain began"),
    }
}

fn rows(report: &DrainReport) -> Vec<Row> {
    let row = |name: &str, from: u64, to: u64, waited| Row {
        name: name.to_owned(),
        start_ms: from as f64,
        end_ms: to as f64,
        waited,
        failed: false,
        notes: Vec::new(),
        detail: String::new(),
    };
    let asked = report.pods.iter().filter_map(|pod| pod.asked_ms).min();
    let cordoned = report.cordoned_ms;
    let cordon = cordoned.map(|at| row("cordon", 0, at, false));
    let let_go = asked.unwrap_or(report.ended_ms);
    let balancers = cordoned.filter(|at| *at < let_go);
    let balancers = balancers.map(|at| row("load balancers", at, let_go, true));
    let pods = report.pods.iter().map(|pod| pod_row(pod, report.ended_ms));
    let hook = report.left_ms.map(|left| row("hook", report.ended_ms, left, false));
    let before = [cordon, balancers].into_iter().flatten();
    before.chain(pods).chain(hook).collect()
}

fn pod_row(pod: &LeavingPod, ended_ms: u64) -> Row {
    let end = pod.gone_ms.unwrap_or(ended_ms);
    let refusals = match pod.refusals {
        0 => None,
        1 => Some("refused once".to_owned()),
        n => Some(format!("refused {n} times")),
    };
    let never_asked = pod.asked_ms.is_none().then(|| "ended by itself".to_owned());
    let forced = pod.forced.then(|| "deleted".to_owned());
    let here = pod.gone_ms.is_none().then(|| "still here".to_owned());
    Row {
        name: format!("{}/{}", pod.namespace, pod.name),
        start_ms: pod.asked_ms.unwrap_or(end) as f64,
        end_ms: end as f64,
        waited: true,
        failed: pod.gone_ms.is_none(),
        notes: [never_asked.filter(|_| here.is_none()), refusals, forced, here]
            .into_iter()
            .flatten()
            .collect(),
        detail: pod.said.clone().unwrap_or_default(),
    }
}

/// What announced it, what became of the hook, and whatever the API server did not allow, once.
fn notes(report: &DrainReport) -> Vec<String> {
    let announced = report.announced.iter().map(|it| {
        let before = (it.seen_ms < -999).then(|| duration(-it.seen_ms as f64));
        let before = before.map(|ago| format!(", announced {ago} before")).unwrap_or_default();
        let within = duration(it.end_ms.max(0) as f64);
        let hook = it.hook.as_ref().map(|hook| format!("; {hook}")).unwrap_or_default();
        format!("{} ({}){before}: {within} for it{hook}", it.kind, it.name)
    });
    let mut said: Vec<&str> = report.pods.iter().filter_map(|pod| pod.said.as_deref()).collect();
    said.sort_unstable();
    said.dedup();
    announced.chain(said.into_iter().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::super::{Style, terminal};
    use super::*;
    use crate::report::Announcement;

    fn pod(name: &str, asked_ms: u64, gone_ms: Option<u64>) -> LeavingPod {
        LeavingPod {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            asked_ms: Some(asked_ms),
            gone_ms,
            refusals: 0,
            said: None,
            forced: false,
        }
    }

    fn drain() -> DrainReport {
        let budget = "Cannot evict pod as it would violate the pod's disruption budget. The disruption budget web needs 5 healthy pods and has 5 currently";
        DrainReport {
            version: 1,
            instance: "i-0a1b2c3d4e5f60718".parse().expect("an instance id"),
            cluster: "prod".to_owned(),
            group: "workers".to_owned(),
            node: "i-0a1b2c3d4e5f60718".to_owned(),
            origin: datetime!(2026-11-26 06:00:00 UTC),
            announced: vec![Announcement {
                kind: "termination".to_owned(),
                name: "Terminated".to_owned(),
                seen_ms: 0,
                end_ms: 900_000,
                hook: Some("the termination hook is completed: CONTINUE".to_owned()),
            }],
            cordoned_ms: Some(41),
            ended_ms: 14_800,
            left_ms: Some(14_900),
            listed: true,
            pods: vec![
                pod("batch-7", 5050, Some(6100)),
                LeavingPod {
                    refusals: 3,
                    said: Some(budget.to_owned()),
                    ..pod("web-1", 5050, Some(14_100))
                },
                LeavingPod { forced: true, ..pod("cache-0", 5060, Some(14_800)) },
            ],
        }
    }

    fn drawn(report: &DrainReport) -> String {
        terminal(&Picture::from(report), Style { width: 100, colour: false })
    }

    #[test]
    fn a_drain_reads_as_a_time_line() {
        assert_eq!(drawn(&drain()), include_str!("testdata/drain.txt"));
    }

    #[test]
    fn who_is_still_here_is_said_first() {
        let mut report = drain();
        report.pods[2].gone_ms = None;
        let said = drawn(&report);
        assert!(said.starts_with("i-0a1b2c3d4e5f60718  1 pod still here 14.80 s after"), "{said}");
        assert!(said.contains("\nwhy  still here at the end: shop/cache-0\n"), "{said}");
        report.listed = false;
        let said = drawn(&report);
        assert!(said.contains("\nwhy  the API server did not say which pods"), "{said}");
    }
}
