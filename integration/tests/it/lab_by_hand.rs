//! A worker that an operator empties and gives back, and that leaves for good in the end: what he is
//! told, what the node says of itself, and what it reports.

use serde_json::Value;

use crate::lab_scene::Lab;

const NODE: &str = "get node --output=json";

fn kubectl(lab: &Lab, words: &str) -> String {
    lab.operator_ok(&[&["kubectl"], &words.split(' ').collect::<Vec<_>>()[..]].concat())
}

/// Where the Deployment's pod runs, if it does.
fn runs_on(lab: &Lab) -> Option<String> {
    let pods = kubectl(lab, "get pods --selector app=lone --output=json");
    let pods: Value = serde_json::from_str(&pods).unwrap();
    let running = |pod: &&Value| {
        pod["status"]["phase"] == "Running" && !pod["metadata"]["deletionTimestamp"].is_string()
    };
    let found = pods["items"].as_array().unwrap().iter().find(running)?;
    Some(found["spec"]["nodeName"].as_str().unwrap().to_owned())
}

/// Whether it takes no pods, and whether load balancers leave it out.
fn cordoned(lab: &Lab, node: &str) -> (bool, bool) {
    let node: Value = serde_json::from_str(&kubectl(lab, &format!("{NODE} {node}"))).unwrap();
    let label = "node.kubernetes.io/exclude-from-external-load-balancers";
    (node["spec"]["unschedulable"] == true, node["metadata"]["labels"][label].is_string())
}

/// Standard error of a command that fails.
fn refused(lab: &Lab, words: &[&str]) -> String {
    let output = lab.operator(words);
    assert!(!output.status.success(), "{words:?} went well");
    String::from_utf8(output.stderr).unwrap()
}

/// Of two workers one is an instance of the group; `alone` is the other.
pub fn a_worker_is_emptied_by_hand_given_back_and_says_how_it_left(lab: &Lab, alone: &str) {
    kubectl(lab, &format!("cordon {alone}"));
    let workers = lab.status().into_iter().filter(|node| node.group == "workers");
    let mut of_group = workers.filter(|node| node.lifecycle.is_some());
    let worker = of_group.next_back().unwrap().instance;
    let worker = worker.as_str();
    let image = integration::lab::artifacts::AGNHOST;
    kubectl(lab, &format!("create deployment lone --image={image} -- /agnhost pause"));
    lab.eventually("a pod on the worker", |_| runs_on(lab).as_deref() == Some(worker));

    let foreseen = lab.operator_ok(&["windlass", "drain", worker, "--dry-run"]);
    assert!(foreseen.starts_with("1. cordon, and leave external load balancers\n"), "{foreseen}");
    assert!(foreseen.contains("evict default/lone-"), "{foreseen}");
    assert_eq!(cordoned(lab, worker), (false, false));

    let words = ["windlass", "drain", worker, "--deregistration-delay", "2s", "--output", "json"];
    let report: Value = serde_json::from_str(&lab.operator_ok(&words)).unwrap();
    let left: Vec<&Value> = report["pods"].as_array().unwrap().iter().collect();
    assert!(left.iter().all(|pod| pod["gone_ms"].is_number()), "{report}");
    assert!(left.iter().any(|pod| pod["name"].as_str().unwrap().starts_with("lone-")), "{report}");
    assert_eq!((cordoned(lab, worker), runs_on(lab)), ((true, true), None));

    // The node did nothing of this itself.
    let status = lab.ok(&["exec", worker, "--", "windlass", "status"]);
    assert!(status.starts_with(&format!("node      {worker}, group workers\n")), "{status}");
    assert!(status.contains("\nwatch     `windlass watch` runs\n"), "{status}");
    assert!(status.ends_with("\nleaving   nothing is announced\n"), "{status}");
    let curl = ["exec", worker, "--", "curl", "--silent", "http://127.0.0.1:9847/metrics"];
    let metrics = lab.ok(&curl);
    for line in ["windlass_state{state=\"serving\"} 1", "windlass_network_as_planned 1"] {
        assert!(metrics.lines().any(|it| it == line), "no {line} in\n{metrics}");
    }

    lab.operator_ok(&["windlass", "uncordon", worker]);
    assert_eq!(cordoned(lab, worker), (false, false));
    lab.eventually("the pod back on the worker", |_| runs_on(lab).as_deref() == Some(worker));
    kubectl(lab, &format!("cordon {worker}"));
    let said = refused(lab, &["windlass", "uncordon", worker]);
    assert!(said.contains("was not cordoned by `windlass drain`"), "{said}");
    assert!(said.contains(&format!("hint: `kubectl uncordon {worker}`")), "{said}");
    let said = refused(lab, &["windlass", "drain", "i-0000000000000000a"]);
    assert!(said.contains("no node `i-0000000000000000a`"), "{said}");

    somebody_types_reboot(lab, worker);
    lab.ok(&["terminate", worker]);
    lab.eventually("the worker terminated", |nodes| {
        nodes.iter().any(|node| node.instance == worker && node.state == "terminated")
    });
    it_reported_how_it_left(lab, worker);
}

/// The node empties itself before it goes down, and is given back when it is up again.
fn somebody_types_reboot(lab: &Lab, worker: &str) {
    kubectl(lab, &format!("uncordon {worker}"));
    lab.ok(&["exec", worker, "--", "systemctl", "reboot"]);
    lab.eventually("the report of a drain before a shutdown", |_| {
        let words = ["windlass", "report", worker, "--drain", "--json"];
        let printed = lab.operator(&words);
        let report: Value = serde_json::from_slice(&printed.stdout).unwrap_or_default();
        let pods = report["pods"].as_array().cloned().unwrap_or_default();
        report["announced"][0]["kind"] == "shutdown"
            && pods.iter().any(|pod| pod["gone_ms"].is_number())
    });
    lab.eventually("the node back in service, with a pod", |_| {
        cordoned(lab, worker) == (false, false) && runs_on(lab).as_deref() == Some(worker)
    });
}

fn it_reported_how_it_left(lab: &Lab, worker: &str) {
    let printed = lab.operator_ok(&["windlass", "report", worker, "--drain", "--json"]);
    let report: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(report["announced"][0]["kind"], "termination", "{report}");
    assert_eq!(report["listed"], true, "{report}");
    let hook = "the termination hook is completed: CONTINUE";
    assert_eq!(report["announced"][0]["hook"], hook, "{report}");
    let both = lab.operator_ok(&["windlass", "report", worker]);
    let heads: Vec<&str> = both.lines().filter(|line| line.starts_with(worker)).collect();
    assert_eq!(heads.len(), 2, "{both}");
    assert!(heads[0].contains("Ready ") && heads[1].contains("empty "), "{both}");
    assert!(both.contains("default/lone-"), "{both}");
}
