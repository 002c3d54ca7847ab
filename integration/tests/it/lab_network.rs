//! Pods that talk across nodes while another node is taken away under load, and when its pod CIDR is
//! another's.

use std::time::{Duration, Instant};

use integration::lab::daemon::Status;
use integration::lab::network::Drops;
use serde_json::{Value, json};

use crate::lab_scene::{Lab, in_service};
use crate::lab_stopped::pod_cidr;

/// Asks `$2` from the pod `$1` for fifteen seconds; prints how often it answered, and not.
const LOAD: &str = r#"
for ns in $(ls /run/netns); do ip -n "$ns" -o addr | grep -qw "$1" && pod=$ns; done
good=0 bad=0 end=$((SECONDS + 15))
while [ $SECONDS -lt $end ]; do
    if ip netns exec "$pod" curl --silent --max-time 1 --output /dev/null "http://$2:8080/hostname"
    then good=$((good + 1)); else bad=$((bad + 1)); fi
    sleep 0.02
done
echo "$good $bad"
"#;

struct Pod {
    node: String,
    address: String,
}

fn pods(lab: &Lab, nodes: &[String]) -> Vec<Pod> {
    let pod = |node: &String| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("web-{node}")},
            "spec": {
                "nodeSelector": {"kubernetes.io/hostname": node},
                "tolerations": [{"operator": "Exists"}],
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": "agnhost", "image": integration::lab::artifacts::AGNHOST,
                    "imagePullPolicy": "Never", "args": ["netexec", "--http-port=8080"],
                    "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
                }],
            },
        })
    };
    let items: Vec<_> = nodes.iter().map(pod).collect();
    let file = std::env::temp_dir().join(format!("windlass-{}-pods.json", lab.0));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    std::fs::write(&file, list.to_string()).unwrap();
    lab.eventually("the service account `default`", |_| {
        lab.operator(&["kubectl", "get", "serviceaccount", "default"]).status.success()
    });
    lab.operator_ok(&["kubectl", "create", "--filename", &file.display().to_string()]);
    std::fs::remove_file(file).unwrap();
    let ready = "wait --for=condition=Ready pod --all --timeout=120s";
    lab.operator_ok(&[&["kubectl"], &ready.split(' ').collect::<Vec<_>>()[..]].concat());
    let address = |node: &String| {
        let name = format!("web-{node}");
        let path = "--output=jsonpath={.status.podIP}";
        let address = lab.operator_ok(&["kubectl", "get", "pod", &name, path]);
        Pod { node: node.clone(), address }
    };
    nodes.iter().map(address).collect()
}

/// How many requests of a pod to another were answered in fifteen seconds, and how many not.
fn load(lab: &Lab, from: &Pod, to: &Pod) -> (u32, u32) {
    let words = ["exec", &from.node, "--", "bash", "-c", LOAD, "load"];
    let printed = lab.ok(&[&words[..], &[&from.address, &to.address]].concat());
    let (good, bad) = printed.trim().split_once(' ').expect("two numbers");
    (good.parse().unwrap(), bad.parse().unwrap())
}

#[test]
fn a_node_that_is_terminated_under_load_takes_nobody_elses_packets() {
    let lab = Lab::up("network", &[]);
    lab.ok(&["launch", "workers", "2"]);
    let nodes = lab.eventually("three nodes in service", |nodes| in_service(nodes, 3));
    let nodes: Vec<_> = nodes.into_iter().map(|node| node.instance).collect();
    let control_plane = lab.status().into_iter().find(|node| node.group == "control-plane");
    let control_plane = control_plane.unwrap().instance;
    let pods = pods(&lab, &nodes);
    let at = |node: &String| pods.iter().find(|pod| pod.node == *node).unwrap();
    let workers: Vec<_> = nodes.iter().filter(|node| **node != control_plane).collect();
    let (from, to, gone) = (at(workers[0]), at(&control_plane), at(workers[1]));

    let asked = |from: &Pod, to: &Pod| load(&lab, from, to);
    let (living, dying) = std::thread::scope(|scope| {
        let living = scope.spawn(|| asked(from, to));
        let dying = scope.spawn(|| asked(from, gone));
        std::thread::sleep(Duration::from_secs(4));
        lab.ok(&["terminate", &gone.node]);
        (living.join().unwrap(), dying.join().unwrap())
    });
    eprintln!("answered and not: {living:?} from who stayed, {dying:?} from who was terminated");
    assert!(living.0 > 50 && living.1 == 0, "{living:?} of who stayed");
    assert!(dying.0 > 0 && dying.1 > 0, "{dying:?} of who was terminated");
    lab.ok(&["down"]);
}

/// A lease is taken back a minute or two after its instance was terminated, and forgotten 150 s later,
/// by the admitter's own clock, which no test can move.
#[test]
#[ignore = "takes six to ten minutes: `cargo test --workspace --test it -- --ignored --nocapture again`"]
fn the_pod_cidr_of_a_terminated_node_is_used_again_without_a_stale_route() {
    let lab = Lab::up("again", &[]);
    lab.ok(&["launch", "workers", "2"]);
    let nodes = lab.eventually("three nodes in service", |nodes| in_service(nodes, 3));
    let mut workers: Vec<_> = nodes.into_iter().filter(|node| node.group == "workers").collect();
    workers.sort_by_key(|node| pod_cidr(&lab, &node.instance));
    let [gone, stays] = workers.try_into().map(|both: [_; 2]| both.map(|it| it.instance)).unwrap();
    let cidr = pod_cidr(&lab, &gone);

    let written = leases_written(&lab);
    lab.ok(&["terminate", &gone]);
    let terminated = Instant::now();
    // One write ends the lease, the next forgets it.
    while leases_written(&lab) < written + 2 {
        assert!(terminated.elapsed() < Duration::from_secs(600), "the lease is never forgotten");
        std::thread::sleep(Duration::from_secs(1));
    }
    eprintln!("{cidr} was free {} s after its node was terminated", terminated.elapsed().as_secs());

    lab.ok(&["launch", "workers", "1"]);
    let nodes = lab.eventually("three nodes in service again", |nodes| in_service(nodes, 3));
    let before = drops(&lab);
    let serves = |it: &&Status| it.lifecycle.as_deref() == Some("InService");
    let mut workers = nodes.iter().filter(serves).filter(|it| it.group == "workers");
    let new = workers.find(|it| it.instance != stays).unwrap().instance.clone();
    assert_eq!(pod_cidr(&lab, &new), cidr);
    let pods = pods(&lab, &[stays, new]);
    let (good, bad) = load(&lab, &pods[0], &pods[1]);
    eprintln!("{good} requests to a pod of the new node were answered, {bad} were not");
    assert!(good > 20 && bad == 0, "{good} answered, {bad} not");
    assert_eq!(drops(&lab).blackhole, before.blackhole);
    lab.ok(&["down"]);
}

fn drops(lab: &Lab) -> Drops {
    serde_json::from_str(&lab.ok(&["drops"])).unwrap()
}

/// How often the leases were written since the lab began.
fn leases_written(lab: &Lab) -> usize {
    let calls = lab.ok(&["calls"]);
    let calls = calls.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let written = |call: &Value| {
        let resource = call["resource"].as_str().unwrap_or_default();
        resource.ends_with("/leases.json") && call["action"] == "PutObject" && call["status"] == 200
    };
    calls.filter(written).count()
}
