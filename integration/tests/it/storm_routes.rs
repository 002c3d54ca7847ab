//! Many instances at once in a VPC with three route tables: AWS' throttle is what they wait for, and
//! hardly anything else. Times are the region's, on a paused clock: no machine is too slow for them.

use integration::lab::storm::{Outcome, Storm, run};

const NODES: u32 = 500;
/// With three admitters each instance is three times the work; so many show the same.
const NODES_OF_THREE: u32 = 300;
const TABLES: u32 = 3;

#[test]
fn a_storm_lasts_little_longer_than_the_throttle_wants() {
    let outcome = rage(NODES, 1);
    assert!(outcome.seconds <= 1.10 * outcome.floor_seconds, "{outcome:#?}");
    assert!(outcome.reads() * 10 <= u64::from(NODES), "{outcome:#?}");
    each_change_was_made_once(&outcome);
}

#[test]
fn a_storm_in_which_the_leader_is_killed_lasts_little_longer() {
    let outcome = rage(NODES_OF_THREE, 3);
    assert!(outcome.killed.is_some(), "{outcome:#?}");
    assert!(outcome.seconds <= 1.15 * outcome.floor_seconds, "{outcome:#?}");
    each_change_was_made_once(&outcome);
}

fn rage(nodes: u32, admitters: u32) -> Outcome {
    let outcome = run(Storm { nodes, tables: TABLES, admitters, seed: 1 });
    let mut outcome = outcome.expect("everybody is let in");
    assert_eq!(outcome.lives.len(), nodes as usize);
    // Not to be printed, should something fail.
    outcome.lives.clear();
    outcome
}

/// And hardly any was asked for before EC2 would take it, or beyond the throttle.
fn each_change_was_made_once(outcome: &Outcome) {
    let nodes = u64::from(outcome.storm.nodes);
    assert_eq!(outcome.carried_out("ec2:CreateRoute"), nodes * u64::from(TABLES), "{outcome:#?}");
    let checks = outcome.carried_out("ec2:ModifyNetworkInterfaceAttribute");
    assert_eq!(checks, nodes, "{outcome:#?}");
    let refused = outcome.refusals.values().sum::<u64>();
    assert!(refused * 20 <= nodes * u64::from(TABLES), "more than 5 %: {outcome:#?}");
}
