//! Lifecycle hooks: who waits, for how long, and what comes of it.

use super::*;

/// Auto Scaling User Guide, "Amazon EC2 Auto Scaling instance lifecycle".
#[test]
fn an_instance_goes_through_all_states_with_hooks_on_both_ways() {
    let mut lab = Fixture::with_hooks(vec![
        hook(IN, Transition::Launching, 300),
        hook(OUT, Transition::Terminating, 300),
    ]);
    lab.state.autoscaling.timing.proceed = Duration::from_secs(1);
    lab.desire(1);
    let id = lab.only();
    let mut seen = vec![lab.states()[0]];
    lab.after(2);
    seen.push(lab.states()[0]);
    lab.complete(&id, IN, ActionResult::Continue).expect("waited for");
    seen.push(lab.states()[0]);
    lab.after(1);
    seen.push(lab.states()[0]);
    assert_eq!(lab.state.autoscaling.target_lifecycle_state(&id).as_deref(), Some("InService"));
    lab.desire(0);
    seen.push(lab.states()[0]);
    assert_eq!(lab.state.autoscaling.target_lifecycle_state(&id).as_deref(), Some("Terminated"));
    assert_eq!(lab.state.ec2.instance(&id).expect("listed").state, ec2::InstanceState::Running);
    lab.complete(&id, OUT, ActionResult::Continue).expect("waited for");
    seen.push(lab.states()[0]);
    lab.after(1);
    seen.push(lab.states()[0]);
    assert_eq!(
        seen,
        [
            "Pending",
            "Pending:Wait",
            "Pending:Proceed",
            "InService",
            "Terminating:Wait",
            "Terminating:Proceed",
            "Terminating"
        ]
    );
    lab.after(2);
    assert_eq!(lab.states(), [""; 0]);
    assert_eq!(lab.state.autoscaling.target_lifecycle_state(&id), None);
}

/// Auto Scaling User Guide, "How lifecycle hooks work".
#[test]
fn an_abandoned_launch_ends_the_instance_and_a_new_one_comes() {
    let mut lab = Fixture::with_hooks(vec![hook(IN, Transition::Launching, 300)]);
    lab.desire(1);
    lab.after(2);
    let first = lab.only();
    lab.complete(&first, IN, ActionResult::Abandon).expect("waited for");
    assert_eq!(lab.states(), ["Terminating", "Pending"]);
    lab.after(2);
    let second = lab.only();
    assert_ne!(first, second);
    assert_eq!(lab.states(), ["Pending:Wait"]);
    let launch = lab.state.autoscaling.activities().first().expect("an activity");
    assert_eq!(
        (launch.status, launch.ended_at),
        (Status::Cancelled, Some(NOON + Duration::from_secs(2)))
    );
    let why = launch.status_message.as_deref().expect("a reason");
    assert!(
        why.ends_with("was abandoned: Lifecycle Action Completed with ABANDON Result"),
        "{why}"
    );
}

/// API Reference, "PutLifecycleHook": "DefaultResult: the default value is ABANDON".
#[test]
fn an_action_that_nobody_completes_ends_with_the_default_result() {
    let mut lab = Fixture::with_hooks(vec![hook(IN, Transition::Launching, 30)]);
    lab.desire(1);
    lab.after(2);
    let first = lab.only();
    lab.after(29);
    assert_eq!(lab.only(), first);
    lab.after(1);
    assert_eq!(lab.states(), ["Terminating", "Pending"]);

    let goes_on = NewHook {
        default_result: Some(ActionResult::Continue),
        ..hook(IN, Transition::Launching, 30)
    };
    let mut lab = Fixture::with_hooks(vec![goes_on]);
    lab.desire(1);
    lab.after(32);
    assert_eq!(lab.states(), ["InService"]);
}

/// API Reference, "RecordLifecycleActionHeartbeat" and "LifecycleHook" (GlobalTimeout).
#[test]
fn a_heartbeat_begins_the_timeout_anew_but_not_beyond_the_global_one() {
    let mut lab = Fixture::with_hooks(vec![hook(IN, Transition::Launching, 30)]);
    lab.desire(1);
    lab.after(2);
    let id = lab.only();
    // 100 × 30 s, kept alive every 20 s.
    for _ in 0..149 {
        lab.after(20);
        lab.heartbeat(&id, IN).expect("waited for");
        assert_eq!(lab.states(), ["Pending:Wait"]);
    }
    lab.after(19);
    assert_eq!(lab.only(), id);
    lab.after(1);
    assert_eq!(lab.states(), ["Terminating", "Pending"]);
}

#[test]
fn the_global_timeout_is_100_times_the_heartbeats_but_at_most_48_hours() {
    let mut lab = Fixture::with_hooks(vec![
        hook(IN, Transition::Launching, 30),
        hook(OUT, Transition::Terminating, 7200),
    ]);
    let hooks = &lab.state.autoscaling.group_mut("workers").expect("the group").hooks;
    let hours = |hook: &str| hooks[hook].global_timeout().as_secs_f64() / 3600.0;
    assert_eq!((hours(IN), hours(OUT)), (100.0 * 30.0 / 3600.0, 48.0));
}

/// API Reference, "PutLifecycleHook": "HeartbeatTimeout: the range is from 30 to 7200 seconds".
#[test]
fn a_timeout_out_of_range_is_refused() {
    let mut lab = Fixture::new();
    for seconds in [29, 7201] {
        let group = lab.state.autoscaling.group_mut("workers").expect("the group");
        let refused =
            group.put_hook(hook(IN, Transition::Launching, seconds)).expect_err("out of range");
        assert_eq!(refused.code, "ValidationError");
    }
}

/// API Reference, "CompleteLifecycleAction".
#[test]
fn an_action_is_completed_once_and_an_unknown_one_never() {
    let mut lab = Fixture::with_hooks(vec![hook(IN, Transition::Launching, 300)]);
    lab.desire(1);
    let id = lab.only();
    let none = |id: &str| {
        Err(ServiceError::client(
            "ValidationError",
            format!("No active Lifecycle Action found with instance ID {id}"),
        ))
    };
    assert_eq!(lab.complete(&id, IN, ActionResult::Continue), none(&id), "it is still pending");
    lab.after(2);
    assert_eq!(lab.complete(&id, "other", ActionResult::Continue), none(&id));
    assert_eq!(
        lab.complete("i-0123456789abcdef0", IN, ActionResult::Continue),
        none("i-0123456789abcdef0")
    );
    assert_eq!(lab.complete(&id, IN, ActionResult::Continue), Ok(()));
    assert_eq!(lab.complete(&id, IN, ActionResult::Continue), none(&id), "it is completed");
    assert_eq!(lab.heartbeat(&id, IN), none(&id));
}

/// "CONTINUE allows any other lifecycle hooks to complete, ABANDON stops any remaining actions."
#[test]
fn of_several_hooks_all_must_continue_and_one_abandon_is_enough() {
    let two = || {
        vec![hook("first", Transition::Launching, 300), hook("second", Transition::Launching, 300)]
    };
    let mut lab = Fixture::with_hooks(two());
    lab.desire(1);
    lab.after(2);
    let id = lab.only();
    lab.complete(&id, "first", ActionResult::Continue).expect("waited for");
    assert_eq!(lab.states(), ["Pending:Wait"]);
    lab.complete(&id, "second", ActionResult::Continue).expect("waited for");
    assert_eq!(lab.states(), ["InService"]);

    let mut lab = Fixture::with_hooks(two());
    lab.desire(1);
    lab.after(2);
    let id = lab.only();
    lab.complete(&id, "second", ActionResult::Abandon).expect("waited for");
    assert_eq!(lab.states(), ["Terminating", "Pending"]);
}

#[test]
fn one_that_ended_while_its_hook_was_waited_for_leaves_when_the_hook_is_done() {
    let mut lab = Fixture::with_hooks(vec![hook(OUT, Transition::Terminating, 300)]);
    lab.desire(1);
    lab.after(2);
    let first = lab.only();
    lab.state.ec2.terminate(&first, lab.now).expect("known");
    lab.after(60);
    assert_eq!(lab.states(), ["Terminating:Wait", "InService"]);
    lab.complete(&first, OUT, ActionResult::Continue).expect("waited for");
    assert_ne!(lab.only(), first);

    let second = lab.only();
    lab.state.ec2.terminate(&second, lab.now).expect("known");
    lab.after(60);
    delete_group(&mut lab.state, "workers", true, lab.now).expect("by force");
    lab.after(2);
    assert_eq!(lab.state.autoscaling.groups().count(), 0);
}

/// API Reference, "CompleteLifecycleAction": for a terminating instance both results let it end, and
/// "ABANDON stops any remaining actions". Each hook's action has its own token and time.
#[test]
fn on_the_way_out_too_every_hook_is_waited_for_unless_one_abandons() {
    let two =
        || vec![hook("a", Transition::Terminating, 60), hook("b", Transition::Terminating, 90)];
    let waiting = || {
        let mut lab = Fixture::with_hooks(two());
        lab.desire(1);
        lab.after(2);
        let id = lab.only();
        lab.desire(0);
        (lab, id)
    };
    let (mut lab, id) = waiting();
    let (_, member) = lab.state.autoscaling.member(&id).expect("a member");
    let actions = member.state.actions().expect("waiting").clone();
    let left: Vec<_> = actions.values().map(|action| action.deadline - lab.now).collect();
    assert_eq!(left, [Duration::from_secs(60), Duration::from_secs(90)]);
    assert_ne!(actions["a"].token, actions["b"].token);
    lab.complete(&id, "a", ActionResult::Continue).expect("waited for");
    assert_eq!(lab.states(), ["Terminating:Wait"]);
    lab.after(89);
    assert_eq!(lab.states(), ["Terminating:Wait"], "the other one has its own time");
    lab.after(1);
    assert_eq!(lab.states(), ["Terminating"]);

    let (mut lab, id) = waiting();
    lab.complete(&id, "b", ActionResult::Abandon).expect("waited for");
    assert_eq!(lab.states(), ["Terminating"]);
    lab.after(2);
    assert_eq!(lab.last_activity().status, Status::Successful);
}

/// API Reference, "RecordLifecycleActionHeartbeat": "LifecycleActionToken" or "InstanceId".
#[test]
fn a_heartbeat_may_name_the_action_by_its_token() {
    let mut lab = Fixture::with_hooks(vec![hook(OUT, Transition::Terminating, 60)]);
    lab.desire(1);
    lab.after(2);
    let id = lab.only();
    lab.desire(0);
    let action = |lab: &Fixture| {
        let (_, member) = lab.state.autoscaling.member(&id).expect("a member");
        member.state.actions().expect("waiting")[OUT].clone()
    };
    lab.after(50);
    let (now, token) = (lab.now, action(&lab).token);
    let by_token = ActionRef { group: "workers", hook: OUT, by: ActionName::Token(&token) };
    heartbeat(&mut lab.state, by_token, now).expect("waited for");
    assert_eq!(action(&lab).deadline, now + Duration::from_secs(60));
    let other = ActionRef { by: ActionName::Token("another"), ..by_token };
    let refused = heartbeat(&mut lab.state, other, now).expect_err("no such token");
    assert_eq!(refused.message, "No active Lifecycle Action found with token another");
}

/// API Reference, "DeleteLifecycleHook": "If there are any outstanding lifecycle actions, they are
/// completed first (ABANDON for launching instances, CONTINUE for terminating instances)".
#[test]
fn a_hook_that_is_deleted_holds_nobody_up_any_more() {
    let mut lab = Fixture::with_hooks(vec![
        hook(IN, Transition::Launching, 300),
        hook(OUT, Transition::Terminating, 300),
        hook("other", Transition::Terminating, 300),
    ]);
    lab.desire(1);
    lab.after(2);
    let first = lab.only();
    delete_hook(&mut lab.state, "workers", IN, lab.now).expect("there is one");
    lab.after(0);
    assert_eq!(lab.states(), ["Terminating:Wait", "Pending"], "the launch is abandoned");

    delete_hook(&mut lab.state, "workers", OUT, lab.now).expect("there is one");
    assert_eq!(lab.states()[0], "Terminating:Wait", "the other hook is still waited for");
    let late = lab.complete(&first, OUT, ActionResult::Continue).expect_err("it is over");
    assert_eq!(late.message, format!("No active Lifecycle Action found with instance ID {first}"));
    delete_hook(&mut lab.state, "workers", "other", lab.now).expect("there is one");
    lab.after(0);
    assert_eq!(lab.states()[0], "Terminating");
    let none = delete_hook(&mut lab.state, "workers", OUT, lab.now).expect_err("it is deleted");
    assert_eq!(none.code, "ValidationError");
}

/// Auto Scaling User Guide, "Retrieve the target lifecycle state through instance metadata".
#[test]
fn the_target_state_is_remembered_with_its_time() {
    let mut lab = Fixture::with_hooks(vec![hook(OUT, Transition::Terminating, 300)]);
    lab.desire(1);
    lab.after(60);
    let id = lab.only();
    lab.desire(0);
    let shown = |at| lab.state.autoscaling.target_shown(&id, at);
    let after = |seconds| NOON + Duration::from_secs(seconds);
    assert_eq!(shown(NOON - Duration::from_secs(1)), None);
    assert_eq!(
        (shown(NOON), shown(after(59)), shown(after(60))),
        (Some("InService"), Some("InService"), Some("Terminated"))
    );
}
