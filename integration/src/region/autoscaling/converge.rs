//! What becomes due: by time, by what EC2 says, by the capacity that is wished for. A member goes
//! on step by step; what others ask of it is in the files called after that.

use std::collections::BTreeSet;
use std::mem::take;

use time::OffsetDateTime;

use super::activity::{Begin, Status};
use super::capacity::fit_capacity;
use super::detach::detach;
use super::ending::{end_in_ec2, leave};
use super::health::unhealthy;
use super::hook::Transition;
use super::launch::details;
use super::lifecycle;
use super::member::{Actions, LifecycleState, Member, PendingAction};
use super::rebalance::{Outgoing, advance_rebalance, mark};
use super::refreshing::advance_refresh;
use super::warm_pool::{fit_pool, rest, settle};
use crate::region::ec2::InstanceState;
use crate::region::state::State;

/// Moves every group to where it should be now; launches and terminates through EC2.
pub fn advance(state: &mut State, now: OffsetDateTime) {
    if state.autoscaling.groups.is_empty() {
        return;
    }
    let noticed = take(&mut state.autoscaling.noticed);
    let names: Vec<String> = state.autoscaling.groups.keys().cloned().collect();
    for name in names {
        lifecycle::time_out(state, &name, now);
        for id in due_members(state, &name, &noticed, now) {
            while advance_member(state, &name, &id, now) {}
        }
        fit_capacity(state, &name, now);
        while advance_refresh(state, &name, now) || advance_rebalance(state, &name, now) {
            fit_capacity(state, &name, now);
        }
        fit_pool(state, &name, now);
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

/// One step of a member whose state can go on, by time or because EC2's has; whether there was
/// one.
fn advance_member(state: &mut State, name: &str, id: &str, now: OffsetDateTime) -> bool {
    let Some((group, member)) = state.autoscaling.member(id) else { return false };
    let instance = state.ec2.instance(id);
    let machine = instance.map(|instance| instance.state);
    let at_risk = group.capacity_rebalance
        && member.outgoing.is_none()
        && instance.is_some_and(|instance| instance.announced.rebalance.is_some());
    let gone = matches!(machine, None | Some(InstanceState::Terminated { .. }));
    match &member.state {
        _ if member.counts() && !machine.is_some_and(InstanceState::is_up) => {
            unhealthy(state, name, id, now);
        }
        // Nobody checks the health of one in standby or in the pool, but one that is gone does not come back.
        in_side if is_aside(in_side, member) && machine.is_none_or(InstanceState::is_ending) => {
            unhealthy(state, name, id, now);
        }
        LifecycleState::Pending if machine == Some(InstanceState::Running) => {
            enter_launch_hooks(state, name, id, now);
        }
        LifecycleState::PendingProceed { until } if *until <= now => {
            arrive(state, name, id, now);
        }
        LifecycleState::Settling if machine == Some(InstanceState::Stopped) => {
            rest(state, name, id, now);
        }
        LifecycleState::InService if at_risk => mark(state, name, id, Outgoing::AtRisk),
        LifecycleState::EnteringStandby { until } if *until <= now => {
            set_state(state, name, id, LifecycleState::Standby, now);
            set_member_status(state, id, Status::Successful, now);
        }
        LifecycleState::Detaching { until } if *until <= now => detach(state, name, id, now),
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
        return arrive(state, name, id, now);
    }
    set_state(state, name, id, LifecycleState::PendingWait(actions), now);
    set_member_status(state, id, Status::MidLifecycleAction, now);
}

/// Where it was going: into the pool, or into service.
fn arrive(state: &mut State, name: &str, id: &str, now: OffsetDateTime) {
    let warmed = state.autoscaling.member(id).is_some_and(|(_, member)| member.warmed.is_some());
    if warmed { settle(state, name, id, now) } else { into_service(state, name, id, now) }
}

fn is_aside(at: &LifecycleState, member: &Member) -> bool {
    *at == LifecycleState::Standby || (member.warmed.is_some() && !at.is_leaving())
}

fn into_service(state: &mut State, name: &str, id: &str, now: OffsetDateTime) {
    set_state(state, name, id, LifecycleState::InService, now);
    if let Some(member) = member_mut(state, name, id) {
        member.in_service_since = Some(now);
    }
    set_member_status(state, id, Status::Successful, now);
}

/// One action for each of the group's hooks on this transition.
pub(super) fn actions(
    state: &mut State,
    name: &str,
    transition: Transition,
    now: OffsetDateTime,
) -> Actions {
    let Some(group) = state.autoscaling.groups.get(name) else { return Actions::new() };
    let hooks = group.hooks.values().filter(|hook| hook.transition == transition);
    hooks.map(|hook| (hook.name.clone(), PendingAction::begin(&mut state.ids, hook, now))).collect()
}

/// A new activity of a member; its ID.
pub(super) fn begin_activity(
    state: &mut State,
    name: &str,
    id: &str,
    (description, cause): (String, String),
    now: OffsetDateTime,
) -> String {
    let Some((group, member)) = state.autoscaling.member(id) else { return String::new() };
    let begin = Begin {
        group: group.name.clone(),
        group_arn: group.arn.clone(),
        description,
        cause,
        status: Status::InProgress,
        details: details(state, &member.subnet),
    };
    let activity = state.autoscaling.begin_activity(&mut state.ids, begin, now);
    if let Some(member) = member_mut(state, name, id) {
        member.activity = activity.clone();
    }
    activity
}

pub(super) fn set_member_status(state: &mut State, id: &str, status: Status, now: OffsetDateTime) {
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
    let Some(member) = member_mut(state, name, id) else { return };
    member.state = to;
    let target = member.target();
    state.autoscaling.targets.aim(id, target, now);
}

pub(super) fn member_mut<'a>(state: &'a mut State, name: &str, id: &str) -> Option<&'a mut Member> {
    state.autoscaling.groups.get_mut(name)?.members.get_mut(id)
}
