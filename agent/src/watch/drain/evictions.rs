//! The pods that have to leave: whom to ask now, and what their answers mean.
//!
//! All that may go go at once; critical ones when the others are gone. A refusal (429: a disruption
//! budget) is asked again for as long as the pod would still have its grace; then it is deleted where
//! the group's policy says so.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attempt::pause;
use super::event::Moment;
use super::pod::{Pod, Uid};
use super::rules::Rules;
use super::step::Effect;
use crate::config::WhenRefused;

/// A budget is not asked more often than this, whatever the server says.
const REFUSED_PAUSE: Duration = Duration::from_millis(500);

/// The least that a pod gets to end, however late it is.
const LEAST_GRACE: Duration = Duration::from_secs(1);

/// All pods of the node that have to leave, those that have left too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Evictions {
    /// Whether all pods are known.
    pub listed: bool,
    pub pods: BTreeMap<Uid, Evictee>,
}

/// One pod, and what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Evictee {
    pub pod: Pod,
    pub progress: Progress,
    /// When it was first asked to leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Moment>,
    #[serde(default)]
    pub refusals: u32,
    /// What was said last, where it was not a yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// It was deleted, past its disruption budget or with less than its own grace.
    #[serde(default)]
    pub forced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// To be asked, at that time or later.
    Waits {
        at: Moment,
        failures: u32,
    },
    Asked {
        failures: u32,
    },
    /// It ends by itself now.
    Ending,
    Gone {
        at: Moment,
    },
}

/// What the API server said to an eviction or a deletion.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    Granted,
    /// 429, by a disruption budget or because the server has too much to do.
    Refused {
        again: Option<Duration>,
        said: String,
    },
    /// There is no such pod any more: 404, or 409 of the UID.
    Gone,
    Failed(String),
}

/// What pods have time for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    pub began: Moment,
    pub now: Moment,
    pub end: Moment,
}

impl Evictions {
    /// These are all the pods of the node.
    pub(super) fn list(&mut self, pods: Vec<Pod>, rules: &Rules, now: Moment) {
        let here: Vec<&Uid> = pods.iter().map(|pod| &pod.uid).collect();
        for (uid, evictee) in &mut self.pods {
            if !here.contains(&uid) {
                evictee.gone(now);
            }
        }
        self.listed = true;
        pods.into_iter().for_each(|pod| self.see(pod, rules, now));
    }

    /// A pod as it is now.
    pub(super) fn see(&mut self, pod: Pod, rules: &Rules, now: Moment) {
        if rules.keeps(&pod).is_some() {
            return;
        }
        let first = || Evictee {
            pod: pod.clone(),
            progress: Progress::Waits { at: now, failures: 0 },
            asked: None,
            refusals: 0,
            said: None,
            forced: false,
        };
        let evictee = self.pods.entry(pod.uid.clone()).or_insert_with(first);
        match evictee.progress {
            Progress::Waits { .. } if pod.ending => evictee.progress = Progress::Ending,
            // It was believed gone, and is here.
            Progress::Gone { .. } => evictee.progress = Progress::Waits { at: now, failures: 0 },
            _ => {}
        }
        evictee.pod = pod;
    }

    /// A pod is no more.
    pub(super) fn gone(&mut self, uid: &Uid, now: Moment) {
        if let Some(evictee) = self.pods.get_mut(uid) {
            evictee.gone(now);
        }
    }

    pub(super) fn answered(&mut self, uid: &Uid, answer: Answer, now: Moment) {
        if let Some(evictee) = self.pods.get_mut(uid) {
            evictee.answered(answer, now);
        }
    }

    /// Whom to ask now.
    pub(super) fn ask(&mut self, time: Time, rules: &Rules, effects: &mut Vec<Effect>) {
        if !self.listed {
            return;
        }
        let critical_too = self.left().all(|evictee| evictee.pod.is_critical());
        let mut due: Vec<&mut Evictee> = self
            .pods
            .values_mut()
            .filter(|it| critical_too || !it.pod.is_critical() || it.last_call(time) <= time.now)
            .collect();
        due.sort_by_key(|evictee| evictee.pod.priority);
        effects.extend(due.into_iter().filter_map(|evictee| evictee.ask(time, rules)));
    }

    /// When somebody is to be asked next.
    pub(super) fn wake(&self, time: Time, rules: &Rules) -> Option<Moment> {
        let critical_too = self.left().all(|evictee| evictee.pod.is_critical());
        let moments = self.left().filter(|_| self.listed).filter_map(|evictee| {
            let last_call = evictee.last_call(time);
            let waits_for_others = evictee.pod.is_critical() && !critical_too;
            match evictee.progress {
                Progress::Waits { at, .. } if waits_for_others => Some(at.max(last_call)),
                Progress::Waits { at, .. } if evictee.refused_is_forced(rules) => {
                    Some(at.min(last_call))
                }
                Progress::Waits { at, .. } => Some(at),
                Progress::Ending if evictee.end_is_forced(time, rules) => Some(last_call),
                _ => None,
            }
        });
        moments.min()
    }

    /// Those that are here still.
    pub fn left(&self) -> impl Iterator<Item = &Evictee> {
        self.pods.values().filter(|evictee| !matches!(evictee.progress, Progress::Gone { .. }))
    }

    /// All pods are known and gone.
    pub(super) fn are_over(&self) -> bool {
        self.listed && self.left().next().is_none()
    }

    /// Whether a volume may have to be detached for another node.
    pub(super) fn had_volumes(&self) -> bool {
        self.pods.values().any(|evictee| evictee.pod.volumes)
    }

    /// The program that asked is no more, and so is what it had heard of pods.
    pub(super) fn interrupted(&mut self, now: Moment) {
        self.listed = false;
        for evictee in self.pods.values_mut() {
            if let Progress::Asked { failures } = evictee.progress {
                evictee.progress = Progress::Waits { at: now, failures };
            }
        }
    }
}

impl Evictee {
    fn gone(&mut self, now: Moment) {
        if !matches!(self.progress, Progress::Gone { .. }) {
            self.progress = Progress::Gone { at: now };
        }
    }

    /// From then on it would not have its grace before the end. A grace that is longer than half of
    /// the time counts as that half: somebody has to be asked first.
    fn last_call(&self, time: Time) -> Moment {
        time.end - self.pod.grace.min(time.end.since(time.began) / 2)
    }

    fn may_be_forced(&self, rules: &Rules) -> bool {
        rules.when_refused == WhenRefused::Delete && !self.forced
    }

    /// It was refused, by a budget or by somebody's webhook, and at the last call that is not heeded
    /// any more.
    fn refused_is_forced(&self, rules: &Rules) -> bool {
        self.said.is_some() && self.may_be_forced(rules)
    }

    /// It ends, and was given more time than there is: by somebody else, or by us before the end came
    /// nearer.
    fn end_is_forced(&self, time: Time, rules: &Rules) -> bool {
        let too_long = self.asked.is_none_or(|asked| asked + self.pod.grace > time.end);
        too_long && self.may_be_forced(rules)
    }

    fn ask(&mut self, time: Time, rules: &Rules) -> Option<Effect> {
        let late = self.last_call(time) <= time.now;
        let (failures, force) = match self.progress {
            Progress::Waits { failures, .. } if late && self.refused_is_forced(rules) => {
                (failures, true)
            }
            Progress::Waits { at, failures } if at <= time.now => (failures, false),
            Progress::Ending if late && self.end_is_forced(time, rules) => (0, true),
            _ => return None,
        };
        self.progress = Progress::Asked { failures };
        self.asked.get_or_insert(time.now);
        self.forced |= force;
        let left = time.end.since(time.now).max(LEAST_GRACE);
        let pod = self.pod.clone();
        let grace = left.min(pod.grace);
        self.pod.grace = grace;
        Some(if self.forced {
            Effect::Delete { pod, grace }
        } else {
            Effect::Evict { grace: (pod.grace > grace).then_some(grace), pod }
        })
    }

    fn answered(&mut self, answer: Answer, now: Moment) {
        let Progress::Asked { failures } = self.progress else { return };
        self.progress = match answer {
            Answer::Granted => Progress::Ending,
            Answer::Gone => Progress::Gone { at: now },
            Answer::Refused { again, said } => {
                self.refusals += 1;
                self.said = Some(said);
                let pause = again.unwrap_or_default().max(REFUSED_PAUSE);
                Progress::Waits { at: now + pause, failures: 0 }
            }
            Answer::Failed(said) => {
                self.said = Some(said);
                let failures = failures + 1;
                Progress::Waits { at: now + pause(failures), failures }
            }
        };
    }
}
