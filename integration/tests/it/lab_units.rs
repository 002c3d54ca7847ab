//! The units where they run: in the slice, under the user and with the status that they should have, and
//! nothing that they must do is kept from them without a word.

use crate::lab_scene::Lab;

/// How the kernel says that a sandbox kept something back.
const DENIED: [&str; 3] = ["Read-only file system", "Operation not permitted", "Permission denied"];

/// For both kinds of nodes. `windlass watch` of the worker has looked by now.
pub fn units_run_as_intended_and_nothing_is_kept_from_them(lab: &Lab, worker: &str) {
    let nodes = lab.status();
    let control_plane = nodes.iter().find(|node| node.group == "control-plane").unwrap();
    let control_plane = control_plane.instance.as_str();
    let sh = |node: &str, script: &str| {
        lab.ok(&["exec", node, "--", "sh", "-c", script]).trim_end().to_owned()
    };
    let shown = |node: &str, unit: &str, property: &str| {
        sh(node, &format!("systemctl show --value --property={property} {unit}"))
    };

    for unit in ["kubelet", "containerd"] {
        assert_eq!(shown(worker, unit, "Slice"), "runtime.slice");
    }
    assert_eq!(shown(worker, "windlass-watch", "ActiveState"), "active");
    // What systemd cannot set up it may leave out without a word: so the kernel is asked.
    let watch = shown(worker, "windlass-watch", "MainPID");
    let status = format!("grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/{watch}/status");
    let status = sh(worker, &status);
    let words: Vec<&str> = status.split_whitespace().collect();
    // CAP_NET_ADMIN is bit 12 of capabilities(7).
    let sandboxed = ["CapBnd:", "0000000000001000", "NoNewPrivs:", "1", "Seccomp:", "2"];
    assert_eq!(words, sandboxed);
    let mounts = sh(worker, &format!("cat /proc/{watch}/mounts"));
    let is_writable = |place: &str| {
        let mount = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some(place));
        mount.unwrap_or_else(|| panic!("{place}: {mounts}")).contains(" rw,")
    };
    let found = ["/", "/proc/sys", "/proc/sys/net", "/etc/cni"].map(is_writable);
    assert_eq!(found, [false, false, true, true], "{mounts}");
    for node in [worker, control_plane] {
        assert_eq!(sh(node, "systemctl --failed --plain --no-legend list-units 'windlass-*'"), "");
        let said = sh(node, "journalctl --boot --output cat --unit 'windlass-*'");
        let denied = |line: &&str| DENIED.iter().any(|it| line.contains(it));
        assert_eq!(said.lines().filter(denied).collect::<Vec<_>>(), [""; 0]);
    }

    let admit = "windlass-admit";
    lab.eventually("an admitter that gives signs of life", |_| {
        shown(control_plane, admit, "ActiveState") == "active"
    });
    let status = shown(control_plane, admit, "StatusText");
    assert!(status.starts_with("leads; instances expected: "), "{status}");
    let user = format!("ps -o user= -p {}", shown(control_plane, admit, "MainPID"));
    assert_ne!(sh(control_plane, &user), "root");
    assert_eq!(shown(control_plane, admit, "NRestarts"), "0");

    // A boot waits for nobody but what it is ordered after.
    let chain = sh(worker, "systemd-analyze --no-pager critical-chain windlass-boot.service");
    eprintln!("{chain}");
    assert!(!chain.contains("network-online.target"), "{chain}");
}
