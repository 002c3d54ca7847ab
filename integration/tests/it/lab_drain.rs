//! Nodes that leave while pods run on them: by scale-in, on real nodes and a real Kubernetes.

use serde_json::{Value, json};

use crate::lab_scene::{Lab, in_service};

const REPLICAS: usize = 4;

/// A Deployment whose pods may go one at a time.
fn web() -> Value {
    let labels = json!({ "app": "web" });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": {
            "replicas": REPLICAS, "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 5,
                    "containers": [{
                        "name": "agnhost", "image": integration::lab::artifacts::AGNHOST,
                        "imagePullPolicy": "Never", "args": ["netexec", "--http-port=8080"],
                        "readinessProbe": { "httpGet": { "path": "/healthz", "port": 8080 }, "periodSeconds": 1 },
                    }],
                },
            },
        },
    });
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "web" },
        "spec": { "maxUnavailable": 1, "selector": { "matchLabels": labels } },
    });
    json!({ "apiVersion": "v1", "kind": "List", "items": [deployment, budget] })
}

fn kubectl(lab: &Lab, words: &str) -> String {
    lab.operator_ok(&[&["kubectl"], &words.split(' ').collect::<Vec<_>>()[..]].concat())
}

/// Node → its ready pods of the Deployment.
fn placed(lab: &Lab) -> Vec<String> {
    let pods: Value =
        serde_json::from_str(&kubectl(lab, "get pods --selector app=web --output json")).unwrap();
    let ready = |pod: &&Value| {
        let conditions = pod["status"]["conditions"].as_array();
        let going = pod["metadata"]["deletionTimestamp"].is_string();
        !going
            && conditions.is_some_and(|it| {
                it.iter().any(|it| it["type"] == "Ready" && it["status"] == "True")
            })
    };
    let pods = pods["items"].as_array().unwrap();
    pods.iter()
        .filter(ready)
        .map(|pod| pod["spec"]["nodeName"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_node_that_is_scaled_in_moves_its_pods_and_completes_its_hook() {
    let lab = Lab::up("drain", &[]);
    lab.ok(&["launch", "workers", "2"]);
    lab.eventually("three nodes in service", |nodes| in_service(nodes, 3));
    let file = std::env::temp_dir().join(format!("windlass-{}-web.json", lab.0));
    std::fs::write(&file, web().to_string()).unwrap();
    lab.eventually("the service account `default`", |_| {
        lab.operator(&["kubectl", "get", "serviceaccount", "default"]).status.success()
    });
    lab.operator_ok(&["kubectl", "create", "--filename", &file.display().to_string()]);
    std::fs::remove_file(file).unwrap();
    lab.eventually("all pods ready", |_| placed(&lab).len() == REPLICAS);
    let leaves = placed(&lab).pop().unwrap();
    let here = placed(&lab).iter().filter(|node| **node == leaves).count();
    assert!(here > 0);

    lab.ok(&["terminate", &leaves]);
    let mut fewest = REPLICAS;
    lab.eventually("the instance terminated", |nodes| {
        fewest = fewest.min(placed(&lab).len());
        nodes.iter().any(|node| node.instance == leaves && node.state == "terminated")
    });
    let calls = lab.ok(&["calls"]);
    let completed = |line: &&str| {
        line.contains(&leaves)
            && line.contains("CompleteLifecycleAction")
            && line.contains("\"status\":200")
    };
    // One that it is Ready, one that its pods have left.
    assert_eq!(calls.lines().filter(completed).count(), 2);
    assert!(fewest >= REPLICAS - 1, "the budget was broken: {fewest} pods were ready");
    let placed = placed(&lab);
    assert!(!placed.contains(&leaves), "{placed:?}");
    lab.ok(&["down"]);
}
