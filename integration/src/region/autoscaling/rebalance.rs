//! Rebalancing: an instance stays until its successor is in service. Auto Scaling User Guide,
//! "Availability Zone distribution" (rebalancing activities) and "Use Capacity Rebalancing to handle
//! Amazon EC2 Spot Interruptions".

use time::OffsetDateTime;

use super::capacity::leaves_first;
use super::converge::member_mut;
use super::ending::begin_termination;
use super::group::Group;
use super::member::{LifecycleState, Member};
use crate::region::state::State;

/// Why a member goes as soon as another one has come for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Its zone has too many, or is not the group's any more.
    Zone,
    /// EC2 recommends a rebalance.
    AtRisk,
}

/// "By a 10 percent margin (or by a margin of one, whichever is greater)" over the maximum.
fn margin(group: &Group) -> usize {
    (group.max as usize / 10).max(1)
}

/// How many successors are launched while those for whom they come are still there.
pub(super) fn successors(group: &Group) -> usize {
    let room = (group.max as usize + margin(group)).saturating_sub(group.desired as usize);
    outgoing(group).count().min(room)
}

/// Moves a group's rebalancing as far as one change; whether there was one.
pub(super) fn advance_rebalance(state: &mut State, name: &str, now: OffsetDateTime) -> bool {
    let delay = state.autoscaling.timing.zone_rebalance;
    let Some(group) = state.autoscaling.groups.get_mut(name).filter(|group| !group.deleting) else {
        return false;
    };
    if let Some(member) = replaced_by_now(group) {
        let cause = match member.outgoing {
            Some(Outgoing::AtRisk) => {
                "an instance was taken out of service in response to an EC2 instance rebalance recommendation."
            }
            _ => {
                "an instance was taken out of service in response to a difference between desired and actual capacity, after instances were launched to balance instances in zones."
            }
        };
        let id = member.instance.clone();
        begin_termination(state, name, &id, cause, now);
        return true;
    }
    if outgoing(group).next().is_some() {
        // One after the other, and the next without another delay.
        group.balances_at = None;
        return false;
    }
    let too_many = misplaced(group).map(|member| member.instance.clone());
    let since = too_many.as_ref().map(|_| group.unbalanced_since.unwrap_or(now));
    group.unbalanced_since = since;
    let due = since.map(|since| since + delay);
    group.balances_at = due.filter(|due| *due > now);
    // Only a group that rests is rebalanced: what comes and goes may balance it by itself.
    let rests = group.refresh().is_none()
        && group.staying().count() == group.desired as usize
        && group
            .members
            .values()
            .all(|held| held.state == LifecycleState::InService || held.warmed.is_some());
    match too_many.filter(|_| rests && due.is_some_and(|due| due <= now)) {
        Some(id) => {
            mark(state, name, &id, Outgoing::Zone);
            true
        }
        None => false,
    }
}

/// A member is to be replaced while it serves.
pub(super) fn mark(state: &mut State, name: &str, id: &str, why: Outgoing) {
    if let Some(member) = member_mut(state, name, id) {
        member.outgoing = Some(why);
    }
}

fn outgoing(group: &Group) -> impl Iterator<Item = &Member> {
    group.staying().filter(|member| member.outgoing.is_some())
}

/// One that can go without anybody's missing it.
fn replaced_by_now(group: &Group) -> Option<&Member> {
    let others = group.staying().filter(|held| {
        held.outgoing.is_none() && held.state == LifecycleState::InService && held.healthy
    });
    let after = (others.count() + outgoing(group).count()).checked_sub(1)?;
    if after < group.desired as usize {
        return None;
    }
    leaves_first(group, outgoing(group))
}

/// One that is in a zone which is not the group's, or has two more than another one.
fn misplaced(group: &Group) -> Option<&Member> {
    let movable = || group.staying().filter(|member| !member.protected);
    let elsewhere = movable().filter(|member| !group.zones.contains(&member.zone));
    if let Some(member) = leaves_first(group, elsewhere) {
        return Some(member);
    }
    let in_zone = |zone: &String| group.staying().filter(|member| member.zone == *zone).count();
    let fullest = group.zones.iter().max_by_key(|zone| in_zone(zone))?;
    let emptiest = group.zones.iter().map(in_zone).min()?;
    if in_zone(fullest) < emptiest + 2 {
        return None;
    }
    leaves_first(group, movable().filter(|member| member.zone == *fullest))
}
