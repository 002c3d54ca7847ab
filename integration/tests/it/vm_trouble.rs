//! Machines that are not as an image builder left them: a clock that starts in 1970, a disk that is
//! full, a kernel without nftables.

use crate::lab_scene::Lab;
use crate::vm_scene::{Machine, up};

/// No certificate is valid yet then, and no signature of a request is believed.
#[test]
#[ignore = "a machine of its own: once a day, `cargo test --workspace --test it -- --ignored vm_`"]
fn vm_a_clock_that_starts_in_1970_is_waited_for() {
    let lab = up("vm-clock", &[]);
    let machine = Machine::launch(&lab, &["--clock", "1970-01-01T00:00:00"]);
    let report = machine.report(|report| report.ready_ms.is_some());
    assert!(report.is_good(), "{report:?}");
    machine.ready_after(None);
    let synchronized = machine.sh("timedatectl show --property=NTPSynchronized --value");
    assert_eq!(synchronized, "yes\n");
    ends(&lab);
}

#[test]
#[ignore = "a machine of its own: once a day, `cargo test --workspace --test it -- --ignored vm_`"]
fn vm_a_kernel_without_nftables_is_named() {
    let lab = up("vm-nft", &[]);
    let without = "--kernel-arguments=module_blacklist=nf_tables";
    let machine = Machine::launch(&lab, &[without]);
    let report = machine.report(|report| report.failure.is_some());
    let failure = report.failure.unwrap();
    assert!(failure.contains("the kernel needs nf_tables"), "{failure}");
    it_is_no_node(&machine);
    ends(&lab);
}

/// Not a block is free: it is systemd that cannot make the folder of the boot's state, and says so. What
/// happens where some are left, the boot's own tests try page by page.
#[test]
#[ignore = "a machine that boots twice: once a day, `cargo test --workspace --test it -- --ignored vm_`"]
fn vm_a_full_disk_is_no_node_and_nothing_is_half_written() {
    let lab = up("vm-full", &[]);
    let machine = Machine::launch(&lab, &["--kernel-arguments=lab.full"]);
    machine.says("Failed to start windlass-boot.service");
    // EXIT_STATE_DIRECTORY (systemd.exec(5)). The journal has no room for the reason.
    let status = machine.sh("systemctl show --value --property=ExecMainStatus windlass-boot");
    assert_eq!(status, "238\n");
    it_is_no_node(&machine);
    let half =
        "find /etc/kubernetes /var/lib/windlass /var/lib/kubelet -xdev -type f -empty || true";
    assert_eq!(machine.sh(half), "");

    // Somebody makes room. The command line stays what it was until the power is cut.
    lab.ok(&["vm", "shape"]);
    machine.sh("rm /full /fuller; sync");
    machine.loses_power();
    machine.ready_after(None);
    ends(&lab);
}

fn ends(lab: &Lab) {
    lab.ok(&["down"]);
    assert_eq!(lab.traces(), Vec::<String>::new());
}

/// kubelet never ran, so no pod was sent to half a node.
fn it_is_no_node(machine: &Machine) {
    let kubelet = machine.sh("systemctl show --property=ActiveState --value kubelet");
    assert_eq!(kubelet, "inactive\n");
    assert_eq!(machine.ready(), None);
}
