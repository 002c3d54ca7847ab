//! The model as a whole: what groups do, moment by moment.

use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;

use super::*;
use crate::region::Settings;
use crate::region::call::ServiceError;
use crate::region::ec2::{self, Author, IMAGE_X86_64, LaunchSpec, TemplateName};
use crate::region::state::State;

const NOON: OffsetDateTime = datetime!(2026-11-23 12:00:00 UTC);
const IN: &str = "in";
const OUT: &str = "out";

/// A region with two subnets in two zones, a launch template and a group that is still empty.
struct Fixture {
    state: State,
    now: OffsetDateTime,
}

impl Fixture {
    fn new() -> Self {
        Self::with_hooks(Vec::new())
    }

    fn with_hooks(hooks: Vec<NewHook>) -> Self {
        let mut state = State::new(Settings::new(7, NOON));
        state.ec2.timing = ec2::Timing::lifelike();
        let (ec2, ids) = (&mut state.ec2, &mut state.ids);
        let vpc = ec2.create_vpc(ids, "10.0.0.0/16").expect("a VPC");
        let a = ec2.create_subnet(ids, &vpc, Some("eu-west-1a"), "10.0.1.0/24").expect("a subnet");
        let b = ec2.create_subnet(ids, &vpc, Some("eu-west-1b"), "10.0.2.0/24").expect("a subnet");
        let spec = LaunchSpec {
            image: Some(IMAGE_X86_64.to_owned()),
            instance_type: Some("m5.large".to_owned()),
            ..LaunchSpec::default()
        };
        let by = Author { arn: "arn:aws:iam::123456789012:user/operator", now: NOON };
        let template = ec2.create_template(ids, "workers", None, spec, by).expect("a template");
        let new = NewGroup {
            max: 6,
            hooks,
            tags: vec![GroupTag {
                key: "role".into(),
                value: "worker".into(),
                propagate_at_launch: true,
            }],
            ..NewGroup::of("workers", TemplateName::Id(template), &[&a, &b], 0)
        };
        create_group(&mut state, new, NOON).expect("a group");
        Self { state, now: NOON }
    }

    fn after(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.state.advance(self.now);
    }

    fn desire(&mut self, desired: u32) {
        self.state.autoscaling.set_desired("workers", desired).expect("within bounds");
        self.state.advance(self.now);
    }

    fn states(&self) -> Vec<&'static str> {
        let group = self.state.autoscaling.group("workers").expect("the group");
        let mut members: Vec<_> = group.members.values().collect();
        members.sort_by_key(|member| (member.launched_at, member.instance.clone()));
        members.into_iter().map(|member| member.state.name()).collect()
    }

    fn zones(&self) -> Vec<String> {
        let group = self.state.autoscaling.group("workers").expect("the group");
        let mut zones: Vec<String> = group.staying().map(|member| member.zone.clone()).collect();
        zones.sort();
        zones
    }

    /// The one instance that there is.
    fn only(&self) -> String {
        let group = self.state.autoscaling.group("workers").expect("the group");
        assert_eq!(group.members.len(), 1, "{:?}", self.states());
        group.members.keys().next().expect("one").clone()
    }

    fn complete(
        &mut self,
        instance: &str,
        hook: &str,
        result: ActionResult,
    ) -> Result<(), ServiceError> {
        let action = ActionRef { group: "workers", hook, by: ActionName::Instance(instance) };
        complete(&mut self.state, action, result, self.now)?;
        self.state.advance(self.now);
        Ok(())
    }

    fn heartbeat(&mut self, instance: &str, hook: &str) -> Result<(), ServiceError> {
        let action = ActionRef { group: "workers", hook, by: ActionName::Instance(instance) };
        heartbeat(&mut self.state, action, self.now)
    }

    fn last_activity(&self) -> &Activity {
        self.state.autoscaling.activities().last().expect("an activity")
    }
}

fn hook(name: &str, transition: Transition, timeout_seconds: u64) -> NewHook {
    NewHook {
        name: name.to_owned(),
        transition: Some(transition),
        heartbeat_timeout: Some(Duration::from_secs(timeout_seconds)),
        ..NewHook::default()
    }
}

/// Auto Scaling User Guide, "Availability Zone distribution".
#[test]
fn instances_are_spread_over_the_zones_and_leave_the_fullest_first() {
    let mut lab = Fixture::new();
    lab.desire(3);
    assert_eq!(lab.zones(), ["eu-west-1a", "eu-west-1a", "eu-west-1b"]);
    lab.after(2);
    assert_eq!(lab.states(), ["InService"; 3]);
    lab.desire(2);
    assert_eq!(lab.zones(), ["eu-west-1a", "eu-west-1b"]);
    lab.after(2);
    assert_eq!(lab.states(), ["InService"; 2]);
}

/// Auto Scaling User Guide, "Tag Auto Scaling groups and instances".
#[test]
fn an_instance_has_the_tags_of_its_group_and_template() {
    let mut lab = Fixture::new();
    lab.desire(1);
    let template = lab.state.autoscaling.group("workers").expect("the group").template.id.clone();
    let tags: Vec<(String, String)> = lab
        .state
        .ec2
        .tags_of(&lab.only())
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        tags,
        [
            tag("aws:autoscaling:groupName", "workers"),
            tag("aws:ec2launchtemplate:id", &template),
            tag("aws:ec2launchtemplate:version", "1"),
            tag("role", "worker"),
        ]
    );
}

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

/// Auto Scaling User Guide, "Health checks for instances in an Auto Scaling group".
#[test]
fn an_instance_that_somebody_else_ended_is_replaced() {
    let mut lab = Fixture::new();
    lab.desire(1);
    lab.after(2);
    let first = lab.only();
    lab.state.ec2.terminate(&first, lab.now).expect("known");
    lab.after(0);
    assert_eq!(lab.states(), ["Terminating", "Pending"]);
    lab.after(2);
    assert_ne!(lab.only(), first);
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

#[test]
fn a_launch_that_ec2_refuses_is_told_and_tried_again_after_a_pause() {
    let mut lab = Fixture::new();
    let unknown = LaunchSpec { image: Some("ami-00000000".into()), ..LaunchSpec::default() };
    let by = Author { arn: "arn:aws:iam::123456789012:user/operator", now: NOON };
    let name = TemplateName::Name("workers".into());
    lab.state.ec2.create_template_version(&name, None, None, unknown, by).expect("a version");
    lab.state.autoscaling.group_mut("workers").expect("the group").template.version =
        "$Latest".into();
    lab.desire(2);
    assert_eq!(lab.states(), [""; 0]);
    assert_eq!(
        lab.last_activity().status_message.as_deref(),
        Some("The image id '[ami-00000000]' does not exist Launching EC2 instance failed.")
    );
    assert_eq!(lab.state.next_deadline(), Some(NOON + Duration::from_secs(30)));
    lab.state.autoscaling.group_mut("workers").expect("the group").template.version = "1".into();
    lab.after(30);
    assert_eq!(lab.states(), ["Pending"; 2]);
}

#[test]
fn a_group_that_is_deleted_by_force_goes_with_its_last_instance_and_asks_no_hook() {
    let mut lab = Fixture::with_hooks(vec![hook(OUT, Transition::Terminating, 300)]);
    lab.desire(2);
    lab.after(2);
    let refused =
        delete_group(&mut lab.state, "workers", false, lab.now).expect_err("it has instances");
    assert_eq!(refused.code, "ResourceInUse");
    delete_group(&mut lab.state, "workers", true, lab.now).expect("by force");
    assert_eq!(lab.states(), ["Terminating"; 2]);
    lab.after(2);
    assert_eq!(lab.state.autoscaling.groups().count(), 0);
}

#[test]
fn a_termination_by_request_is_replaced_unless_the_capacity_shrinks() {
    let mut lab = Fixture::new();
    lab.desire(1);
    lab.after(2);
    let first = lab.only();
    terminate_member(&mut lab.state, &first, false, lab.now).expect("a member");
    lab.after(0);
    assert_eq!(lab.states(), ["Terminating", "Pending"]);
    lab.after(2);
    let second = lab.only();
    terminate_member(&mut lab.state, &second, true, lab.now).expect("a member");
    lab.after(2);
    assert_eq!(lab.states(), [""; 0]);
}

/// A clock that leaps over everything leaves what one leaves that goes second by second.
#[test]
fn a_leap_of_the_clock_is_like_waiting() {
    let region = |steps: u64| {
        let mut lab = Fixture::with_hooks(vec![hook(IN, Transition::Launching, 45)]);
        lab.desire(2);
        for _ in 0..steps {
            lab.after(600 / steps);
        }
        let told = lab.state.autoscaling.activities().to_vec();
        (told, lab.state.events.clone(), lab.states().len())
    };
    assert_eq!(region(1), region(600));
}
