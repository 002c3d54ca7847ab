//! Warm pools on real nodes: prepared machines that become nodes when their group calls, go back when
//! it shrinks, and are called again.

use std::time::Instant;

use integration::lab::daemon::Status;
use serde_json::Value;
use windlass::report::Stage;

use crate::lab_scene::{Lab, in_service};

/// The members of the group of workers.
fn members(nodes: &[Status]) -> Vec<&Status> {
    let ours = nodes.iter().filter(|node| node.group == "workers" && node.lifecycle.is_some());
    ours.collect()
}

/// The one member, once it is in that state.
fn once(lab: &Lab, state: &str) -> Status {
    let is = |node: &Status| node.lifecycle.as_deref() == Some(state);
    let found = lab.eventually(&format!("a worker that is {state}"), |nodes| {
        members(nodes).into_iter().any(is)
    });
    let found = members(&found).into_iter().find(|node| is(node)).cloned();
    found.expect("it was there a moment ago")
}

/// Scales to so many; the seconds until another Node is Ready and takes pods.
fn scaled(lab: &Lab, to: usize) -> f64 {
    let began = Instant::now();
    lab.ok(&["scale", "workers", &to.to_string()]);
    lab.eventually("enough Ready workers", |_| ready(lab).len() == to);
    began.elapsed().as_secs_f64()
}

/// Workers that are Ready and take pods.
fn ready(lab: &Lab) -> Vec<String> {
    let words = ["kubectl", "get", "nodes", "--output", "json"];
    let Ok(nodes) = serde_json::from_slice::<Value>(&lab.operator(&words).stdout) else {
        return Vec::new();
    };
    let is_ready = |node: &&Value| {
        let conditions = node["status"]["conditions"].as_array();
        let ready = |it: &Value| it["type"] == "Ready" && it["status"] == "True";
        node["metadata"]["labels"]["windlass.dev/group"] == "workers"
            && node["spec"]["unschedulable"] != true
            && conditions.is_some_and(|it| it.iter().any(ready))
    };
    let nodes = nodes["items"].as_array().into_iter().flatten().filter(is_ready);
    nodes.map(|node| node["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The scheduler puts a pod on a worker, of which there is one, and it runs.
fn runs_a_pod(lab: &Lab, node: &str, name: &str) {
    lab.eventually("the service account `default`", |_| {
        lab.operator(&["kubectl", "get", "serviceaccount", "default"]).status.success()
    });
    let image = format!("--image={}", integration::lab::artifacts::AGNHOST);
    let spec = r#"--overrides={"apiVersion": "v1", "spec": {
        "automountServiceAccountToken": false, "nodeSelector": {"windlass.dev/group": "workers"}
    }}"#;
    let run = ["kubectl", "run", name, &image, "--image-pull-policy=Never", spec, "--", "pause"];
    lab.operator_ok(&run);
    let told = "jsonpath={.spec.nodeName} {.status.phase}";
    lab.eventually("the pod running", |_| {
        let words = ["kubectl", "get", "pod", name, "--output", told];
        lab.operator(&words).stdout == format!("{node} Running").into_bytes()
    });
}

/// How often the instance completed an action.
fn completed(lab: &Lab, instance: &str) -> usize {
    let calls = lab.ok(&["calls"]);
    let of_it = |line: &&str| {
        line.contains(instance)
            && line.contains("CompleteLifecycleAction")
            && line.contains("\"status\":200")
    };
    calls.lines().filter(of_it).count()
}

fn pooled(lab: &Lab, state: &str) -> String {
    lab.eventually("the control plane in service", |nodes| in_service(nodes, 1));
    lab.ok(&["warm-pool", "workers", "--prepared", "1", "--state", state, "--reuse"]);
    let worker = once(lab, &format!("Warmed:{state}")).instance;
    let report = lab.report(&worker, |report| report.stage == Stage::WarmPool);
    assert_eq!((report.failure, report.ready_ms), (None, None));
    assert_eq!(completed(lab, &worker), 1);
    let node = lab.operator(&["kubectl", "get", "node", &worker]);
    assert!(String::from_utf8_lossy(&node.stderr).contains("NotFound"), "{node:?}");
    worker
}

/// Called, and in service.
fn called(lab: &Lab, worker: &str) -> f64 {
    let seconds = scaled(lab, 1);
    assert_eq!(ready(lab), [worker]);
    assert_eq!(once(lab, "InService").instance, worker);
    seconds
}

#[test]
fn a_stopped_machine_is_called_goes_back_after_a_drain_and_is_called_again() {
    let lab = Lab::up("warm", &[]);
    let worker = pooled(&lab, "Stopped");
    let first = called(&lab, &worker);
    assert_eq!(completed(&lab, &worker), 2);
    runs_a_pod(&lab, &worker, "first");

    lab.ok(&["scale", "workers", "0"]);
    assert_eq!(once(&lab, "Warmed:Stopped").instance, worker);
    assert_eq!(completed(&lab, &worker), 3);
    // The machine may stop before kubelet has said farewell to a pod that has ended.
    let told = "jsonpath={.metadata.deletionTimestamp} {.status.phase}";
    let pod = lab.operator(&["kubectl", "get", "pod", "first", "--output", told]);
    let (gone, said) = (!pod.status.success(), String::from_utf8_lossy(&pod.stdout));
    assert!(gone || said.starts_with("20") && said.ends_with(" Failed"), "{pod:?}");

    let again = called(&lab, &worker);
    assert_eq!(completed(&lab, &worker), 4);
    runs_a_pod(&lab, &worker, "second");
    let cold = scaled(&lab, 2);
    eprintln!(
        "from the call until Ready: {first:.1} s the first time, {again:.1} s the second time; \
         without a pool {cold:.1} s"
    );
    lab.ok(&["down"]);
}

#[test]
fn a_running_machine_is_called_goes_back_after_a_drain_and_is_called_again() {
    let lab = Lab::up("hot", &[]);
    let worker = pooled(&lab, "Running");
    let first = called(&lab, &worker);
    assert_eq!(completed(&lab, &worker), 2);
    lab.report(&worker, |report| report.stage == Stage::FromWarmPool && report.ready_ms.is_some());

    lab.ok(&["scale", "workers", "0"]);
    assert_eq!(once(&lab, "Warmed:Running").instance, worker);
    assert_eq!(completed(&lab, &worker), 3);
    let status = ["systemctl", "show", "--property=StatusText", "windlass-boot"];
    lab.eventually("a boot that waits for the call", |_| {
        lab.ok(&[&["exec", &worker, "--"], &status[..]].concat()).contains("rests in the warm pool")
    });

    let again = called(&lab, &worker);
    assert_eq!(completed(&lab, &worker), 4);
    eprintln!(
        "from the call until Ready: {first:.1} s the first time, {again:.1} s the second time"
    );
    lab.ok(&["down"]);
}
