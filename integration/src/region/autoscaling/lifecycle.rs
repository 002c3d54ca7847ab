//! Lifecycle actions: completed, kept alive, timed out. Auto Scaling User Guide, "How lifecycle
//! hooks work".

use time::OffsetDateTime;

use super::activity::Status;
use super::converge::{member_mut, set_state};
use super::ending::begin_termination;
use super::finished::{By, Finished};
use super::group::{invalid, no_group};
use super::hook::{ActionResult, Transition};
use super::member::LifecycleState;
use crate::region::call::ServiceError;
use crate::region::state::State;

/// A lifecycle action as CompleteLifecycleAction and RecordLifecycleActionHeartbeat name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionRef<'a> {
    pub group: &'a str,
    pub hook: &'a str,
    pub by: ActionName<'a>,
}

/// "If you specify an instance ID, the token is not needed" and the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionName<'a> {
    Token(&'a str),
    Instance(&'a str),
}

/// CompleteLifecycleAction.
pub fn complete(
    state: &mut State,
    action: ActionRef<'_>,
    result: ActionResult,
    now: OffsetDateTime,
) -> Result<(), ServiceError> {
    let instance = instance_of(state, action)?;
    let end = End { hook: action.hook, result, by: By::Call };
    finish(state, action.group, &instance, end, now);
    Ok(())
}

/// RecordLifecycleActionHeartbeat: the timeout begins anew, up to the global one.
pub fn heartbeat(
    state: &mut State,
    action: ActionRef<'_>,
    now: OffsetDateTime,
) -> Result<(), ServiceError> {
    let instance = instance_of(state, action)?;
    let actions =
        member_mut(state, action.group, &instance).and_then(|member| member.state.actions_mut());
    if let Some(pending) = actions.and_then(|actions| actions.get_mut(action.hook)) {
        pending.beat(now);
    }
    Ok(())
}

/// DeleteLifecycleHook: "If there are any outstanding lifecycle actions, they are completed first
/// (ABANDON for launching instances, CONTINUE for terminating instances)." What one of them held up
/// goes on, and completing it later is refused.
pub fn delete_hook(
    state: &mut State,
    name: &str,
    hook: &str,
    now: OffsetDateTime,
) -> Result<(), ServiceError> {
    let group = state.autoscaling.group_mut(name)?;
    let Some(deleted) = group.hooks.remove(hook) else {
        return Err(invalid(format!("Lifecycle Hook Name could not be found: {hook}")));
    };
    let result = match deleted.transition {
        Transition::Launching => ActionResult::Abandon,
        Transition::Terminating => ActionResult::Continue,
    };
    let waiting = group
        .members
        .values()
        .filter(|member| member.state.actions().is_some_and(|actions| actions.contains_key(hook)));
    let waiting: Vec<String> = waiting.map(|member| member.instance.clone()).collect();
    for instance in waiting {
        finish(state, name, &instance, End { hook, result, by: By::Deletion }, now);
    }
    Ok(())
}

/// Ends the actions whose time is over with their hooks' default results.
pub(super) fn time_out(state: &mut State, name: &str, now: OffsetDateTime) {
    let Some(group) = state.autoscaling.group(name) else { return };
    let waiting =
        group.members.values().filter_map(|member| Some((member, member.state.actions()?)));
    let over: Vec<(String, String, ActionResult)> = waiting
        .flat_map(|(member, actions)| {
            actions.iter().map(move |(hook, action)| (member, hook, action))
        })
        .filter(|(_, _, action)| action.deadline <= now)
        .map(|(member, hook, action)| {
            (member.instance.clone(), hook.clone(), action.default_result)
        })
        .collect();
    for (instance, hook, result) in over {
        let end = End { hook: &hook, result, by: By::Timeout };
        finish(state, name, &instance, end, now);
    }
}

/// How one action ended.
struct End<'a> {
    hook: &'a str,
    result: ActionResult,
    by: By,
}

/// CONTINUE lets the other hooks' actions go on; ABANDON stops them, and on the way in ends the
/// instance, which the group then replaces. On the way out the instance ends either way.
fn finish(state: &mut State, name: &str, instance: &str, end: End<'_>, now: OffsetDateTime) {
    let until = now + state.autoscaling.timing.proceed;
    let Some(member) = member_mut(state, name, instance) else { return };
    let activity = member.activity.clone();
    let Some(actions) = member.state.actions_mut() else { return };
    let Some(action) = actions.remove(end.hook) else { return };
    let last = actions.is_empty() || end.result == ActionResult::Abandon;
    match (&member.state, end.result) {
        (LifecycleState::PendingWait(_), ActionResult::Abandon) => {
            let message = format!(
                "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token {} was abandoned: {}",
                action.token,
                end.by.why()
            );
            state.autoscaling.set_status(&activity, Status::Cancelled, Some(message), now);
            let cause =
                "an instance was taken out of service in response to its launch's being abandoned.";
            begin_termination(state, name, instance, cause, now);
        }
        (LifecycleState::PendingWait(_), _) if last => {
            set_state(state, name, instance, LifecycleState::PendingProceed { until }, now);
        }
        (LifecycleState::TerminatingWait(_), _) if last => {
            set_state(state, name, instance, LifecycleState::TerminatingProceed { until }, now);
        }
        _ => {}
    }
    state.autoscaling.finished.push(Finished {
        instance: instance.to_owned(),
        hook: end.hook.to_owned(),
        result: end.result,
        by: end.by,
        at: now,
    });
}

/// The instance that the action holds up.
fn instance_of(state: &State, action: ActionRef<'_>) -> Result<String, ServiceError> {
    let group = state.autoscaling.group(action.group).ok_or_else(|| no_group(action.group))?;
    let found = group.members.values().find(|member| {
        let pending = member.state.actions().and_then(|actions| actions.get(action.hook));
        pending.is_some_and(|pending| match action.by {
            ActionName::Token(token) => pending.token == token,
            ActionName::Instance(id) => member.instance == id,
        })
    });
    found.map(|member| member.instance.clone()).ok_or_else(|| {
        let name = match action.by {
            ActionName::Token(token) => format!("token {token}"),
            ActionName::Instance(id) => format!("instance ID {id}"),
        };
        invalid(format!("No active Lifecycle Action found with {name}"))
    })
}
