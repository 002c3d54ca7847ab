//! `cargo lab` as its user sees it: up, used, and gone without a trace.

use std::fs;
use std::time::{Duration, Instant};

use integration::lab::daemon::Place;
use integration::lab::running::prefix;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::lab_scene::{Lab, in_service};
use crate::lab_stopped::Stopped;

#[test]
fn a_worker_joins_reboots_and_is_terminated() {
    let lab = Lab::up("join", &[]);
    lab.ok(&["launch", "workers"]);
    let nodes = lab.eventually("two nodes in service", |nodes| in_service(nodes, 2));
    let worker = nodes.iter().find(|node| node.group == "workers").unwrap();
    let short_name = worker.private_dns_name.split('.').next().unwrap();
    assert_eq!(lab.ok(&["exec", short_name, "--", "hostname"]).trim(), short_name);
    assert_eq!(lab.run(&["exec", short_name, "--", "sh", "-c", "exit 7"]).status.code(), Some(7));
    let nobody = lab.run(&["exec", "nobody", "--", "true"]);
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert_eq!(
        said,
        "error: no instance is called `nobody`\nhint: `cargo lab status` lists them\n"
    );
    // The console is a moment behind.
    lab.eventually("the boot's last words on the console", |_| {
        lab.ok(&["logs", &worker.instance]).contains("is Ready")
    });

    // The disk survives a reboot: the second boot finds its identity and asks nobody for another.
    lab.ok(&["exec", short_name, "--", "sh", "-c", "echo kept > /root/mark; sync"]);
    lab.ok(&["reboot", short_name]);
    lab.eventually("rebooted", |nodes| {
        nodes.iter().any(|node| {
            node.instance == worker.instance && node.pid.is_some_and(|pid| Some(pid) != worker.pid)
        })
    });
    // A machine that has just started may not have its disk in place yet.
    lab.eventually("what was written before the reboot", |_| {
        lab.run(&["exec", short_name, "--", "cat", "/root/mark"]).stdout == b"kept\n"
    });

    lab.ok(&["terminate", short_name]);
    lab.eventually("terminated", |nodes| {
        nodes.iter().any(|node| {
            node.instance == worker.instance && node.state == "terminated" && node.pid.is_none()
        })
    });
    let gone = format!("{}{}", prefix(&lab.0), worker.instance);
    assert!(!lab.traces().iter().any(|trace| trace.contains(&gone)), "{:?}", lab.traces());
    lab.ok(&["down"]);
    assert_eq!(lab.traces(), Vec::<String>::new());
}

/// An instance that was stopped meanwhile, until its certificate had ended, is signed for afresh.
///
/// kubelet renews by itself when 70 to 90 % of a certificate's life are over, and moves the link to
/// the new file. Restarted after the first certificate has ended, it has nothing but that file.
#[test]
fn a_kubelet_renews_its_certificate_is_restarted_and_is_still_in() {
    const LIFETIME: Duration = Duration::from_secs(120);
    const CURRENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
    let lab = Lab::up("renew", &["--certificate-lifetime", "2m"]);
    lab.ok(&["launch", "workers"]);
    let stopped = Stopped::once_ready(&lab);
    let nodes = lab.eventually("two nodes in service", |nodes| in_service(nodes, 2));
    // The one that is stopped is of no Auto Scaling group.
    let worker = nodes.iter().find(|node| node.group == "workers" && node.lifecycle.is_some());
    let worker = &worker.unwrap().instance;
    let on_worker = |words: &[&str]| lab.ok(&[&["exec", worker, "--"], words].concat());
    let file = || on_worker(&["readlink", CURRENT]);

    let (admitted, first) = (Instant::now(), file());
    lab.eventually("a renewed certificate", |_| file() != first);
    std::thread::sleep((LIFETIME + Duration::from_secs(10)).saturating_sub(admitted.elapsed()));
    on_worker(&["systemctl", "restart", "kubelet.service"]);
    let restarted = on_worker(&["date", "+%s"]).trim().parse::<i64>().unwrap();
    lab.eventually("a heartbeat of the restarted kubelet", |_| {
        heartbeat(&lab, worker).is_some_and(|at| at.unix_timestamp() > restarted)
    });

    let steps = stopped.comes_back(&lab);
    assert!(steps.contains(&"grant".to_owned()), "it had to be signed for again: {steps:?}");
    lab.ok(&["down"]);
}

/// When the node's lease was last renewed, as the API server has it.
fn heartbeat(lab: &Lab, node: &str) -> Option<OffsetDateTime> {
    let time = "jsonpath={.spec.renewTime}";
    let words =
        ["kubectl", "get", "lease", "--namespace", "kube-node-lease", "--output", time, node];
    let text = String::from_utf8(lab.operator(&words).stdout).unwrap();
    OffsetDateTime::parse(text.trim(), &Rfc3339).ok()
}

#[test]
fn two_labs_do_not_touch_each_other_and_a_killed_one_leaves_nothing_after_down() {
    let other = Lab::up("other", &["--empty"]);
    let killed = Lab::up("killed", &[]);
    killed.eventually("a machine that runs", |nodes| nodes.iter().any(|node| node.pid.is_some()));
    let pid = fs::read_to_string(Place::of(&killed.0).pid()).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    assert!(!killed.traces().is_empty(), "the machine should have outlived its daemon");
    killed.ok(&["down"]);
    assert_eq!(killed.traces(), Vec::<String>::new());

    assert_eq!(other.status().len(), 0);
    let again = other.run(&["up", "--empty"]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains(&format!("a lab called `{}` is up already", other.0)), "{said}");
    other.ok(&["down"]);
    assert_eq!(other.traces(), Vec::<String>::new());
    // Nothing there is nothing to do.
    other.ok(&["down"]);
}
