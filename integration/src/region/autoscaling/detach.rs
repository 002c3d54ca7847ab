//! Detaching: Auto Scaling User Guide, "Detach or attach instances". The instance leaves its group
//! and runs on; no hook is asked.

use time::OffsetDateTime;

use super::activity::Status;
use super::converge::{begin_activity, set_member_status, set_state};
use super::member::LifecycleState;
use super::standby::ensure_all;
use crate::region::call::ServiceError;
use crate::region::state::State;

/// DetachInstances; the answer is the activities' IDs. Without `decrement` others are launched
/// instead.
pub fn detach_instances(
    state: &mut State,
    name: &str,
    instances: &[&str],
    decrement: bool,
    now: OffsetDateTime,
) -> Result<Vec<String>, ServiceError> {
    let until = now + state.autoscaling.timing.proceed;
    let group = state.autoscaling.group_mut(name)?;
    let steady = |state: &LifecycleState| {
        matches!(state, LifecycleState::InService | LifecycleState::Standby)
    };
    ensure_all(group, instances, steady, "InService or Standby")?;
    if decrement {
        let counted = |id: &&&str| group.members.get(**id).is_some_and(|held| held.counts());
        let counted = instances.iter().filter(counted).count();
        group.shrink(counted, "Detaching")?;
    }
    let each = instances.iter().map(|id| {
        let description = format!("Detaching EC2 instance: {id}");
        let cause = format!("instance {id} was detached in response to a user request.");
        let activity = begin_activity(state, name, id, (description, cause), now);
        set_state(state, name, id, LifecycleState::Detaching { until }, now);
        state.autoscaling.noticed.insert((*id).to_owned());
        activity
    });
    Ok(each.collect())
}

/// It is of no group any more. Its metadata say so for as long as it lives.
pub(super) fn detach(state: &mut State, name: &str, id: &str, now: OffsetDateTime) {
    set_member_status(state, id, Status::Successful, now);
    if let Some(group) = state.autoscaling.groups.get_mut(name) {
        group.members.remove(id);
    }
    state.ec2.untag_as_aws(id, "aws:autoscaling:groupName");
}
