//! Instances that get their identity and never become Ready: each says why where a person looks, and
//! makes room for the next one.

use std::fs;
use std::path::Path;

use crate::lab_scene::{Lab, in_service};

const NOWHERE: &str = "api.nowhere.invalid";

/// One place in a group, four instances for it: the first has a kubelet that cannot start, the
/// second an API server that has no address, the third a boot that is killed whenever it is started, the
/// fourth is right. What is wrong is in the description, which is changed as soon as an instance has read
/// it.
pub fn instances_that_never_become_ready_are_given_up_with_the_reason(lab: &Lab) {
    let printed = lab.operator_ok(&["sh", "-c", "dirname $KUBECONFIG"]);
    let folder = Path::new(printed.trim_end());
    let good = fs::read_to_string(folder.join("cluster.toml")).unwrap();
    let of_workers = |more: &str| {
        let (head, added) =
            ("[groups.workers]\n", format!("boot = {{ deadline = \"15s\" }}\n{more}"));
        assert!(good.contains(head), "{good}");
        good.replace(head, &format!("{head}{added}"))
    };
    let broken = "kubelet = { overrides = { evictionHard = { nonsense = \"1\" } } }\n";
    let nowhere = of_workers("").replace(&format!("api.{}.internal", lab.0), NOWHERE);
    let patient = nowhere.replace("deadline = \"15s\"", "deadline = \"10m\"");
    let apply = |description: &str| {
        let file = folder.join("changed.toml");
        fs::write(&file, description).unwrap();
        lab.operator_ok(&["windlass", "cluster", "apply", &file.display().to_string()]);
    };

    apply(&of_workers(broken));
    lab.ok(&["launch", "workers"]);
    let first = configured(lab, &[]);
    apply(&nowhere);
    let second = configured(lab, &[&first]);
    apply(&patient);
    let third = configured(lab, &[&first, &second]);
    apply(&good);
    lab.ok(&["exec", &third, "--", "bash", "-c", KILLED_WHENEVER_STARTED]);
    lab.eventually("a good one in its place", |nodes| in_service(nodes, 2));

    let reason = given_up(lab, &first);
    let (of_ours, of_kubelets) = reason.split_once("\nkubelet's journal says last:\n").unwrap();
    assert_eq!(
        of_ours,
        format!("node `{first}` is not Ready within 15 s: kubelet has not reported its state")
    );
    assert!(of_kubelets.contains("eviction signal nonsense"), "{reason}");

    let reason = given_up(lab, &second);
    let (of_ours, of_kubelets) = reason.split_once("\nkubelet's journal says last:\n").unwrap();
    assert_eq!(
        of_ours,
        format!(
            "node `{second}` is not Ready within 15 s: `{NOWHERE}` does not resolve: there is no such name\n\
             hint: `api.endpoint` in the cluster's description names it; the VPC's resolver must know it"
        )
    );
    // Which of its many complaints are the last depends on the moment.
    assert_ne!(of_kubelets, "nothing");

    let reason = given_up(lab, &third);
    let (of_ours, of_systemds) = reason.split_once("; its journal says last:\n").unwrap();
    assert_eq!(
        of_ours,
        "windlass-boot.service is not started any more (signal), and ended before it could \
         say why"
    );
    assert!(of_systemds.contains("Start request repeated too quickly."), "{reason}");
}

/// The unit may be started five times.
const KILLED_WHENEVER_STARTED: &str = "
    for _ in 1 2 3 4 5; do
        until [ $(systemctl show --value --property=SubState windlass-boot) = start ]; do sleep 0.1; done
        systemctl kill --signal KILL windlass-boot
        sleep 1
    done
";

/// The worker that has read its group's pointer and is none of `others`.
fn configured(lab: &Lab, others: &[&str]) -> String {
    let mut found = None;
    lab.eventually("another worker with its configuration", |nodes| {
        let calls = lab.ok(&["calls"]);
        let has_read = |instance: &str| {
            let of_it = |line: &&str| line.contains(instance) && line.contains("/groups/workers");
            calls.lines().any(|line| of_it(&line))
        };
        let workers = nodes.iter().filter(|node| node.lifecycle.is_some());
        let mut workers = workers.filter(|node| node.group == "workers").map(|node| &node.instance);
        found = workers.find(|it| !others.contains(&it.as_str()) && has_read(it)).cloned();
        found.is_some()
    });
    found.unwrap()
}

/// Why an instance was given up, as its report says; it told Auto Scaling once, which let it go.
fn given_up(lab: &Lab, instance: &str) -> String {
    let report = lab.report(instance, |report| report.failure.is_some());
    assert_eq!(report.notes, ["completed hook `windlass-launch` with ABANDON"]);
    let reason = report.failure.unwrap();
    // It sees itself off after it has reported.
    lab.eventually("the instance gone", |nodes| {
        nodes.iter().any(|node| node.instance == instance && node.state == "terminated")
    });
    // ABANDON, and CONTINUE for the termination that follows.
    let calls = lab.ok(&["calls"]);
    let completed = |line: &&str| {
        line.contains(instance)
            && line.contains("CompleteLifecycleAction")
            && line.contains("\"status\":200")
    };
    assert_eq!(calls.lines().filter(completed).count(), 2, "{reason}");
    let replaced = lab.status().into_iter().find(|node| node.instance == instance).unwrap();
    assert_eq!(replaced.lifecycle, None);
    reason
}
