//! A drain that goes on: what its observations mean, and what is to be done next.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use super::attempt::Attempt;
use super::event::Moment;
use super::evictions::{Evictions, Time};
use super::heartbeat::Heartbeat;
use super::rules::Rules;
use super::state::{Drained, Draining, State, Volumes};
use super::step::{Effect, Observation};

/// Between two looks at volumes that are attached still.
const VOLUMES_AGAIN: Duration = Duration::from_secs(1);

impl Draining {
    pub(super) fn begun(now: Moment) -> Self {
        Self {
            began: now,
            cordon: Attempt::due(now),
            cordoned: None,
            evictions: Evictions::default(),
            volumes: Volumes::default(),
            heartbeat: None,
        }
    }

    /// Another drain after one that is over: what is known of pods stays known, new ones may be here.
    pub(super) fn again(drained: &Drained, now: Moment) -> Self {
        let mut evictions = drained.evictions.clone();
        evictions.interrupted(now);
        Self { evictions, ..Self::begun(now) }
    }

    pub(super) fn ended(&self, hook_waits: bool, now: Moment) -> State {
        let evictions = self.evictions.clone();
        let drained = Drained { began: self.began, cordoned: self.cordoned, ended: now, evictions };
        if !hook_waits {
            return State::Left { drained };
        }
        let beating = self.heartbeat.as_ref().is_some_and(|heartbeat| heartbeat.under_way);
        State::Completing { drained, call: Attempt::due(now), began: now, beating }
    }

    pub(super) fn take(&mut self, observed: Observation, rules: &Rules, now: Moment) {
        match observed {
            Observation::Cordoned(answer) => {
                self.cordon.answer(answer, now);
                if self.cordon == Attempt::Done {
                    self.cordoned.get_or_insert(now);
                }
            }
            Observation::Pods(pods) => self.evictions.list(pods, rules, now),
            Observation::Pod(pod) => self.evictions.see(pod, rules, now),
            Observation::PodGone(uid) => self.evictions.gone(&uid, now),
            Observation::Answered(uid, answer) => self.evictions.answered(&uid, answer, now),
            Observation::Volumes(Ok(0)) => self.volumes = Volumes::Detached,
            Observation::Volumes(counted) => {
                let count = counted.unwrap_or(1);
                self.volumes = Volumes::Attached { count, again: now + VOLUMES_AGAIN };
            }
            Observation::Beaten(answer) => {
                if let Some(heartbeat) = &mut self.heartbeat {
                    heartbeat.answered(&answer, now);
                }
            }
            _ => {}
        }
    }

    /// When load balancers have let go of the node; at least half of the time is the pods'. A node
    /// that cannot be cordoned is not waited for.
    pub(super) fn deregistered(&self, time: Time, rules: &Rules) -> Option<Moment> {
        match (&self.cordon, self.cordoned) {
            (Attempt::Refused(_), _) => Some(time.began),
            (_, Some(at)) => Some(at + rules.deregistration.min(time.end.since(at) / 2)),
            (_, None) => None,
        }
    }

    fn may_evict(&self, time: Time, rules: &Rules) -> bool {
        self.deregistered(time, rules).is_some_and(|at| at <= time.now)
    }

    pub(super) fn is_over(&self, time: Time, rules: &Rules) -> bool {
        let detached = !self.evictions.had_volumes() || self.volumes == Volumes::Detached;
        self.may_evict(time, rules) && self.evictions.are_over() && detached
    }

    pub(super) fn act(
        &mut self,
        time: Time,
        hook_seen: Option<Moment>,
        rules: &Rules,
    ) -> Vec<Effect> {
        let now = time.now;
        let mut effects = Vec::new();
        if self.cordon.begins(now) {
            effects.push(Effect::Cordon { exclude: true });
        }
        // Another event has another action.
        self.heartbeat = self.heartbeat.take().filter(|it| Some(it.of) == hook_seen);
        if let (Some(seen), Some(timeout)) = (hook_seen, rules.hook_timeout) {
            let heartbeat = self.heartbeat.get_or_insert_with(|| Heartbeat::of(seen, timeout));
            effects.extend(heartbeat.begins(now, timeout).then_some(Effect::Heartbeat));
        }
        if self.may_evict(time, rules) {
            self.evictions.ask(time, rules, &mut effects);
        }
        if self.evictions.are_over() && self.evictions.had_volumes() && self.volumes.are_due(now) {
            self.volumes = Volumes::Asked;
            effects.push(Effect::LookAtVolumes);
        }
        effects
    }

    pub(super) fn wake(&self, time: Time, rules: &Rules) -> Option<Moment> {
        let evictions = if self.may_evict(time, rules) {
            self.evictions.wake(time, rules)
        } else {
            self.deregistered(time, rules)
        };
        let heartbeat = self.heartbeat.as_ref().and_then(Heartbeat::wake);
        let volumes = match self.volumes {
            Volumes::Attached { again, .. } if self.evictions.are_over() => Some(again),
            _ => None,
        };
        let all = [Some(time.end), self.cordon.wake(), evictions, heartbeat, volumes];
        all.into_iter().flatten().min()
    }
}

impl Volumes {
    fn are_due(&self, now: Moment) -> bool {
        match self {
            Self::Unknown => true,
            Self::Attached { again, .. } => *again <= now,
            Self::Asked | Self::Detached => false,
        }
    }
}
