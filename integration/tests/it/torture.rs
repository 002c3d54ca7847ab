//! Drains whose `windlass watch` is killed at random moments, with random faults around it: by the
//! command that a person has, as it is in CI.

use std::process::Command;

/// `cargo lab torture --runs 1000` takes twenty minutes.
#[test]
fn fifty_drains_that_are_killed_are_each_completed_once() {
    let torture = ["torture", "--seed", "5", "--runs", "50"];
    let output = Command::new(env!("CARGO_BIN_EXE_lab")).args(torture).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        printed.lines().last(),
        Some("50 runs: 50 drains, 50 effective CONTINUE, 0 early, 0 twice, 0 lost"),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{printed}");
}
