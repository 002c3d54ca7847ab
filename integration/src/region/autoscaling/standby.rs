//! Standby: Auto Scaling User Guide, "Temporarily remove instances from your Auto Scaling group".
//! Such an instance stays in its group and does not count towards its capacity.

use time::OffsetDateTime;

use super::activity::Status;
use super::converge::{begin_activity, set_state};
use super::group::{Group, invalid};
use super::member::LifecycleState;
use crate::region::call::ServiceError;
use crate::region::state::State;

/// EnterStandby; the answer is the activities' IDs. Without `decrement` others are launched instead.
pub fn enter_standby(
    state: &mut State,
    name: &str,
    instances: &[&str],
    decrement: bool,
    now: OffsetDateTime,
) -> Result<Vec<String>, ServiceError> {
    let until = now + state.autoscaling.timing.proceed;
    let group = state.autoscaling.group_mut(name)?;
    ensure_all(group, instances, |state| *state == LifecycleState::InService, "InService")?;
    let had = group.desired;
    if decrement {
        group.shrink(instances.len(), "Entering standby")?;
    }
    let each = instances.iter().zip(1..).map(|(id, n)| {
        let description = format!("Moving EC2 instance to Standby: {id}");
        let shrinking = format!(", shrinking the capacity from {} to {}", had + 1 - n, had - n);
        let cause = format!(
            "instance {id} was moved to standby in response to a user request{}.",
            if decrement { &shrinking } else { "" }
        );
        let activity = begin_activity(state, name, id, (description, cause), now);
        set_state(state, name, id, LifecycleState::EnteringStandby { until }, now);
        state.autoscaling.noticed.insert((*id).to_owned());
        activity
    });
    Ok(each.collect())
}

/// ExitStandby: back through `Pending` and the launch hooks; the capacity grows by as many.
pub fn exit_standby(
    state: &mut State,
    name: &str,
    instances: &[&str],
    now: OffsetDateTime,
) -> Result<Vec<String>, ServiceError> {
    let group = state.autoscaling.group_mut(name)?;
    ensure_all(group, instances, |state| *state == LifecycleState::Standby, "Standby")?;
    let (had, count) = (group.desired, u32::try_from(instances.len()).unwrap_or(u32::MAX));
    if had.saturating_add(count) > group.max {
        return Err(invalid(format!(
            "Exiting standby {count} instance(s) would violate group's max size constraint: desiredSize is {had}, maxSize {}.",
            group.max
        )));
    }
    group.desired += count;
    let each = instances.iter().zip(had..).map(|(id, had)| {
        let description = format!("Moving EC2 instance out of Standby: {id}");
        let cause = format!(
            "instance {id} was moved out of standby in response to a user request, increasing the capacity from {had} to {}.",
            had + 1
        );
        let activity = begin_activity(state, name, id, (description, cause), now);
        state.autoscaling.set_status(&activity, Status::PreInService, None, now);
        set_state(state, name, id, LifecycleState::Pending, now);
        state.autoscaling.noticed.insert((*id).to_owned());
        activity
    });
    Ok(each.collect())
}

/// All of them are members and in a state from which it can be done, or nothing is done.
pub(super) fn ensure_all(
    group: &Group,
    instances: &[&str],
    fit: impl Fn(&LifecycleState) -> bool,
    wanted: &str,
) -> Result<(), ServiceError> {
    for id in instances {
        let member = group.member(id)?;
        if !fit(&member.state) {
            return Err(invalid(format!(
                "The instance {id} is not in {wanted}: it is in {}.",
                member.lifecycle_state()
            )));
        }
    }
    Ok(())
}
