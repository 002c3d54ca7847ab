//! Nodes that leave while pods run on them and clients ask those pods all the time, through a load
//! balancer: real nodes, a real Kubernetes, and every way in which AWS takes an instance.

use std::collections::BTreeMap;
use std::fmt;

use integration::lab::balancer::{Failure, PROPAGATION, Status as Balancing};
use integration::lab::daemon::Status;
use serde_json::{Value, json};

use crate::lab_load::{Asked, Load};
use crate::lab_scene::{Lab, in_service};

const REPLICAS: usize = 6;

const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// A Deployment whose pods may go one at a time, behind a load balancer.
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
                    "topologySpreadConstraints": [{
                        "topologyKey": "kubernetes.io/hostname", "maxSkew": 1,
                        "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": { "matchLabels": labels },
                    }],
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
        "spec": {
            "type": "LoadBalancer", "selector": labels,
            "ports": [{ "port": 80, "targetPort": 8080 }],
        },
    });
    json!({ "apiVersion": "v1", "kind": "List", "items": [deployment, budget, service] })
}

fn kubectl(lab: &Lab, words: &str) -> String {
    lab.operator_ok(&[&["kubectl"], &words.split(' ').collect::<Vec<_>>()[..]].concat())
}

/// The nodes of the Deployment's ready pods, one for each pod.
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

/// No pod comes to the node `empty`.
fn deploy(lab: &Lab, empty: &str) {
    let file = std::env::temp_dir().join(format!("windlass-{}-web.json", lab.0));
    std::fs::write(&file, web().to_string()).unwrap();
    lab.eventually("the service account `default`", |_| {
        lab.operator(&["kubectl", "get", "serviceaccount", "default"]).status.success()
    });
    kubectl(lab, &format!("cordon {empty}"));
    lab.operator_ok(&["kubectl", "create", "--filename", &file.display().to_string()]);
    std::fs::remove_file(file).unwrap();
    settled(lab);
    kubectl(lab, &format!("uncordon {empty}"));
    let status = "get service web --output=jsonpath={.status.loadBalancer.ingress[0].ip}";
    let address = kubectl(lab, status);
    assert_eq!(lab.balancer().address, Some(format!("{address}:80")));
}

/// All pods are ready, and the load balancer sends to all nodes.
fn settled(lab: &Lab) {
    lab.eventually("all pods ready", |_| placed(lab).len() == REPLICAS);
    lab.eventually("all targets healthy", |nodes| {
        let targets = lab.balancer().targets;
        let serving = nodes.iter().filter(|it| it.lifecycle.as_deref() == Some("InService"));
        targets.len() == serving.count() && targets.iter().all(|it| it.state == "healthy")
    });
}

/// What was counted while nodes left: by the clients, and by the load balancer.
struct Counted {
    what: &'static str,
    asked: Asked,
    requests: u64,
    failed: u64,
    /// Of the load balancer's the latest.
    failures: Vec<Failure>,
    let_go: LetGo,
}

/// Targets whose leaving the whole load balancer knew, and what they had got by then.
#[derive(Default)]
struct LetGo {
    requests: BTreeMap<String, u64>,
    /// Who got more.
    late: Vec<String>,
}

impl LetGo {
    fn look(&mut self, lab: &Lab) {
        for target in lab.balancer().targets {
            let spread = u128::from(target.draining_ms.unwrap_or(0)) >= PROPAGATION.as_millis();
            if spread {
                let node = target.node.clone();
                let known = *self.requests.entry(node).or_insert(target.counts.requests);
                if target.counts.requests > known {
                    self.late.push(format!("{known} requests before, and then: {target:?}"));
                }
            }
        }
    }
}

impl Counted {
    fn during(lab: &Lab, load: &Load, what: &'static str, leave: impl FnOnce(&mut LetGo)) -> Self {
        let (before, mut let_go) = (lab.balancer().counts, LetGo::default());
        let asked = load.during(|| leave(&mut let_go));
        let Balancing { counts: after, failures, .. } = lab.balancer();
        let failed = after.failed() - before.failed();
        let latest = failures.iter().rev().take(failed as usize).rev();
        let counted = Self {
            what,
            asked,
            requests: after.requests - before.requests,
            failed,
            failures: latest.cloned().collect(),
            let_go,
        };
        eprintln!("{counted}");
        counted
    }

    fn check(&self, left: &[String]) {
        let Self { what, asked, requests, failed, failures, let_go } = self;
        let seen = &asked.failed;
        assert!(seen.is_empty() && *failed == 0, "{self}: {seen:#?}, {failures:#?}");
        assert!(asked.kept > 50 && asked.fresh > 50, "{self}");
        assert_eq!(asked.all() as u64, *requests, "{self}");
        assert_eq!(let_go.late, Vec::<String>::new(), "at {what}");
        for node in left {
            assert!(let_go.requests.contains_key(node), "{node} was not let go at {what}");
        }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, asked, requests, failed, let_go, .. } = self;
        write!(
            f,
            "{what}: {} requests on kept connections and {} on fresh ones, {} failed; the load \
             balancer counts {requests}, {failed} failed, and let go of {} nodes",
            asked.kept,
            asked.fresh,
            asked.failed.len(),
            let_go.requests.len(),
        )
    }
}

#[test]
fn no_request_is_dropped_whichever_way_nodes_leave() {
    let lab = Lab::up("drain", &["--spot"]);
    lab.ok(&["launch", "workers", "5"]);
    lab.eventually("six nodes in service", |nodes| in_service(nodes, 6));
    let empty = workers(&lab)[..1].to_vec();
    deploy(&lab, &empty[0]);
    let load = Load::of(&lab);
    let gone = |nodes: &[Status], left: &[String]| {
        let is_gone =
            |id: &String| nodes.iter().any(|it| it.instance == *id && it.state == "terminated");
        left.iter().all(is_gone)
    };

    // Nobody drains this one: the label alone counts.
    let excluded = Counted::during(&lab, &load, "a label for a while", |let_go| {
        let node = &empty[0];
        kubectl(&lab, &format!("label node {node} {EXCLUDED}="));
        lab.eventually("the labelled node no target", |_| {
            let_go.look(&lab);
            lab.balancer().targets.iter().all(|target| target.node != *node)
        });
        kubectl(&lab, &format!("label node {node} {EXCLUDED}-"));
        settled(&lab);
    });

    // It passes requests on to the pods of others, and has nobody to wait for.
    let emptied = Counted::during(&lab, &load, "scale-in of a node without pods", |let_go| {
        lab.ok(&["terminate", &empty[0]]);
        lab.eventually("the instance terminated", |nodes| {
            let_go.look(&lab);
            gone(nodes, &empty)
        });
    });
    settled(&lab);

    let leaves = [placed(&lab).pop().unwrap()];
    let mut fewest = REPLICAS;
    let scaled_in = Counted::during(&lab, &load, "scale-in", |let_go| {
        lab.ok(&["terminate", &leaves[0]]);
        lab.eventually("the instance terminated", |nodes| {
            let_go.look(&lab);
            fewest = fewest.min(placed(&lab).len());
            gone(nodes, &leaves)
        });
    });
    settled(&lab);

    let old = workers(&lab);
    assert_eq!(old.len(), 3);
    let refreshed = Counted::during(&lab, &load, "instance refresh", |let_go| {
        lab.ok(&["refresh", "workers", "--min-healthy", "100", "--max-healthy", "200"]);
        lab.eventually("a refresh that is successful", |nodes| {
            let_go.look(&lab);
            gone(nodes, &old) && lab.ok(&["refreshes", "workers"]).contains("Successful")
        });
    });
    assert!(workers(&lab).iter().all(|instance| !old.contains(instance)));
    settled(&lab);

    let two = workers(&lab)[..2].to_vec();
    let interrupted = Counted::during(&lab, &load, "two spot notices at once", |let_go| {
        two.iter().for_each(|node| drop(lab.ok(&["spot", node, "--in", "60s"])));
        lab.eventually("the instances interrupted", |nodes| {
            let_go.look(&lab);
            gone(nodes, &two)
        });
    });

    excluded.check(&empty);
    emptied.check(&empty);
    scaled_in.check(&leaves);
    refreshed.check(&old);
    interrupted.check(&two);
    assert!(fewest >= REPLICAS - 1, "the budget was broken: {fewest} pods were ready");
    let left = empty.iter().chain(&leaves).chain(&old);
    assert!(
        left.clone().all(|instance| completed(&lab, instance) == 2),
        "{:?}",
        left.collect::<Vec<_>>()
    );
    lab.ok(&["down"]);
}
