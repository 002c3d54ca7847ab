//! How a refresh goes on: User Guide, "How an instance refresh works in an Auto Scaling group". Old
//! instances leave through the ordinary hooks while enough others are ready, and as many more are
//! launched beforehand as the maximum allows.
//!
//! [`Scene`] only looks and says what is next; [`advance_refresh`] does it.

use std::time::Duration;

use time::OffsetDateTime;

use super::capacity::leaves_first;
use super::create::version_of;
use super::ending::begin_termination;
use super::group::Group;
use super::member::{LifecycleState, Member};
use super::refresh::{HeldBack, Refresh, RefreshStatus};
use crate::region::state::State;

/// "Wait (default): Amazon EC2 Auto Scaling waits one hour."
const PATIENCE: Duration = Duration::from_secs(3600);
const CAUSE: &str = "an instance was taken out of service in response to an instance refresh.";

/// What is next.
enum Step {
    Terminate(String),
    End(RefreshStatus, String),
    /// Until something happens, or that time comes.
    Wait {
        until: Option<OffsetDateTime>,
        held_back: bool,
        reason: Option<String>,
    },
}

/// A refresh and its group at one moment.
struct Scene<'a> {
    group: &'a Group,
    refresh: &'a Refresh,
    now: OffsetDateTime,
}

/// Moves a group's refresh as far as one change; whether there was one.
pub(super) fn advance_refresh(state: &mut State, name: &str, now: OffsetDateTime) -> bool {
    let Some(group) = state.autoscaling.group(name).filter(|group| !group.deleting) else {
        return false;
    };
    let Some(refresh) = group.refresh() else { return false };
    if refresh.status == RefreshStatus::Pending {
        return refresh.wakes_at.is_some_and(|at| at <= now) && begin(state, name);
    }
    let scene = Scene { group, refresh, now };
    let (step, replaced) = (scene.next(), scene.replaced());
    let Some(group) = state.autoscaling.groups.get_mut(name) else { return false };
    let Some(refresh) = group.refresh_mut() else { return false };
    refresh.replaced = replaced;
    match step {
        Step::Terminate(id) => {
            refresh.held_back_since = None;
            begin_termination(state, name, &id, CAUSE, now);
        }
        Step::End(status, reason) => {
            refresh.end(status, reason, now);
            if status == RefreshStatus::Successful
                && let Some(template) = refresh.template.clone()
            {
                group.template = template;
            }
        }
        Step::Wait { until, held_back, reason } => {
            let since = held_back.then(|| refresh.held_back_since.unwrap_or(now));
            refresh.held_back_since = since;
            refresh.wakes_at = until.into_iter().chain(since.map(|since| since + PATIENCE)).min();
            refresh.reason = reason.or(refresh.reason.take());
            return false;
        }
    }
    true
}

/// Who is there now is old, but for those that are as they should be.
fn begin(state: &mut State, name: &str) -> bool {
    let Some(group) = state.autoscaling.group(name) else { return false };
    let Some(refresh) = group.refresh() else { return false };
    let wanted = version_of(state, refresh.template.as_ref().unwrap_or(&group.template));
    let matches = |member: &Member| {
        let (id, _, number) = &member.template;
        refresh.preferences.skip_matching
            && wanted.as_ref().is_some_and(|wanted| *wanted == (id.clone(), *number))
    };
    let old: Vec<String> = group
        .members
        .values()
        .filter(|member| !member.state.is_leaving() && !matches(member))
        .map(|member| member.instance.clone())
        .collect();
    if let Some(refresh) = state.autoscaling.groups.get_mut(name).and_then(Group::refresh_mut) {
        refresh.total = old.len();
        refresh.old = old.into_iter().collect();
        (refresh.status, refresh.wakes_at) = (RefreshStatus::InProgress, None);
    }
    true
}

/// How many more than the desired capacity a group has for a while, that a refresh may launch
/// before it terminates.
pub(super) fn launched_ahead(group: &Group, now: OffsetDateTime) -> usize {
    let refresh = group.refresh().filter(|held| held.status == RefreshStatus::InProgress);
    let Some(refresh) = refresh else { return 0 };
    let scene = Scene { group, refresh, now };
    let counted = scene.to_replace().filter(|member| member.counts()).count();
    scene.most().saturating_sub(group.desired as usize).min(counted)
}

impl Scene<'_> {
    fn next(&self) -> Step {
        if self.refresh.status == RefreshStatus::Cancelling {
            let transitioning = self.group.members.values().any(in_transition);
            return if transitioning {
                Step::Wait { until: None, held_back: false, reason: None }
            } else {
                Step::End(RefreshStatus::Cancelled, "Cancelled by user.".to_owned())
            };
        }
        // One that is not in service yet, or not any more, is no loss.
        let idle = |member: &&Member| !self.is_ready(member);
        let expendable =
            if self.ready() > self.least() { self.first(|_| true) } else { self.first(idle) };
        if let Some(id) = expendable {
            return Step::Terminate(id);
        }
        let to_come = self.old().any(|member| !self.is_ignored(member));
        let all_ready = self.group.staying().all(|member| self.is_ready(member))
            && self.group.staying().count() == self.group.desired as usize;
        if !to_come && all_ready {
            return Step::End(RefreshStatus::Successful, String::new());
        }
        let held_back = to_come
            && all_ready
            && self.old().all(|member| self.waits_for_lifting(member) || self.is_ignored(member));
        let since = self.refresh.held_back_since;
        if held_back && since.is_some_and(|since| since + PATIENCE <= self.now) {
            return Step::End(
                RefreshStatus::Failed,
                "Timed out waiting for instances that are protected from scale in or in standby."
                    .to_owned(),
            );
        }
        Step::Wait { until: self.next_warm(), held_back, reason: self.waited_for() }
    }

    /// How many instances are ready that were launched for old ones which are gone or going.
    fn replaced(&self) -> usize {
        let new = self.group.staying().filter(|member| !self.is_old(member));
        let ready = new.filter(|member| self.is_ready(member)).count();
        let left = self.old().filter(|member| !member.state.is_leaving()).count();
        self.refresh.total.saturating_sub(left).min(ready)
    }

    fn first(&self, fit: impl Fn(&&Member) -> bool) -> Option<String> {
        let fitting = self.to_replace().filter(|member| fit(member));
        leaves_first(self.group, fitting).map(|member| member.instance.clone())
    }

    /// Old ones that may be terminated.
    fn to_replace(&self) -> impl Iterator<Item = &Member> {
        self.old().filter(|member| match &member.state {
            LifecycleState::Standby => self.refresh.preferences.standby == HeldBack::Replace,
            // From the warm pool at once: nobody misses it.
            state if member.warmed.is_some() => !state.is_leaving(),
            _ => {
                member.counts()
                    && (!member.protected
                        || self.refresh.preferences.protected == HeldBack::Replace)
            }
        })
    }

    fn old(&self) -> impl Iterator<Item = &Member> {
        self.group.members.values().filter(|member| self.is_old(member))
    }

    fn is_old(&self, member: &Member) -> bool {
        self.refresh.old.contains(&member.instance)
    }

    fn how_held_back(&self, member: &Member) -> Option<HeldBack> {
        let preferences = &self.refresh.preferences;
        match &member.state {
            LifecycleState::Standby | LifecycleState::EnteringStandby { .. } => {
                Some(preferences.standby)
            }
            _ if member.counts() && member.protected => Some(preferences.protected),
            _ => None,
        }
    }

    fn is_ignored(&self, member: &Member) -> bool {
        self.how_held_back(member) == Some(HeldBack::Ignore)
    }

    fn waits_for_lifting(&self, member: &Member) -> bool {
        self.how_held_back(member) == Some(HeldBack::Wait)
    }

    /// In service, and long enough. Those that were there before have been.
    fn is_ready(&self, member: &Member) -> bool {
        member.state == LifecycleState::InService
            && member.healthy
            && (self.is_old(member) || self.warm_at(member).is_some_and(|at| at <= self.now))
    }

    fn ready(&self) -> usize {
        self.group.staying().filter(|member| self.is_ready(member)).count()
    }

    fn warm_at(&self, member: &Member) -> Option<OffsetDateTime> {
        let grace = Duration::from_secs(self.group.health_check_grace.into());
        Some(member.in_service_since? + self.refresh.preferences.warmup.unwrap_or(grace))
    }

    /// When the next one that is in service becomes ready.
    fn next_warm(&self) -> Option<OffsetDateTime> {
        let warming = self.group.staying().filter(|member| !self.is_old(member));
        warming.filter_map(|member| self.warm_at(member)).filter(|at| *at > self.now).min()
    }

    /// So many stay ready. Where neither percentage leaves room one is replaced at a time.
    fn least(&self) -> usize {
        let desired = self.group.desired as usize;
        let least = share(desired, self.refresh.preferences.min_healthy_percent);
        if least == desired && self.most() == desired { desired.saturating_sub(1) } else { least }
    }

    fn most(&self) -> usize {
        share(self.group.desired as usize, self.refresh.preferences.max_healthy_percent)
    }

    fn waited_for(&self) -> Option<String> {
        let coming = self.group.staying().find(|member| !self.is_ready(member))?;
        let id = &coming.instance;
        Some(match coming.state {
            LifecycleState::InService => format!(
                "Waiting for instances to warm up before continuing. For example: {id} is warming up."
            ),
            _ => format!("Waiting for remaining instances to be available. For example: {id}."),
        })
    }
}

fn in_transition(member: &Member) -> bool {
    !matches!(
        member.state,
        LifecycleState::InService | LifecycleState::Standby | LifecycleState::Resting
    )
}

/// Rounded up.
fn share(of: usize, percent: u32) -> usize {
    (of * percent as usize).div_ceil(100)
}
