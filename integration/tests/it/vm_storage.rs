//! A machine with disks of its host's: an array of them has images and pods' data, is found again after a
//! reboot, and made anew when the machine was stopped, since the disks are empty then. qemu's NVMe disks
//! stand for EC2's; kernel, mdadm, XFS, systemd and udev are as on an instance.

use std::fs;
use std::path::Path;

use windlass::report::{Outcome, Report};

use crate::lab_description::Description;
use crate::vm_scene::{Machine, up};

const RAID0: &str = "storage = { instance_store = \"raid0\" }\n";

/// What containerd, kubelet and the file system's own mount say.
const PLACES: [&str; 4] =
    ["/var/lib/windlass-data", "/var/lib/containerd", "/var/lib/kubelet", "/var/log/pods"];

#[test]
#[ignore = "a machine that boots three times in an emulated processor: once a day, `cargo test --workspace --test it -- --ignored vm_`"]
fn an_array_of_the_machines_own_disks_has_its_nodes_data_and_is_found_again() {
    let lab = up("vm-storage", &[]);
    let described = Description::of(&lab);
    described.apply(&described.of_workers(RAID0));

    let machine = Machine::launch(&lab, &["--instance-store", "2"]);
    let first = machine.ready_after(None);
    let made = storage_step(&lab.report(&machine.id, |report| report.ready_ms.is_some()));
    for change in ["of nvme0n1, nvme1n1", "made xfs on /dev/md", "copied /var/lib/containerd"] {
        assert!(made.contains(change), "{made}");
    }
    all_is_on_the_array(&machine);
    machine.runs_a_pod();
    machine.sh("echo mine > /var/lib/containerd/mine");
    eprintln!("{}", machine.sh("journalctl --boot --output cat --unit windlass-storage; df -h"));

    machine.sh("systemctl reboot");
    let second = machine.ready_after(Some(&first));
    all_is_on_the_array(&machine);
    assert_eq!(machine.sh("cat /var/lib/containerd/mine"), "mine\n");
    machine.pod_answers();
    let said =
        machine.sh("journalctl --boot --output cat --unit windlass-boot | grep 'mounted /dev/md'");
    assert!(!said.contains("made xfs"), "{said}");

    lab.ok(&["stop", &machine.id]);
    lab.eventually("a machine that is stopped", |_| {
        let status = machine.status();
        status.state == "stopped" && status.pid.is_none()
    });
    let console = machine.status().console;
    for number in 0..2 {
        let file = Path::new(&console).with_file_name(format!("store{number}.raw"));
        fs::remove_file(file).unwrap();
    }
    lab.ok(&["start", &machine.id]);
    machine.ready_after(Some(&second));
    all_is_on_the_array(&machine);
    assert_eq!(machine.sh("ls /var/lib/containerd/mine || true"), "");
    machine.pod_answers();

    machine.terminate();
    lab.ok(&["down"]);
    assert_eq!(lab.traces(), Vec::<String>::new());
}

fn storage_step(report: &Report) -> String {
    let step = report.steps.iter().find(|step| step.name == "storage").expect("a storage step");
    eprintln!("storage took {:.0} ms: {}", step.end_ms - step.start_ms, step.detail);
    assert_eq!(step.outcome, Outcome::Changed);
    step.detail.clone()
}

fn all_is_on_the_array(machine: &Machine<'_>) {
    // Of the device itself: udev, whom findmnt asks, may remember an earlier label.
    let device = machine.sh(&format!("findmnt -n -o SOURCE {}", PLACES[0]));
    let found = machine.sh(&format!("blkid -p -s TYPE -s LABEL -o value {}", device.trim()));
    assert_eq!(found, "windlass\nxfs\n");
    let level = machine.sh("cat /sys/block/md*/md/level /sys/block/md*/md/raid_disks");
    assert_eq!(level, "raid0\n2\n");
    let devices = machine.sh(&format!("stat -c %d {}", PLACES.join(" ")));
    let devices: std::collections::BTreeSet<&str> = devices.lines().collect();
    assert_eq!(devices.len(), 1, "one file system: {devices:?}");
    let state = |unit: &str| machine.sh(&format!("systemctl is-active {unit} || true"));
    assert_eq!((&*state("containerd"), &*state("kubelet")), ("active\n", "active\n"));
    // A node is Ready before `windlass watch`, which waits for the boot, has looked at everything.
    machine.eventually("windlass-watch active", || state("windlass-watch") == "active\n");
}
