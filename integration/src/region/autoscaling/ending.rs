//! The way out of a group: an activity, then the hooks, then EC2.

use time::OffsetDateTime;

use super::activity::Status;
use super::converge::{actions, begin_activity, set_member_status, set_state};
use super::group::{Group, invalid};
use super::hook::Transition;
use super::member::{LifecycleState, Member};
use crate::region::call::ServiceError;
use crate::region::state::State;

/// TerminateInstanceInAutoScalingGroup; the answer is the activity's ID.
pub fn terminate_member(
    state: &mut State,
    instance: &str,
    decrement: bool,
    now: OffsetDateTime,
) -> Result<String, ServiceError> {
    let (group, member) = managed(state, instance)?;
    let name = group.name.clone();
    if member.state.is_leaving() {
        return Ok(member.activity.clone());
    }
    // One that is not a part of the capacity leaves it as it is.
    let decrement = decrement && member.counts();
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

/// The group and the member that an instance is, for what names the instance alone.
pub(super) fn managed<'a>(
    state: &'a State,
    instance: &str,
) -> Result<(&'a Group, &'a Member), ServiceError> {
    state.autoscaling.member(instance).ok_or_else(|| {
        invalid(format!(
            "Instance Id not found - No managed instance found for instance ID: {instance}"
        ))
    })
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

/// EC2 has ended it: it is of the group no more.
pub(super) fn leave(state: &mut State, name: &str, id: &str, now: OffsetDateTime) {
    set_member_status(state, id, Status::Successful, now);
    if let Some(group) = state.autoscaling.groups.get_mut(name) {
        group.members.remove(id);
    }
    state.autoscaling.targets.forget(id);
}

fn begin_terminating_activity(
    state: &mut State,
    name: &str,
    id: &str,
    cause: &str,
    now: OffsetDateTime,
) -> String {
    let description = format!("Terminating EC2 instance: {id}");
    begin_activity(state, name, id, (description, cause.to_owned()), now)
}

/// EC2 may have forgotten the instance already, or be ending it: then nothing happens any more
/// that would be noticed.
pub(super) fn end_in_ec2(state: &mut State, id: &str, now: OffsetDateTime) {
    state.autoscaling.noticed.insert(id.to_owned());
    if state.ec2.instance(id).is_some() {
        state.ec2.terminate(id, now).expect("it is known");
    }
}
