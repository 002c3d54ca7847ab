//! How many instances a group has: what is lacking is launched, what is too many leaves.

use time::OffsetDateTime;

use super::AutoScaling;
use super::ending::begin_termination;
use super::group::{Group, invalid};
use super::launch::launch_one;
use super::member::Member;
use super::rebalance::successors;
use super::refreshing::launched_ahead;
use super::warm_pool::{has_place, return_to_pool};
use crate::region::call::ServiceError;
use crate::region::state::State;

/// Launches what is lacking and takes out what is too many.
pub(super) fn fit_capacity(state: &mut State, name: &str, now: OffsetDateTime) {
    loop {
        let Some(group) = state.autoscaling.groups.get(name).filter(|group| !group.deleting) else {
            return;
        };
        let have = group.staying().count();
        let wanted = group.desired as usize + launched_ahead(group, now) + successors(group);
        if have < wanted {
            if group.retry_at.is_some_and(|at| at > now) {
                return;
            }
            launch_one(state, name, now);
        } else if have > wanted {
            let Some(id) = next_to_leave(group) else { return };
            let cause = format!(
                "an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from {have} to {}.",
                have - 1
            );
            if has_place(group) {
                return_to_pool(state, name, &id, &cause, now);
            } else {
                begin_termination(state, name, &id, &cause, now);
            }
        } else {
            return;
        }
    }
}

/// Who leaves by scale-in. Protected ones stay.
fn next_to_leave(group: &Group) -> Option<String> {
    let unprotected = group.staying().filter(|member| !member.protected);
    leaves_first(group, unprotected).map(|member| member.instance.clone())
}

/// Auto Scaling User Guide, "Default termination policy": in the zone with the most instances, of
/// the oldest template version, the one launched first.
pub(super) fn leaves_first<'a>(
    group: &Group,
    candidates: impl Iterator<Item = &'a Member>,
) -> Option<&'a Member> {
    let in_zone = |zone: &str| group.staying().filter(|member| member.zone == zone).count();
    candidates.min_by_key(|member| {
        (
            std::cmp::Reverse(in_zone(&member.zone)),
            member.template.2,
            member.launched_at,
            member.instance.clone(),
        )
    })
}

impl AutoScaling {
    /// SetInstanceProtection: from scale-in alone. Auto Scaling User Guide, "Use instance scale-in
    /// protection".
    pub fn set_protection(
        &mut self,
        name: &str,
        instances: &[&str],
        protected: bool,
    ) -> Result<(), ServiceError> {
        let group = self.group_mut(name)?;
        for id in instances {
            let member = group.member(id)?;
            if member.state.is_leaving() {
                return Err(invalid(format!(
                    "The instance {id} is not in InService or EnteringStandby or Standby."
                )));
            }
        }
        let members = group.members.values_mut();
        let meant = members.filter(|member| instances.contains(&member.instance.as_str()));
        meant.for_each(|member| member.protected = protected);
        Ok(())
    }
}
