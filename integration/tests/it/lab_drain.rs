//! Nodes that leave while pods run on them and somebody asks those pods all the time: real nodes, a
//! real Kubernetes, and every way in which AWS takes an instance.

use std::sync::atomic::{AtomicBool, Ordering};

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
                    "terminationGracePeriodSeconds": 10,
                    "containers": [{
                        "name": "agnhost", "image": integration::lab::artifacts::AGNHOST,
                        "imagePullPolicy": "Never", "args": ["netexec", "--http-port=8080"],
                        // Until every kube-proxy has heard that the pod ends, it serves.
                        "lifecycle": { "preStop": { "sleep": { "seconds": 3 } } },
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
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web" },
        "spec": { "selector": labels, "ports": [{ "port": 8080 }] },
    });
    json!({ "apiVersion": "v1", "kind": "List", "items": [deployment, budget, service] })
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

/// A hundred requests, each on a connection of its own, to `$1`; prints how many were not answered.
const HUNDRED: &str = r#"
bad=0
for _ in $(seq 100); do
    curl --silent --fail --max-time 2 --output /dev/null "http://$1:8080/hostname" || bad=$((bad + 1))
    sleep 0.01
done
echo $bad
"#;

/// The Deployment, asked without a pause from a node that stays.
struct Load<'a> {
    lab: &'a Lab,
    from: String,
    address: String,
}

impl Load<'_> {
    /// While `what` happens: how many requests there were, and how many of them were not answered.
    fn during(&self, what: impl FnOnce()) -> (usize, usize) {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let (mut asked, mut bad) = (0, 0);
                while !over.load(Ordering::Relaxed) {
                    let words =
                        ["exec", &self.from, "--", "bash", "-c", HUNDRED, "load", &self.address];
                    asked += 100;
                    bad += self.lab.ok(&words).trim().parse::<usize>().unwrap();
                }
                (asked, bad)
            });
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(what));
            over.store(true, Ordering::Relaxed);
            let counted = asking.join().unwrap();
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            counted
        })
    }
}

fn workers(lab: &Lab) -> Vec<String> {
    let alive = lab.status().into_iter().filter(|node| node.group == "workers");
    alive.filter(|node| node.lifecycle.is_some()).map(|node| node.instance).collect()
}

/// How often the instance completed an action, in the order of its life: launch, termination.
fn completed(lab: &Lab, instance: &str) -> usize {
    let calls = lab.ok(&["calls"]);
    let of_it = |line: &&str| {
        line.contains(instance)
            && line.contains("CompleteLifecycleAction")
            && line.contains("\"status\":200")
    };
    calls.lines().filter(of_it).count()
}

fn deployed(lab: &Lab) -> Load<'_> {
    let file = std::env::temp_dir().join(format!("windlass-{}-web.json", lab.0));
    std::fs::write(&file, web().to_string()).unwrap();
    lab.eventually("the service account `default`", |_| {
        lab.operator(&["kubectl", "get", "serviceaccount", "default"]).status.success()
    });
    lab.operator_ok(&["kubectl", "create", "--filename", &file.display().to_string()]);
    std::fs::remove_file(file).unwrap();
    lab.eventually("all pods ready", |_| placed(lab).len() == REPLICAS);
    let from = lab.status().into_iter().find(|node| node.group == "control-plane").unwrap();
    let address = kubectl(lab, "get service web --output=jsonpath={.spec.clusterIP}");
    Load { lab, from: from.instance, address }
}

#[test]
fn no_request_is_dropped_whichever_way_a_node_leaves() {
    let lab = Lab::up("drain", &[]);
    lab.ok(&["launch", "workers", "3"]);
    lab.eventually("four nodes in service", |nodes| in_service(nodes, 4));
    let load = deployed(&lab);

    let leaves = placed(&lab).pop().unwrap();
    let mut fewest = REPLICAS;
    let scaled_in = load.during(|| {
        lab.ok(&["terminate", &leaves]);
        lab.eventually("the instance terminated", |nodes| {
            fewest = fewest.min(placed(&lab).len());
            nodes.iter().any(|node| node.instance == leaves && node.state == "terminated")
        });
    });
    assert_eq!(completed(&lab, &leaves), 2);
    assert!(fewest >= REPLICAS - 1, "the budget was broken: {fewest} pods were ready");
    lab.eventually("all pods ready", |_| placed(&lab).len() == REPLICAS);

    let old = workers(&lab);
    let refreshed = load.during(|| {
        lab.ok(&["refresh", "workers", "--min-healthy", "100", "--max-healthy", "150"]);
        lab.eventually("a refresh that is successful", |_| {
            lab.ok(&["refreshes", "workers"]).contains("Successful")
        });
    });
    assert!(old.iter().all(|instance| completed(&lab, instance) == 2), "{old:?}");
    assert!(workers(&lab).iter().all(|instance| !old.contains(instance)));
    lab.eventually("all pods ready", |_| placed(&lab).len() == REPLICAS);

    let leaves = placed(&lab).pop().unwrap();
    let interrupted = load.during(|| {
        lab.ok(&["spot", &leaves, "--in", "60s"]);
        lab.eventually("the instance empty", |_| !placed(&lab).contains(&leaves));
        lab.eventually("the instance interrupted", |nodes| {
            nodes.iter().any(|node| node.instance == leaves && node.state == "terminated")
        });
    });
    eprintln!(
        "asked and not answered: {scaled_in:?} at a scale-in, {refreshed:?} at an instance refresh, \
         {interrupted:?} at a spot interruption"
    );
    for (asked, bad) in [scaled_in, refreshed, interrupted] {
        assert!(asked > 200 && bad == 0, "{bad} of {asked}");
    }
    lab.ok(&["down"]);
}
