//! Standby and detaching.

use super::*;

fn two_in_service(hooks: Vec<NewHook>) -> (Fixture, [String; 2]) {
    let mut lab = Fixture::with_hooks(hooks);
    lab.desire(2);
    lab.after(2);
    let members = lab.members().try_into().expect("two");
    (lab, members)
}

/// Auto Scaling User Guide, "Temporarily remove instances from your Auto Scaling group".
#[test]
fn an_instance_in_standby_is_not_counted_and_comes_back_through_pending() {
    let (mut lab, [first, _]) = two_in_service(vec![]);
    lab.state.autoscaling.timing.proceed = Duration::from_secs(1);
    enter_standby(&mut lab.state, "workers", &[&first], true, lab.now).expect("in service");
    assert_eq!((lab.states(), lab.desired()), (vec!["EnteringStandby", "InService"], 1));
    assert_eq!(lab.target(&first).as_deref(), Some("Standby"));
    lab.after(1);
    assert_eq!(lab.states(), ["Standby", "InService"]);
    assert_eq!(
        lab.last_activity().cause,
        format!(
            "At 2026-11-23T12:00:02Z instance {first} was moved to standby in response to a user request, shrinking the capacity from 2 to 1."
        )
    );
    assert_eq!(lab.last_activity().status, Status::Successful);

    exit_standby(&mut lab.state, "workers", &[&first], lab.now).expect("in standby");
    assert_eq!((lab.states(), lab.desired()), (vec!["Pending", "InService"], 2));
    assert_eq!(lab.target(&first).as_deref(), Some("InService"));
    lab.after(0);
    assert_eq!(lab.states(), ["InService"; 2]);
    assert_eq!(lab.last_activity().status, Status::Successful);
}

/// The same page's picture leads from standby to `Pending`, where the launch hooks are.
#[test]
fn an_instance_that_leaves_standby_waits_for_the_launch_hooks() {
    let (mut lab, [first, second]) = two_in_service(vec![hook(IN, Transition::Launching, 300)]);
    for id in [&first, &second] {
        lab.complete(id, IN, ActionResult::Continue).expect("waited for");
    }
    enter_standby(&mut lab.state, "workers", &[&first], true, lab.now).expect("in service");
    lab.after(0);
    exit_standby(&mut lab.state, "workers", &[&first], lab.now).expect("in standby");
    lab.after(0);
    assert_eq!(lab.states(), ["Pending:Wait", "InService"]);
}

#[test]
fn without_decrement_another_instance_comes_instead() {
    let (mut lab, [first, second]) = two_in_service(vec![]);
    enter_standby(&mut lab.state, "workers", &[&first], false, lab.now).expect("in service");
    lab.after(2);
    assert_eq!(lab.states(), ["Standby", "InService", "InService"]);
    detach_instances(&mut lab.state, "workers", &[&second], false, lab.now).expect("in service");
    lab.after(2);
    assert_eq!((lab.states(), lab.desired()), (vec!["Standby", "InService", "InService"], 2));
    assert_eq!(lab.machine(&second), Some("running"));
}

#[test]
fn what_cannot_be_done_to_all_is_done_to_none() {
    let (mut lab, [first, second]) = two_in_service(vec![]);
    enter_standby(&mut lab.state, "workers", &[&first], true, lab.now).expect("in service");
    lab.after(0);
    let both = [first.as_str(), second.as_str()];
    let refused = enter_standby(&mut lab.state, "workers", &both, true, lab.now);
    assert_eq!(
        refused.expect_err("one is in standby").message,
        format!("The instance {first} is not in InService: it is in Standby.")
    );
    lab.group_mut().min = 1;
    let refused = enter_standby(&mut lab.state, "workers", &both[1..], true, lab.now);
    assert_eq!(refused.expect_err("the minimum").code, "ValidationError");
    lab.group_mut().max = 1;
    let refused = exit_standby(&mut lab.state, "workers", &both[..1], lab.now);
    assert_eq!(refused.expect_err("the maximum").code, "ValidationError");
    assert_eq!(lab.states(), ["Standby", "InService"]);
}

/// "Amazon EC2 Auto Scaling does not perform health checks on instances that are in a standby state."
#[test]
fn one_in_standby_may_be_stopped_but_one_that_is_terminated_leaves() {
    let (mut lab, [first, _]) = two_in_service(vec![]);
    enter_standby(&mut lab.state, "workers", &[&first], true, lab.now).expect("in service");
    lab.after(0);
    lab.state.ec2.stop(&first, lab.now).expect("it runs");
    lab.after(2);
    assert_eq!(lab.states(), ["Standby", "InService"]);
    lab.state.ec2.terminate(&first, lab.now).expect("known");
    lab.after(4);
    assert_eq!(lab.states(), ["InService"]);
}

/// Auto Scaling User Guide, "Detach or attach instances".
#[test]
fn a_detached_instance_runs_on_and_asks_no_hook() {
    let (mut lab, [first, _]) = two_in_service(vec![hook(OUT, Transition::Terminating, 300)]);
    lab.state.autoscaling.timing.proceed = Duration::from_secs(1);
    detach_instances(&mut lab.state, "workers", &[&first], true, lab.now).expect("in service");
    assert_eq!((lab.states(), lab.desired()), (vec!["Detaching", "InService"], 1));
    lab.after(1);
    assert_eq!(lab.states(), ["InService"]);
    assert_eq!(lab.machine(&first), Some("running"));
    assert_eq!(lab.target(&first).as_deref(), Some("Detached"));
    assert_eq!(lab.state.ec2.tags_of(&first).get("aws:autoscaling:groupName"), None);

    lab.state.ec2.terminate(&first, lab.now).expect("known");
    lab.after(2);
    assert_eq!(lab.target(&first), None);
    assert_eq!(lab.states(), ["InService"], "the group does not care");
}
