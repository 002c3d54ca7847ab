//! What a power cut leaves of a boot: whole files or none, and the next boot goes on from there.

use std::time::Duration;

use windlass::report::Report;

use crate::lab_scene::Lab;
use crate::lab_stopped::Stopped;
use crate::vm_scene::{Machine, up};

/// systemd says on the serial port what it starts, which the journal tells seconds later; and what
/// lies on the disk is kept before a boot changes it.
const WATCHED: &str = "--kernel-arguments=systemd.show_status=yes lab.remains";
/// What systemd says when it starts `windlass boot`.
const BEGINS: &str = "windlass-boot";
/// Machines whose boot was over before its power went, for one that was in it.
const TOO_LATE: usize = 4;

/// What the disk had of our files when the machine was switched on again, each against what it is
/// after that boot. A file's last name is given to a whole one only.
const REMAINS: &str = r#"
mkdir -p /run/remains && cd /run/remains && tar -xf /run/remains.tar || exit
find . -type f -o -type l | cut -c3- | sort | while read -r path; do
    case "$path" in
        */.*.windlass) echo "temporary /$path"; continue;;
    esac
    if [ -L "$path" ]; then [ "$(readlink "$path")" = "$(readlink "/$path")" ]
    else cmp -s "$path" "/$path"; fi && echo "whole /$path" || echo "other /$path"
done"#;

/// Where a boot writes.
const PLACES: &str = "/etc/cni /etc/containerd /etc/kubernetes /etc/systemd /etc/windlass \
    /var/lib/kubelet /var/lib/windlass";

/// What a boot takes that nothing happens to.
#[derive(Clone, Copy, Debug)]
struct Measure {
    /// From systemd's start of the unit to the first instruction.
    start: Duration,
    /// From there until the node is Ready.
    boot: Duration,
}

impl Measure {
    /// By the machine's clock, which counts from its kernel's start.
    fn of(machine: &Machine, report: &Report) -> Self {
        let property = "--property=InactiveExitTimestampMonotonic";
        let said = machine.sh(&format!("systemctl show {property} --value windlass-boot"));
        let unit = Duration::from_micros(said.trim().parse().unwrap());
        let [first, ready] = [report.started_ms, report.ready_ms]
            .map(|ms| Duration::from_secs_f64(ms.unwrap() / 1e3));
        Self { start: first - unit, boot: ready - first }
    }

    /// How long after systemd's word this part of the boot is over, 0 to 1.
    fn until(self, part: f64) -> Duration {
        self.start + self.boot.mul_f64(part)
    }

    /// Of a machine that was Ready sooner than was thought.
    fn shorter(self) -> Self {
        Self { start: self.start.mul_f64(0.8), boot: self.boot.mul_f64(0.8) }
    }
}

/// At ten moments of `windlass boot`, each on a machine of its own, whose disk is new.
#[test]
#[ignore = "ten machines boot twice, one after the other: once a day, `cargo test --workspace --test it -- --ignored vm_`"]
fn vm_a_power_cut_at_any_moment_of_a_boot_costs_no_more_than_another_boot() {
    let given = std::env::var("WINDLASS_SEED").ok();
    let seed = given.map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    eprintln!("WINDLASS_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let lab = up("vm-cut", &[]);
    let mut whole = whole_boot(&lab);
    for tenth in 0..10 {
        // One in each tenth of it, so that no part of it is left out.
        let part = (f64::from(tenth) + rng.f64()) / 10.0;
        let machine = cut_at(&lab, part, &mut whole);
        // What else the processors have to do changes while the test goes on.
        whole = comes_back(&machine);
        machine.stops_with_a_sound_disk();
        machine.terminate();
    }
    lab.ok(&["down"]);
    assert_eq!(lab.traces(), Vec::<String>::new());
}

fn whole_boot(lab: &Lab) -> Measure {
    let machine = Machine::launch(lab, &[WATCHED]);
    machine.says_by_serial(BEGINS);
    let report = machine.report(|report| report.ready_ms.is_some());
    let whole = Measure::of(&machine, &report);
    eprintln!("{whole:?}");
    machine.terminate();
    whole
}

/// A machine without power since this part of its boot, 0 to 1. One that was Ready by then was quicker
/// than those before it: the measure is shorter from then on, and another machine takes its place.
fn cut_at<'a>(lab: &'a Lab, part: f64, whole: &mut Measure) -> Machine<'a> {
    for _ in 0..TOO_LATE {
        let machine = Machine::launch(lab, &[WATCHED]);
        machine.says_by_serial(BEGINS);
        let after = whole.until(part);
        std::thread::sleep(after);
        machine.is_cut();
        if machine.ready().is_none() && machine.reported().is_none() {
            let (percent, ms, last) = (part * 100.0, after.as_millis(), last_word(&machine));
            eprintln!("{}: cut after {percent:.0} % of a boot, {ms} ms: {last}", machine.id);
            return machine;
        }
        eprintln!("{}: its boot was over after {} ms", machine.id, after.as_millis());
        *whole = whole.shorter();
        machine.terminate();
    }
    panic!("{TOO_LATE} machines were quicker, one after the other");
}

/// What the journal told of the boot so far. It is late: seconds may be missing.
fn last_word(machine: &Machine) -> String {
    let journal = machine.journal();
    let last = journal.lines().rev().find(|line| line.contains("windlass["));
    last.map_or_else(|| "it had not said anything".to_owned(), |line| line.trim().to_owned())
}

/// The next boot ends Ready, took nothing for good that was not whole, and left nothing of what it found
/// half done. One more has nothing to change. Leaves what the next boot took.
fn comes_back(machine: &Machine) -> Measure {
    machine.is_switched_on();
    let report = machine.report(|report| report.ready_ms.is_some());
    let (took, ready) = (Measure::of(machine, &report), report.ready_ms.unwrap() / 1e3);
    eprintln!("  Ready {ready:.1} s after its kernel's second start: {took:?}");
    assert_eq!(report.failure, None);
    machine.ready_after(None);

    let remains = machine.sh(REMAINS);
    let (temporary, others): (Vec<&str>, Vec<&str>) =
        remains.lines().partition(|line| line.starts_with("temporary "));
    eprintln!("  it found {} files, and half written {temporary:?}", others.len());
    let changed: Vec<_> = others.iter().filter(|line| line.starts_with("other ")).collect();
    assert_eq!(changed, Vec::<&&str>::new(), "of {remains}");
    let left = machine.sh(&format!("find {PLACES} -xdev -name '.*.windlass'"));
    assert_eq!(left, "", "what was written beside the files that were meant");
    let empty = machine.sh(&format!("find {PLACES} -xdev -type f -empty"));
    assert_eq!(empty, "", "files that are cut short");
    assert_eq!(machine.sh("dmesg | grep 'EXT4-fs error' || true"), "");
    has_nothing_to_change(machine);
    took
}

/// All that one more boot says.
fn has_nothing_to_change(machine: &Machine) {
    let said = machine.sh("systemctl restart windlass-boot && journalctl --output cat \
         _SYSTEMD_INVOCATION_ID=$(systemctl show --property InvocationID --value windlass-boot)");
    let id = &machine.id;
    let mut wanted = vec![
        ("a route to IMDS after ".to_owned(), " ms"),
        (format!("{id} in "), ""),
        ("revision ".to_owned(), "kept on disk"),
        ("the key of an earlier run, SHA-256 ".to_owned(), "…"),
        (String::new(), "with an MTU of 9001"),
        ("what needs no grant: as planned".to_owned(), ""),
        ("files and routes: as planned".to_owned(), ""),
        ("every unit runs: as planned".to_owned(), ""),
        (format!("node `{id}` is Ready after "), " ms"),
        (format!("node `{id}` is Ready; nothing was to be changed"), ""),
    ];
    for line in said.lines() {
        let fits = |(begin, end): &(String, &str)| line.starts_with(begin) && line.ends_with(end);
        let place = wanted.iter().position(fits);
        let place = place.unwrap_or_else(|| panic!("`{line}` was not wanted:\n{said}"));
        wanted.remove(place);
    }
    assert_eq!(wanted, [], "{said}");
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
