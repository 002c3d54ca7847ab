//! What becomes due: by time, by what EC2 says, by the capacity that is wished for.

use std::collections::BTreeSet;
use std::mem::take;

use time::OffsetDateTime;

use super::activity::{Begin, Status};
use super::group::{Group, invalid};
use super::hook::Transition;
use super::launch::{details, launch_one};
use super::lifecycle;
use super::member::{Actions, LifecycleState, Member, PendingAction};
use crate::region::call::ServiceError;
use crate::region::ec2::InstanceState;
use crate::region::state::State;

/// Moves every group to where it should be now; launches and terminates through EC2.
pub fn advance(state: &mut State, now: OffsetDateTime) {
    let noticed = take(&mut state.autoscaling.noticed);
    let names: Vec<String> = state.autoscaling.groups.keys().cloned().collect();
    for name in names {
        lifecycle::time_out(state, &name, now);
        for id in due_members(state, &name, &noticed, now) {
            while advance_member(state, &name, &id, now) {}
        }
        fit_capacity(state, &name, now);
        state.autoscaling.groups.retain(|_, group| !(group.deleting && group.members.is_empty()));
    }
}

/// Those to which something happened in EC2, and those whose time has come.
fn due_members(
    state: &State,
    name: &str,
    noticed: &BTreeSet<String>,
    now: OffsetDateTime,
) -> Vec<String> {
    let members = state.autoscaling.groups.get(name).into_iter().flat_map(|group| &group.members);
    let due = members.filter(|(id, member)| {
        noticed.contains(*id) || member.state.changes_at().is_some_and(|at| at <= now)
    });
    due.map(|(id, _)| id.clone()).collect()
}

/// TerminateInstanceInAutoScalingGroup; the answer is the activity's ID.
pub fn terminate_member(
    state: &mut State,
    instance: &str,
    decrement: bool,
    now: OffsetDateTime,
) -> Result<String, ServiceError> {
    let (group, member) = state.autoscaling.member(instance).ok_or_else(|| {
        invalid(format!(
            "Instance Id not found - No managed instance found for instance ID: {instance}"
        ))
    })?;
    let name = group.name.clone();
    if member.state.is_leaving() {
        return Ok(member.activity.clone());
    }
    if decrement && group.desired <= group.min {
        return Err(invalid(format!(
            "Currently, desiredSize equals minSize ({}). Terminating instance without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.",
            group.min
        )));
    }
    if decrement && let Some(group) = state.autoscaling.groups.get_mut(&name) {
        group.desired -= 1;
    }
    let cause =
        format!("instance {instance} was taken out of service in response to a user request.");
    begin_termination(state, &name, instance, &cause, now);
    let (_, member) =
        state.autoscaling.member(instance).expect("terminating takes a step of its own");
    Ok(member.activity.clone())
}

/// Takes a member out of service: an activity, then the hooks, then EC2.
pub(super) fn begin_termination(
    state: &mut State,
    name: &str,
    id: &str,
    cause: &str,
    now: OffsetDateTime,
) {
    let activity = begin_terminating_activity(state, name, id, cause, now);
    let actions = actions(state, name, Transition::Terminating, now);
    if actions.is_empty() {
        set_state(state, name, id, LifecycleState::Terminating, now);
        end_in_ec2(state, id, now);
    } else {
        set_state(state, name, id, LifecycleState::TerminatingWait(actions), now);
        state.autoscaling.set_status(&activity, Status::MidLifecycleAction, None, now);
    }
}

/// As a forced deletion does.
pub(super) fn terminate_without_hooks(
    state: &mut State,
    name: &str,
    id: &str,
    now: OffsetDateTime,
) {
    let leaving = state.autoscaling.member(id).is_some_and(|(_, member)| member.state.is_leaving());
    if !leaving {
        let cause =
            "an instance was taken out of service in response to the group's being deleted.";
        begin_terminating_activity(state, name, id, cause, now);
    }
    set_state(state, name, id, LifecycleState::Terminating, now);
    end_in_ec2(state, id, now);
}

/// One step of a member whose state can go on, by time or because EC2's has; whether there was
/// one.
fn advance_member(state: &mut State, name: &str, id: &str, now: OffsetDateTime) -> bool {
    let Some((_, member)) = state.autoscaling.member(id) else { return false };
    let machine = state.ec2.instance(id).map(|instance| instance.state);
    let gone = matches!(machine, None | Some(InstanceState::Terminated { .. }));
    match &member.state {
        staying if !staying.is_leaving() && !machine.is_some_and(InstanceState::is_up) => {
            unhealthy(state, name, id, now);
        }
        LifecycleState::Pending if machine == Some(InstanceState::Running) => {
            enter_launch_hooks(state, name, id, now);
        }
        LifecycleState::PendingProceed { until } if *until <= now => {
            into_service(state, name, id, now);
        }
        LifecycleState::TerminatingProceed { until } if *until <= now => {
            set_state(state, name, id, LifecycleState::Terminating, now);
            end_in_ec2(state, id, now);
        }
        LifecycleState::Terminating if gone => leave(state, name, id, now),
        _ => return false,
    }
    true
}

fn enter_launch_hooks(state: &mut State, name: &str, id: &str, now: OffsetDateTime) {
    let actions = actions(state, name, Transition::Launching, now);
    if actions.is_empty() {
        return into_service(state, name, id, now);
    }
    set_state(state, name, id, LifecycleState::PendingWait(actions), now);
    set_member_status(state, id, Status::MidLifecycleAction, now);
}

fn into_service(state: &mut State, name: &str, id: &str, now: OffsetDateTime) {
    set_state(state, name, id, LifecycleState::InService, now);
    set_member_status(state, id, Status::Successful, now);
}

fn leave(state: &mut State, name: &str, id: &str, now: OffsetDateTime) {
    set_member_status(state, id, Status::Successful, now);
    if let Some(group) = state.autoscaling.groups.get_mut(name) {
        group.members.remove(id);
    }
    state.autoscaling.targets.forget(id);
}

/// EC2 ended or stopped it, or somebody else did.
fn unhealthy(state: &mut State, name: &str, id: &str, now: OffsetDateTime) {
    if let Some(member) = member_mut(state, name, id) {
        member.healthy = false;
    }
    let cause = "an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped.";
    begin_termination(state, name, id, cause, now);
}

/// Launches what is lacking and takes out what is too many.
fn fit_capacity(state: &mut State, name: &str, now: OffsetDateTime) {
    loop {
        let Some(group) = state.autoscaling.groups.get(name).filter(|group| !group.deleting) else {
            return;
        };
        let (have, desired) = (group.staying().count(), group.desired as usize);
        if have < desired {
            if group.retry_at.is_some_and(|at| at > now) {
                return;
            }
            launch_one(state, name, now);
        } else if have > desired {
            let Some(id) = next_to_leave(group) else { return };
            let cause = format!(
                "an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from {have} to {}.",
                have - 1
            );
            begin_termination(state, name, &id, &cause, now);
        } else {
            return;
        }
    }
}

/// Auto Scaling User Guide, "Default termination policy": in the zone with the most instances, of
/// the oldest template version, the one launched first. Protected ones stay.
fn next_to_leave(group: &Group) -> Option<String> {
    let in_zone = |zone: &str| group.staying().filter(|member| member.zone == zone).count();
    let candidates = group.staying().filter(|member| !member.protected);
    let first = candidates.min_by_key(|member| {
        (
            std::cmp::Reverse(in_zone(&member.zone)),
            member.template.2,
            member.launched_at,
            member.instance.clone(),
        )
    });
    first.map(|member| member.instance.clone())
}

/// One action for each of the group's hooks on this transition.
fn actions(state: &mut State, name: &str, transition: Transition, now: OffsetDateTime) -> Actions {
    let Some(group) = state.autoscaling.groups.get(name) else { return Actions::new() };
    let hooks = group.hooks.values().filter(|hook| hook.transition == transition);
    hooks.map(|hook| (hook.name.clone(), PendingAction::begin(&mut state.ids, hook, now))).collect()
}

fn begin_terminating_activity(
    state: &mut State,
    name: &str,
    id: &str,
    cause: &str,
    now: OffsetDateTime,
) -> String {
    let Some((group, member)) = state.autoscaling.member(id) else { return String::new() };
    let begin = Begin {
        group: group.name.clone(),
        group_arn: group.arn.clone(),
        description: format!("Terminating EC2 instance: {id}"),
        cause: cause.to_owned(),
        status: Status::InProgress,
        details: details(state, &member.subnet),
    };
    let activity = state.autoscaling.begin_activity(&mut state.ids, begin, now);
    if let Some(member) = member_mut(state, name, id) {
        member.activity = activity.clone();
    }
    activity
}

/// EC2 may have forgotten the instance already, or be ending it: then nothing happens any more
/// that would be noticed.
fn end_in_ec2(state: &mut State, id: &str, now: OffsetDateTime) {
    state.autoscaling.noticed.insert(id.to_owned());
    if state.ec2.instance(id).is_some() {
        state.ec2.terminate(id, now).expect("it is known");
    }
}

fn set_member_status(state: &mut State, id: &str, status: Status, now: OffsetDateTime) {
    if let Some((_, member)) = state.autoscaling.member(id) {
        let activity = member.activity.clone();
        state.autoscaling.set_status(&activity, status, None, now);
    }
}

pub(super) fn set_state(
    state: &mut State,
    name: &str,
    id: &str,
    to: LifecycleState,
    now: OffsetDateTime,
) {
    state.autoscaling.targets.aim(id, to.target(), now);
    if let Some(member) = member_mut(state, name, id) {
        member.state = to;
    }
}

pub(super) fn member_mut<'a>(state: &'a mut State, name: &str, id: &str) -> Option<&'a mut Member> {
    state.autoscaling.groups.get_mut(name)?.members.get_mut(id)
}
