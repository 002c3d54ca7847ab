//! What a power cut leaves of a boot: whole files or none, and the next boot goes on from there.

use std::time::Duration;

use windlass::report::Report;

use crate::lab_scene::Lab;
use crate::lab_stopped::Stopped;
use crate::vm_scene::{Machine, up};

/// At ten moments of `windlass boot`, each on a machine of its own, whose disk is new.
#[test]
#[ignore = "ten machines boot twice, one after the other: once a day, `cargo test --workspace --test it -- --ignored vm_`"]
fn vm_a_power_cut_at_any_moment_of_a_boot_costs_no_more_than_another_boot() {
    let lab = up("vm-cut", &[]);
    let mut rng = fastrand::Rng::with_seed(6);
    let whole = whole_boot(&lab);
    eprintln!("a whole boot takes {} ms from its first word to Ready", whole.as_millis());
    for number in 1..=10 {
        // One in each tenth of it, so that no part of it is left out.
        let tenth = (f64::from(number - 1) + rng.f64()) / 10.0;
        cut_short(&lab, whole.mul_f64(tenth));
    }
    lab.ok(&["down"]);
    assert_eq!(lab.traces(), Vec::<String>::new());
}

/// How long one takes that nothing happens to.
fn whole_boot(lab: &Lab) -> Duration {
    let machine = Machine::launch(lab, &[]);
    let report = lab.report(&machine.id, |report| report.ready_ms.is_some());
    let ms = report.ready_ms.unwrap() - report.started_ms.unwrap();
    machine.terminate();
    Duration::from_secs_f64(ms / 1e3)
}

/// Cuts the power so long after `windlass boot` began.
pub fn cut_short(lab: &Lab, after: Duration) {
    let machine = Machine::launch(lab, &[]);
    lab.eventually("its first request for a token", |_| asked_for_a_token(lab, &machine.id));
    std::thread::sleep(after);
    let reached = last_step(&machine);
    machine.loses_power();
    let report = lab.report(&machine.id, |report| report.ready_ms.is_some());
    eprintln!(
        "{} lost its power {} ms into its boot ({reached}) and was Ready {:.1} s after its kernel's second start",
        machine.id,
        after.as_millis(),
        report.ready_ms.unwrap() / 1e3
    );
    assert!(report.is_good(), "{report:?}");
    machine.ready_after(None);
    what_is_there_is_whole(&machine, &report);
    machine.terminate();
}

/// Which is the boot's first.
fn asked_for_a_token(lab: &Lab, instance: &str) -> bool {
    lab.ok(&["calls"]).lines().any(|call| call.contains(instance) && call.contains("\"imds\""))
}

fn last_step(machine: &Machine) -> String {
    let journal = machine.journal();
    let said = journal.lines().rev().find(|line| line.contains("windlass"));
    said.map_or_else(|| "before its first word".to_owned(), |line| line.trim().to_owned())
}

/// No temporary file is left beside a whole one, no file is empty that has contents, the file system
/// is sound, and the next boot finds everything as planned.
fn what_is_there_is_whole(machine: &Machine, report: &Report) {
    assert_eq!(report.failure, None);
    let empty = machine.sh(
        "find /etc/kubernetes /etc/cni /etc/windlass /var/lib/windlass /var/lib/kubelet/pki -xdev -type f -empty",
    );
    assert_eq!(empty, "", "files that are cut short");
    let errors = machine.sh("dmesg | grep -i 'EXT4-fs error' || true");
    assert_eq!(errors, "");
    let again =
        machine.sh("systemctl restart windlass-boot; journalctl --unit windlass-boot --output cat");
    assert!(again.contains("every unit runs: as planned"), "{again}");
}

/// Its certificate ends while it is off; the key on its disk is what admission knows it by.
#[test]
#[ignore = "a certificate's shortest life and two boots: once a day, `cargo test --workspace --test it -- --ignored vm_`"]
fn vm_a_machine_that_was_off_until_its_certificate_ended_is_signed_for_afresh() {
    const LIFETIME: Duration = Duration::from_secs(60);
    let lab = up("vm-stop", &["--certificate-lifetime", "60s"]);
    let machine = Machine::launch(&lab, &[]);
    let stopped = Stopped::of(&lab, &machine.id);
    std::thread::sleep(LIFETIME);
    let steps = stopped.comes_back(&lab);
    assert!(steps.contains(&"grant".to_owned()), "it had to be signed for again: {steps:?}");
    lab.ok(&["down"]);
    assert_eq!(lab.traces(), Vec::<String>::new());
}
