//! A virtual machine becomes a node by the way that an instance of EC2's takes: its own kernel,
//! systemd's own boot order, control groups of version 2, a disk that outlives the power.

use crate::lab_scene::in_service;
use crate::vm_scene::{Machine, up};

/// Where a boot may change files: what is written elsewhere, an image builder would have to know of.
const OURS: [&str; 5] = [
    "/etc/cni/",
    "/etc/containerd/",
    "/etc/kubernetes/",
    "/etc/systemd/networkd.conf.d/50-windlass.conf",
    "/var/lib/",
];

/// Changed by systemd, and by a kubelet that may delay a shutdown.
const OTHERS: [&str; 3] =
    ["/etc/machine-id", "/etc/systemd/logind.conf.d/99-kubelet.conf", "/var/log/"];

#[test]
#[ignore = "a machine that boots three times in an emulated processor: once a day, `cargo test --workspace --test it -- --ignored vm_`"]
fn a_virtual_machine_is_a_node_and_comes_back_from_a_reboot_without_s3_and_from_a_power_cut() {
    let lab = up("vm", &[]);
    lab.ok(&["launch", "workers"]);
    let nodes = lab.eventually("two nodes in service", |nodes| in_service(nodes, 2));
    let worker = nodes.iter().find(|node| node.group == "workers").unwrap();
    let machine = Machine { lab: &lab, id: worker.instance.clone() };
    eprintln!("{}", lab.ok(&["vm", "times", &machine.id]));

    it_concedes_nothing(&machine);
    machine.runs_a_pod();
    only_known_places_have_changed(&machine);

    let second = comes_back_from_a_reboot_without_s3(&machine);

    machine.is_cut();
    lab.ok(&["vm", "shape", "--firmware"]);
    machine.is_switched_on();
    machine.ready_after(Some(&second));
    machine.was_started_by_firmware();
    machine.pod_answers();

    lab.ok(&["terminate", &machine.id]);
    lab.eventually("the machine is gone", |_| {
        let status = machine.status();
        status.state == "terminated" && status.pid.is_none()
    });
    lab.ok(&["down"]);
    assert_eq!(lab.traces(), Vec::<String>::new());
}

/// The shortest that shows a real boot, for whoever has a few minutes only.
#[test]
#[ignore = "a machine that boots twice in an emulated processor: once a day, `cargo test --workspace --test it -- --ignored vm_`"]
fn vm_short_a_machine_that_firmware_starts_is_a_node_and_comes_back_from_a_reboot_without_s3() {
    let lab = up("vm-short", &[]);
    let machine = Machine::launch(&lab, &["--firmware"]);
    machine.report(|report| report.is_good());
    machine.ready_after(None);
    machine.was_started_by_firmware();
    eprintln!("{}", lab.ok(&["vm", "times", &machine.id]));
    machine.runs_a_pod();
    comes_back_from_a_reboot_without_s3(&machine);
    lab.ok(&["down"]);
    assert_eq!(lab.traces(), Vec::<String>::new());
}

/// By what is on its disk, and so does its pod. Leaves which start of a kernel that was.
fn comes_back_from_a_reboot_without_s3(machine: &Machine) -> String {
    let first = machine.ready().expect("a Ready node");
    let caller = ["--service", "s3", "--caller", machine.id.as_str()];
    machine.lab.ok(&[&["fault", "add", "unavailable"], &caller[..]].concat());
    machine.sh("systemctl reboot");
    let second = machine.ready_after(Some(&first));
    machine.pod_answers();
    machine.lab.ok(&["fault", "clear"]);
    second
}

/// What a container node is let off, this one has.
fn it_concedes_nothing(machine: &Machine) {
    assert_eq!(machine.sh("stat --file-system --format %T /sys/fs/cgroup"), "cgroup2fs\n");
    assert_eq!(machine.sh("systemd-detect-virt --container || true"), "none\n");
    assert_eq!(
        machine.sh("ls /etc/kubernetes/kubelet.conf.d /etc/containerd/conf.d | grep lab || true"),
        ""
    );
    let pods = machine.sh("systemctl show --property=ControlGroup --value kubepods.slice");
    assert_eq!(pods, "/kubepods.slice\n", "systemd knows the pods' groups");
    let mtu = machine.sh("cat /sys/class/net/en*/mtu");
    assert_eq!(mtu, "9001\n", "as on a Nitro instance");
    let failed = machine.sh("systemctl list-units --failed --plain --no-legend");
    assert_eq!(failed, "");
}

fn only_known_places_have_changed(machine: &Machine) {
    let found = machine.sh(r#"find / -xdev -type f -newerct "$(uptime -s)""#);
    let ours = found.lines().filter(|path| OURS.iter().any(|place| path.starts_with(place)));
    assert!(ours.count() > 0, "{found}");
    let unknown: Vec<&str> = found
        .lines()
        .filter(|path| !OURS.iter().chain(&OTHERS).any(|place| path.starts_with(place)))
        .collect();
    assert_eq!(unknown, Vec::<&str>::new());
}
