//! What a drain says: lines of the log, the Node's Events, `systemctl status`.

use std::time::Duration;

use super::event::Moment;
use super::evictions::{Answer, Evictions};
use super::pod::Pod;
use super::rules::Rules;
use super::state::{HookEnd, Leaving, State};
use super::step::{Effect, HookAnswer, NodeAnswer, Observation};

/// The node went on to another state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turned {
    pub warning: bool,
    /// As an Event's `reason`.
    pub reason: &'static str,
    pub message: String,
}

impl Turned {
    pub(super) fn log(&self) {
        if self.warning {
            tracing::warn!("{}", self.message);
        } else {
            tracing::info!("{}", self.message);
        }
    }
}

/// What is said of the difference.
pub(super) fn turn(
    before: &Leaving,
    after: &Leaving,
    rules: &Rules,
    now: Moment,
) -> Option<Turned> {
    if std::mem::discriminant(&before.state) == std::mem::discriminant(&after.state) {
        return None;
    }
    let told = |reason, message| Some(Turned { warning: false, reason, message });
    let why = why(after);
    match &after.state {
        State::Serving => told("InService", "what was cordoned for it is given back".to_owned()),
        State::Cordoned { .. } => told("Cordoned", format!("no new pods: {why}")),
        State::Draining(_) => {
            let within = after.end(rules, now).map_or(0, |end| end.since(now).as_secs());
            told("Draining", format!("pods leave within {within} s: {why}"))
        }
        State::Completing { drained, .. } => {
            Some(drain_over(&drained.evictions, drained.ended.since(drained.began)))
        }
        State::Left { drained } => {
            Some(match after.events.iter().find_map(|it| it.hook.as_ref()) {
                None => drain_over(&drained.evictions, drained.ended.since(drained.began)),
                Some(end) => hook_over(end),
            })
        }
        State::Returning { .. } => told(
            "Returning",
            "nothing is announced any more: what was cordoned is given back".to_owned(),
        ),
    }
}

fn drain_over(evictions: &Evictions, took: Duration) -> Turned {
    let left: Vec<String> = evictions.left().map(|it| it.pod.to_string()).collect();
    let gone = evictions.pods.len() - left.len();
    let took = format!("{}.{} s", took.as_secs(), took.subsec_millis() / 100);
    let of_which =
        |it: usize| if it == 0 { String::new() } else { format!(", {it} of them forced") };
    let forced = of_which(evictions.pods.values().filter(|it| it.forced).count());
    if !evictions.listed {
        let message = format!("the drain ended after {took} without knowing the node's pods");
        return Turned { warning: true, reason: "DrainFailed", message };
    }
    if left.is_empty() {
        let message = format!("{gone} pods left within {took}{forced}");
        return Turned { warning: false, reason: "Drained", message };
    }
    let message =
        format!("{gone} pods left within {took}{forced}; still here: {}", left.join(", "));
    Turned { warning: true, reason: "DrainIncomplete", message }
}

/// What became of the group's hook.
pub(super) fn hook_over(end: &HookEnd) -> Turned {
    match end {
        HookEnd::Completed => Turned {
            warning: false,
            reason: "HookCompleted",
            message: "the termination hook is completed: CONTINUE".to_owned(),
        },
        HookEnd::NothingPending => Turned {
            warning: false,
            reason: "HookOver",
            message: "the termination hook has no pending action: somebody else completed it, it \
                      timed out, or it has another name than the configuration says"
                .to_owned(),
        },
        HookEnd::GivenUp(said) => Turned {
            warning: true,
            reason: "HookNotCompleted",
            message: format!("the termination hook could not be completed: {said}"),
        },
    }
}

/// `termination (Terminated), spot (2026-11-25T09:02:00Z)`
fn why(leaving: &Leaving) -> String {
    let events: Vec<String> = leaving.events.iter().map(|it| it.announced.id.to_string()).collect();
    events.join(", ")
}

/// One line for `systemctl status`; none in service.
pub(super) fn status(leaving: &Leaving, rules: &Rules, now: Moment) -> Option<String> {
    let left = |evictions: &Evictions| evictions.left().count();
    let what = match &leaving.state {
        State::Serving => return None,
        State::Cordoned { .. } => "cordoned".to_owned(),
        State::Draining(draining) => {
            let end = leaving.end(rules, now).unwrap_or(now).since(now).as_secs();
            format!("draining, {} pods left, {end} s to go", left(&draining.evictions))
        }
        State::Completing { .. } => "drained, completing the hook".to_owned(),
        State::Left { drained } => format!("left, {} pods still here", left(&drained.evictions)),
        State::Returning { .. } => "returning to service".to_owned(),
    };
    Some(format!("{what}: {}", why(leaving)))
}

/// What is about to be done, where somebody will ask later who did it.
pub(super) fn effect(effect: &Effect) {
    match effect {
        Effect::Delete { pod, grace } => tracing::warn!("{}", forced(pod, *grace)),
        Effect::Evict { pod, grace } => {
            let short = grace.map(|it| format!(", with {} s instead of its own", it.as_secs()));
            tracing::info!("evicting pod {pod}{}{}", short.unwrap_or_default(), pod.loses());
        }
        other => tracing::debug!("{other:?}"),
    }
}

/// For the log, and for an Event of the Node.
pub(super) fn forced(pod: &Pod, grace: Duration) -> String {
    let seconds = grace.as_secs();
    format!("deleting pod {pod} with {seconds} s to end: it could not be evicted in time")
}

/// What was answered, where it is not a yes.
pub(super) fn answer(observed: &Observation) {
    match observed {
        Observation::Cordoned(NodeAnswer::Refused(said) | NodeAnswer::Failed(said)) => {
            tracing::warn!("the node could not be cordoned: {said}");
        }
        Observation::Uncordoned(NodeAnswer::Refused(said) | NodeAnswer::Failed(said)) => {
            tracing::warn!("the node could not be uncordoned: {said}");
        }
        Observation::Answered(uid, Answer::Failed(said)) => {
            tracing::warn!("pod with UID {}: {said}", uid.0);
        }
        Observation::Answered(uid, Answer::Refused { said, .. }) => {
            tracing::info!("pod with UID {}: {said}", uid.0);
        }
        Observation::Beaten(HookAnswer::Failed(said)) => tracing::warn!("heartbeat: {said}"),
        Observation::Completed(HookAnswer::Failed(said)) => tracing::warn!("{said}"),
        Observation::Volumes(Err(said)) => tracing::warn!("attached volumes: {said}"),
        _ => {}
    }
}
