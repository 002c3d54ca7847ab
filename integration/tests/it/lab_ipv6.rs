//! A dual-stack node of a lab: it gets its IPv6 address as on EC2, and its boot ends when everybody
//! knows it by both families.

use std::io::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use integration::lab::artifacts::AGNHOST;
use integration::lab::network::Namespace;
use integration::lab::network::forwarding::OUTSIDE_HOST_IPV6;
use integration::lab::running::prefix;
use serde_json::json;

use crate::lab_scene::{Lab, in_service};

const PORT: u16 = 8080;

#[test]
fn a_dual_stack_node_has_its_address_its_routes_and_a_way_out_for_its_pods() {
    let lab = Lab::up("dual", &["--family", "dual"]);
    lab.eventually("a control plane in service", |nodes| in_service(nodes, 1));
    lab.ok(&["launch", "workers", "1"]);
    let nodes = lab.eventually("a worker in service", |nodes| in_service(nodes, 2));
    let of = |group: &str| nodes.iter().find(|node| node.group == group).unwrap().instance.clone();
    let (worker, head) = (of("workers"), of("control-plane"));

    // A Node that is Ready has all its addresses at once, and pods of both families.
    let (ipv4, ipv6) = addresses(&lab, &worker);
    let (_, other) = addresses(&lab, &head);
    assert_eq!(nodes.iter().find(|node| node.instance == worker).unwrap().address, ipv4);
    let cidrs = node(&lab, &worker, "{.spec.podCIDRs}");
    let cidrs: Vec<String> = serde_json::from_str(&cidrs).unwrap();
    let [pods_ipv4, pods_ipv6] = &cidrs[..] else { panic!("{cidrs:?}") };
    assert!(pods_ipv4.starts_with("10.64.") && pods_ipv6.starts_with("fd00:64:"), "{cidrs:?}");

    let routes = lab.ok(&["exec", &worker, "--", "ip", "-6", "route"]);
    let router = routes.lines().find_map(|line| line.strip_prefix("default via "));
    let router = router.unwrap_or_else(|| panic!("no default route: {routes}"));
    assert!(router.contains("dev ens5 proto ra"), "{routes}");
    let router = router.split(' ').next().unwrap();
    for wanted in [
        format!(
            "fd00:64::/48 via {router} dev ens5 proto 87 src {ipv6} metric 512 onlink mtu 9001"
        ),
        format!("blackhole {pods_ipv6} dev lo proto 87 metric 4096"),
    ] {
        assert!(routes.lines().any(|line| line.starts_with(&wanted)), "no `{wanted}` in {routes}");
    }
    lab.ok(&["exec", &worker, "--", "ping", "-c", "1", "-W", "2", &other.to_string()]);
    assert_eq!(seen_outside(&lab, &worker), IpAddr::V6(ipv6), "a pod leaves as its node");
    lab.ok(&["down"]);
}

/// What the Node's addresses are.
fn addresses(lab: &Lab, name: &str) -> (String, Ipv6Addr) {
    let all = "{.status.addresses[?(@.type==\"InternalIP\")].address}";
    let all = node(lab, name, all);
    let (ipv4, ipv6) = all.split_once(' ').unwrap_or_else(|| panic!("{name} has only `{all}`"));
    (ipv4.to_owned(), ipv6.parse().unwrap())
}

fn node(lab: &Lab, name: &str, path: &str) -> String {
    lab.operator_ok(&["kubectl", "get", "node", name, "--output", &format!("jsonpath={path}")])
}

/// As whom a pod of that node appears beyond the VPC.
fn seen_outside(lab: &Lab, worker: &str) -> IpAddr {
    let namespaces = Namespace::with_prefix(&prefix(&lab.0)).unwrap();
    let outside = namespaces.iter().find(|it| it.name().ends_with("-outside")).unwrap();
    let host = SocketAddr::from((OUTSIDE_HOST_IPV6, PORT));
    let listener = outside.listen(host).unwrap();
    let seen = std::thread::spawn(move || listener.accept().unwrap().1.ip());
    let target = host.to_string();
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "outward"},
        "spec": {
            "nodeName": worker,
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "agnhost",
                "image": AGNHOST,
                "imagePullPolicy": "Never",
                "args": ["connect", target, "--timeout=3s"],
            }],
        },
    });
    create(lab, &pod.to_string());
    lab.eventually("a pod that was outside", |_| {
        let phase = ["kubectl", "get", "pod", "outward", "--output", "jsonpath={.status.phase}"];
        let phase = lab.operator_ok(&phase);
        assert_ne!(phase, "Failed", "{}", lab.operator_ok(&["kubectl", "logs", "outward"]));
        std::thread::sleep(Duration::from_millis(100));
        phase == "Succeeded"
    });
    seen.join().unwrap()
}

fn create(lab: &Lab, object: &str) {
    let script = format!("{}\nexec kubectl create --filename -", lab.ok(&["env"]));
    let mut kubectl =
        Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
    kubectl.stdin.take().unwrap().write_all(object.as_bytes()).unwrap();
    assert!(kubectl.wait().unwrap().success());
}
