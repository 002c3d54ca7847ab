//! An instance that is stopped and started: EC2 gives it a new LaunchTime and keeps its disk, its
//! addresses and its tags ("Stop and start Amazon EC2 instances", EC2 User Guide). It is of no Auto
//! Scaling group, which would replace it instead.

use integration::lab::daemon::Status;
use serde_json::Value;
use time::OffsetDateTime;

use crate::lab_scene::Lab;

/// A node that was Ready and whose machine is off.
pub struct Stopped {
    instance: String,
    pod_cidr: String,
}

impl Stopped {
    /// Launches a worker, and stops it when it is a Ready node.
    pub fn once_ready(lab: &Lab) -> Self {
        let worker = launch(lab);
        Self::of(lab, &worker)
    }

    pub fn of(lab: &Lab, worker: &str) -> Self {
        lab.report(worker, |report| report.ready_ms.is_some());
        // A Node that kubelet registered, since the API server came later than the grant, is completed.
        lab.eventually("a Node with a pod CIDR", |_| !pod_cidr(lab, worker).is_empty());
        let stopped = Self { instance: worker.to_owned(), pod_cidr: pod_cidr(lab, worker) };
        lab.ok(&["stop", worker]);
        lab.eventually("stopped", |nodes| {
            let found = nodes.iter().find(|node| node.instance == worker).unwrap();
            found.state == "stopped" && found.pid.is_none()
        });
        stopped
    }

    /// Starts it: it is Ready again, with the pods' addresses that it had. The steps of its boot.
    pub fn comes_back(&self, lab: &Lab) -> Vec<String> {
        let (worker, started) = (&self.instance, OffsetDateTime::now_utc());
        lab.ok(&["start", worker]);
        let report = lab.report(worker, |report| report.origin >= started);
        assert_eq!((report.failure, report.ready_ms.is_some()), (None, true), "{:?}", report.steps);
        assert_eq!(pod_cidr(lab, worker), self.pod_cidr);
        let routes = lab.ok(&["exec", worker, "--", "ip", "route", "show", "type", "blackhole"]);
        assert!(routes.starts_with(&format!("blackhole {} ", self.pod_cidr)), "{routes}");

        let printed = lab.operator_ok(&["windlass", "nodes", "--output", "json"]);
        let rows: Vec<Value> = serde_json::from_str(&printed).unwrap();
        let row = rows.iter().find(|row| row["instance"] == worker.as_str()).unwrap();
        let since_started = (OffsetDateTime::now_utc() - started).whole_seconds();
        assert_eq!((&row["ready"], &row["why_not"]), (&Value::Bool(true), &Value::Null));
        assert!(row["age_seconds"].as_i64().unwrap() <= since_started + 1, "{row}");
        report.steps.iter().map(|step| step.name.as_str().to_owned()).collect()
    }
}

/// A worker of no Auto Scaling group.
pub fn launch(lab: &Lab) -> String {
    let worker: Status = serde_json::from_str(&lab.ok(&["launch", "workers", "--alone"])).unwrap();
    worker.instance
}

/// As the Node says. One that kubelet made, because the admitter had no API server yet, gets it a moment later.
pub fn pod_cidr(lab: &Lab, node: &str) -> String {
    let words = ["kubectl", "get", "node", node, "--output=jsonpath={.spec.podCIDR}"];
    let mut cidr = String::new();
    lab.eventually("a Node with its pod CIDR", |_| {
        cidr = lab.operator_ok(&words);
        !cidr.is_empty()
    });
    cidr
}
