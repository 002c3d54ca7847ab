//! Warm pools: Auto Scaling User Guide, "Decrease latency for applications with long boot times
//! using warm pools". Instances that have booted and wait, stopped or running, until the group
//! grows; and where the group says so, those that come back when it shrinks.

use time::OffsetDateTime;

use super::AutoScaling;
use super::activity::Status;
use super::converge::{actions, begin_activity, member_mut, set_member_status, set_state};
use super::ending::{begin_termination, terminate_without_hooks};
use super::group::{Group, invalid};
use super::hook::Transition;
use super::launch::launch_into_pool;
use super::member::{LifecycleState, Member};
use crate::region::call::ServiceError;
use crate::region::ec2::InstanceState;
use crate::region::state::State;

/// A group's pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WarmPool {
    pub rest: PoolState,
    pub min_size: u32,
    /// How many there are together with those in service; the group's maximum if left open.
    pub max_prepared: Option<u32>,
    pub reuse_on_scale_in: bool,
    /// Being deleted: it goes when its last instance is gone.
    pub deleting: bool,
}

/// What an instance does in the pool. A hibernated one is stopped here: nothing keeps its memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoolState {
    #[default]
    Stopped,
    Running,
    Hibernated,
}

impl AutoScaling {
    /// PutWarmPool: makes a pool or changes it. Instances that are in it stay as they are.
    pub fn put_warm_pool(&mut self, name: &str, pool: WarmPool) -> Result<(), ServiceError> {
        let group = self.group_mut(name)?;
        if group.warm_pool.is_some_and(|held| held.deleting) {
            return Err(invalid(format!("The warm pool of {name} is being deleted")));
        }
        if pool.max_prepared.is_some_and(|most| most < pool.min_size) {
            return Err(invalid("MaxGroupPreparedCapacity must not be less than MinSize"));
        }
        group.warm_pool = Some(pool);
        Ok(())
    }
}

/// DeleteWarmPool: its instances are terminated, with `force` without waiting for hooks.
pub fn delete_warm_pool(
    state: &mut State,
    name: &str,
    force: bool,
    now: OffsetDateTime,
) -> Result<(), ServiceError> {
    let group = state.autoscaling.group_mut(name)?;
    let Some(pool) = &mut group.warm_pool else {
        return Err(invalid(format!("No warm pool found for Auto Scaling group {name}")));
    };
    pool.deleting = true;
    let warm: Vec<String> = warm(group).map(|member| member.instance.clone()).collect();
    for id in warm {
        if force {
            terminate_without_hooks(state, name, &id, now);
        } else {
            let cause =
                "an instance was taken out of the warm pool in response to its being deleted.";
            begin_termination(state, name, &id, cause, now);
        }
    }
    Ok(())
}

/// Fills the pool, or takes out what is too many.
pub(super) fn fit_pool(state: &mut State, name: &str, now: OffsetDateTime) {
    loop {
        let Some(group) = state.autoscaling.groups.get_mut(name) else { return };
        let Some(pool) = group.warm_pool else { return };
        if pool.deleting || group.deleting {
            if !group.members.values().any(|member| member.warmed.is_some()) {
                group.warm_pool = None;
            }
            return;
        }
        let (have, wanted) = (warm(group).count(), size(group, pool, group.staying().count()));
        if have < wanted {
            if group.retry_at.is_some_and(|at| at > now) {
                return;
            }
            launch_into_pool(state, name, pool.rest, now);
        } else if have > wanted {
            let first = warm(group).min_by_key(|held| (held.launched_at, held.instance.clone()));
            let Some(id) = first.map(|member| member.instance.clone()) else { return };
            let cause = "an instance was taken out of the warm pool in response to a difference between its wanted and actual size.";
            begin_termination(state, name, &id, cause, now);
        } else {
            return;
        }
    }
}

/// An instance that rests in the pool goes on its way into service; whether there was one.
pub(super) fn leave_pool(state: &mut State, name: &str, cause: &str, now: OffsetDateTime) -> bool {
    let Some(group) = state.autoscaling.group(name) else { return false };
    let resting = warm(group).filter(|member| member.state == LifecycleState::Resting);
    let first = resting.min_by_key(|member| (member.launched_at, member.instance.clone()));
    let Some(id) = first.map(|member| member.instance.clone()) else { return false };
    let description = format!("Launching a new EC2 instance from warm pool: {id}");
    let activity = begin_activity(state, name, &id, (description, cause.to_owned()), now);
    state.autoscaling.set_status(&activity, Status::PreInService, None, now);
    if let Some(member) = member_mut(state, name, &id) {
        member.warmed = None;
    }
    set_state(state, name, &id, LifecycleState::Pending, now);
    let stopped = state.ec2.instance(&id).is_some_and(|held| held.state == InstanceState::Stopped);
    if stopped {
        state.ec2.start(&id, now).expect("it is stopped");
    }
    state.autoscaling.noticed.insert(id);
    true
}

/// Whether a member that leaves by scale-in goes back to the pool. "If the warm pool is full it is
/// terminated."
pub(super) fn has_place(group: &Group) -> bool {
    let after = group.staying().count().saturating_sub(1);
    group
        .warm_pool
        .filter(|pool| pool.reuse_on_scale_in && !pool.deleting)
        .is_some_and(|pool| warm(group).count() < size(group, pool, after))
}

/// Back from service: the hooks of termination first, then it rests. User Guide, "Use lifecycle
/// hooks with a warm pool".
pub(super) fn return_to_pool(
    state: &mut State,
    name: &str,
    id: &str,
    cause: &str,
    now: OffsetDateTime,
) {
    let rest = state.autoscaling.group(name).and_then(|group| group.warm_pool);
    let description = format!("Returning EC2 instance to warm pool: {id}");
    begin_activity(state, name, id, (description, cause.to_owned()), now);
    let waited_for = actions(state, name, Transition::Terminating, now);
    if let Some(member) = member_mut(state, name, id) {
        member.warmed = Some(rest.unwrap_or_default().rest);
        member.in_service_since = None;
    }
    if waited_for.is_empty() {
        settle(state, name, id, now);
    } else {
        set_state(state, name, id, LifecycleState::PendingWait(waited_for), now);
        set_member_status(state, id, Status::MidLifecycleAction, now);
    }
}

/// Every hook is done: it is stopped if that is how it rests.
pub(super) fn settle(state: &mut State, name: &str, id: &str, now: OffsetDateTime) {
    let warmed = state.autoscaling.member(id).and_then(|(_, member)| member.warmed);
    if warmed == Some(PoolState::Running) {
        return rest(state, name, id, now);
    }
    set_state(state, name, id, LifecycleState::Settling, now);
    // One that is stopped or ending already is met by what EC2 says of it.
    if state.ec2.instance(id).is_some_and(|held| held.state == InstanceState::Running) {
        state.ec2.stop(id, now).expect("it runs");
    }
    state.autoscaling.noticed.insert(id.to_owned());
}

pub(super) fn rest(state: &mut State, name: &str, id: &str, now: OffsetDateTime) {
    set_state(state, name, id, LifecycleState::Resting, now);
    set_member_status(state, id, Status::Successful, now);
}

/// Those in the pool or on their way there.
pub fn warm(group: &Group) -> impl Iterator<Item = &Member> {
    let members = group.members.values();
    members.filter(|member| member.warmed.is_some() && !member.state.is_leaving())
}

/// How many are to be in the pool beside so many in service. API Reference, "PutWarmPool": "the
/// difference between the group's maximum capacity and its desired capacity" unless a maximum is
/// given, and never fewer than MinSize.
fn size(group: &Group, pool: WarmPool, serving: usize) -> usize {
    let prepared = pool.max_prepared.unwrap_or(group.max) as usize;
    let serving = serving.max(group.desired as usize);
    prepared.saturating_sub(serving).max(pool.min_size as usize)
}

impl PoolState {
    const ALL: [Self; 3] = [Self::Stopped, Self::Running, Self::Hibernated];

    pub fn name(self) -> &'static str {
        match self {
            Self::Stopped => "Stopped",
            Self::Running => "Running",
            Self::Hibernated => "Hibernated",
        }
    }

    pub fn named(name: &str) -> Result<Self, ServiceError> {
        Self::ALL.into_iter().find(|held| held.name() == name).ok_or_else(|| {
            invalid(format!(
                "Unknown pool state '{name}': it is none of Stopped, Running, Hibernated"
            ))
        })
    }

    /// As a lifecycle state.
    pub(super) fn lifecycle_state(self) -> &'static str {
        match self {
            Self::Stopped => "Warmed:Stopped",
            Self::Running => "Warmed:Running",
            Self::Hibernated => "Warmed:Hibernated",
        }
    }
}
