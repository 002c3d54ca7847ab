//! Instances that get their identity and never become Ready: each says why where a person looks, and
//! makes room for the next one.

use crate::lab_description::{Description, NOWHERE, configured};
use crate::lab_scene::{Lab, in_service};

/// One place in a group, four instances for it: the first has a kubelet that cannot start, the
/// second an API server that has no address, the third a boot that is killed whenever it is started, the
/// fourth is right. What is wrong is in the description, which is changed as soon as an instance has read
/// it.
pub fn instances_that_never_become_ready_are_given_up_with_the_reason(lab: &Lab) {
    let described = Description::of(lab);
    let broken = "kubelet = { overrides = { evictionHard = { nonsense = \"1\" } } }\n";
    let of_workers = |deadline: &str, more: &str| {
        described.of_workers(&format!("boot = {{ deadline = \"{deadline}\" }}\n{more}"))
    };
    let nowhere = |deadline| described.without_api_server(&of_workers(deadline, ""));

    described.apply(&of_workers("15s", broken));
    lab.ok(&["launch", "workers"]);
    let first = configured(lab, &[]);
    described.apply(&nowhere("15s"));
    let second = configured(lab, &[&first]);
    described.apply(&nowhere("10m"));
    let third = configured(lab, &[&first, &second]);
    described.apply(&described.good);
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
