//! A node whose first boots knew an API server that has no address, and whose last one knows the right
//! one: whatever its `windlass watch` began with, it leaves by what the last boot left.

use serde_json::Value;

use crate::lab_description::{Description, configured};
use crate::lab_scene::{Lab, in_service};

/// The group `workers` has one instance already; another worker is of no group.
pub fn a_node_leaves_by_what_its_last_boot_left(lab: &Lab) {
    let before = lab.status().into_iter().filter(|node| node.group == "workers");
    let before: Vec<String> = before.map(|node| node.instance).collect();
    let others: Vec<&str> = before.iter().map(String::as_str).collect();
    let described = Description::of(lab);
    let patient = described.of_workers("boot = { deadline = \"10m\" }\n");
    described.apply(&described.without_api_server(&patient));
    lab.ok(&["launch", "workers"]);
    let changed = configured(lab, &others);
    lab.ok(&["exec", &changed, "--", "bash", "-c", WATCHED_BESIDE_A_BOOT]);
    described.apply(&described.good);
    lab.ok(&["exec", &changed, "--", "systemctl", "kill", "--signal=KILL", "windlass-boot"]);
    lab.eventually("it in service", |nodes| in_service(nodes, 3));

    lab.ok(&["terminate", &changed]);
    lab.eventually("it gone", |nodes| {
        nodes.iter().any(|node| node.instance == changed && node.state == "terminated")
    });
    let report = lab.operator_ok(&["windlass", "report", &changed, "--drain", "--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    let hook = "the termination hook is completed: CONTINUE";
    assert_eq!(report["announced"][0]["hook"], hook, "{report}");
}

/// `windlass watch` begins when the boot that asked for it has ended in any way; the next boot waits for
/// the Node, as that one did.
const WATCHED_BESIDE_A_BOOT: &str = "
    until systemctl list-jobs --no-legend | grep -q windlass-watch; do sleep 0.1; done
    systemctl kill --signal KILL windlass-boot
    until systemctl is-active --quiet windlass-watch; do sleep 0.1; done
    until [ $(systemctl show --value --property=SubState windlass-boot) = start ]; do sleep 0.1; done
";
