//! Rebalancing between zones, and away from spot instances at risk.

use super::*;

impl Fixture {
    fn recommend(&mut self, instance: &str) {
        self.state.ec2.recommend_rebalance(instance, self.now).expect("it runs");
        self.after(0);
    }

    /// All three in `eu-west-1a`, then the group has its second zone again.
    fn unbalanced(hooks: Vec<NewHook>, desired: u32) -> Self {
        let mut lab = Self::with_hooks(hooks);
        let (subnets, zones) = (lab.group_mut().subnets.clone(), lab.group_mut().zones.clone());
        lab.group_mut().subnets.truncate(1);
        lab.group_mut().zones.truncate(1);
        lab.desire(desired);
        lab.after(2);
        (lab.group_mut().subnets, lab.group_mut().zones) = (subnets, zones);
        lab.after(0);
        lab
    }
}

/// Auto Scaling User Guide, "Use Capacity Rebalancing to handle Amazon EC2 Spot Interruptions": "it
/// launches a new instance before a running one is interrupted", and hooks are run.
#[test]
fn an_instance_at_risk_goes_when_its_successor_is_in_service() {
    let mut lab = Fixture::of_spot(vec![hook(OUT, Transition::Terminating, 300)]);
    lab.group_mut().capacity_rebalance = true;
    lab.desire(2);
    lab.after(2);
    let [first, _] = lab.members().try_into().expect("two");
    lab.recommend(&first);
    assert_eq!(lab.states(), ["InService", "InService", "Pending"]);
    assert_eq!(lab.target(&first).as_deref(), Some("InService"));
    lab.after(2);
    assert_eq!(lab.states(), ["Terminating:Wait", "InService", "InService"]);
    assert_eq!(
        lab.last_activity().cause,
        "At 2026-11-23T12:00:04Z an instance was taken out of service in response to an EC2 instance rebalance recommendation."
    );
    lab.complete(&first, OUT, ActionResult::Continue).expect("waited for");
    lab.after(2);
    assert_eq!(lab.states(), ["InService"; 2]);
    lab.after(3600);
    assert!(!lab.members().contains(&first));
    assert_eq!(lab.states(), ["InService"; 2]);
}

#[test]
fn without_capacity_rebalancing_a_recommendation_changes_nothing() {
    let mut lab = Fixture::of_spot(vec![]);
    lab.desire(1);
    lab.after(2);
    let first = lab.only();
    lab.recommend(&first);
    lab.after(600);
    assert_eq!(lab.only(), first);
}

/// EC2 may be faster: then there is one successor, not two.
#[test]
fn an_instance_that_is_interrupted_before_its_successor_is_there_has_one_all_the_same() {
    let mut lab = Fixture::of_spot(vec![hook(IN, Transition::Launching, 300)]);
    lab.group_mut().capacity_rebalance = true;
    lab.desire(1);
    lab.after(2);
    let first = lab.only();
    lab.complete(&first, IN, ActionResult::Continue).expect("waited for");
    lab.recommend(&first);
    lab.after(10);
    assert_eq!(lab.states(), ["InService", "Pending:Wait"]);
    let action = ec2::InterruptionAction::Terminate;
    lab.state.ec2.interrupt(&first, action, Duration::from_secs(5), lab.now).expect("it runs");
    lab.after(7);
    assert_eq!(lab.states(), ["Pending:Wait"]);
}

/// The same guide: "can temporarily exceed the specified maximum capacity of a group by a 10 percent
/// margin (or by a margin of one, whichever is greater)".
#[test]
fn successors_exceed_the_maximum_by_a_tenth_or_one() {
    for (max, beyond) in [(4, 1), (20, 2)] {
        let mut lab = Fixture::of_spot(vec![]);
        lab.group_mut().capacity_rebalance = true;
        lab.group_mut().max = max;
        lab.desire(max);
        lab.after(2);
        for id in lab.members() {
            lab.recommend(&id);
        }
        assert_eq!(lab.states().len(), max as usize + beyond);
        let before = lab.members();
        lab.after(2);
        let serving = lab.states().iter().filter(|state| **state == "InService").count();
        assert_eq!(serving, max as usize, "as many go as have come");
        for _ in 0..100 {
            lab.after(1);
            let counted = lab.group_mut().staying().count();
            assert!(counted <= max as usize + beyond, "{counted} of {max}");
        }
        assert_eq!(lab.states(), vec!["InService"; max as usize]);
        assert!(before.iter().take(max as usize).all(|id| !lab.members().contains(id)));
    }
}

/// Auto Scaling User Guide, "Availability Zone distribution": "launches new instances before
/// terminating the earlier ones".
#[test]
fn instances_move_to_the_emptier_zone_with_a_successor_first() {
    let mut lab = Fixture::unbalanced(vec![hook(OUT, Transition::Terminating, 300)], 3);
    assert_eq!(lab.zones(), ["eu-west-1a"; 3]);
    assert_eq!(lab.state.next_deadline(), Some(lab.now + Duration::from_secs(300)));
    lab.after(299);
    assert_eq!(lab.states(), ["InService"; 3]);
    lab.after(1);
    assert_eq!(lab.states(), ["InService", "InService", "InService", "Pending"]);
    lab.after(2);
    assert_eq!(lab.zones(), ["eu-west-1a", "eu-west-1a", "eu-west-1b"]);
    let leaving = lab.members().remove(0);
    assert_eq!(lab.target(&leaving).as_deref(), Some("Terminated"));
    lab.complete(&leaving, OUT, ActionResult::Continue).expect("waited for");
    lab.after(3600);
    assert_eq!(lab.states(), ["InService"; 3], "one more or less is balanced");
}

#[test]
fn a_zone_that_is_not_the_groups_any_more_is_left_step_by_step() {
    let mut lab = Fixture::new();
    lab.desire(4);
    lab.after(2);
    lab.group_mut().subnets.remove(0);
    lab.group_mut().zones.remove(0);
    for _ in 0..400 {
        lab.after(1);
        let serving = lab.states().iter().filter(|state| **state == "InService").count();
        assert!(serving >= 4);
    }
    assert_eq!(lab.zones(), ["eu-west-1b"; 4]);
}

#[test]
fn a_group_that_is_not_at_rest_or_is_protected_is_not_rebalanced() {
    let mut lab = Fixture::unbalanced(vec![hook(OUT, Transition::Terminating, 7200)], 3);
    lab.desire(2);
    assert_eq!(lab.states(), ["Terminating:Wait", "InService", "InService"]);
    lab.after(3600);
    assert_eq!(lab.states(), ["Terminating:Wait", "InService", "InService"]);

    let mut lab = Fixture::unbalanced(vec![], 2);
    let all = lab.members();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    lab.state.autoscaling.set_protection("workers", &all, true).expect("members");
    lab.after(3600);
    assert_eq!(lab.zones(), ["eu-west-1a"; 2]);
}
