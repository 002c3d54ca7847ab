//! The drain, as a function: what is known and what was observed give what is known next, and what
//! to do. No I/O, no clock: whoever calls it writes the answer down, and then does what it says.
//!
//! Nothing in here assumes that an effect happened: only its observed answer counts, and an effect
//! whose answer was lost comes again. All of them may come twice.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use super::attempt::Attempt;
use super::event::{Announced, Moment};
use super::evictions::{Answer, Time};
use super::pod::{Pod, Uid};
use super::rules::{Asks, Rules, SETTLED_AFTER, global_limit};
use super::state::{Draining, Event, HookEnd, Leaving, State, Volumes};

/// Something that was seen or answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Observation {
    /// Time went on.
    Tick,
    /// All that is announced now.
    Standing(Vec<Announced>),
    Cordoned(NodeAnswer),
    Uncordoned(NodeAnswer),
    /// All pods of the node.
    Pods(Vec<Pod>),
    Pod(Pod),
    PodGone(Uid),
    /// To an eviction or a deletion.
    Answered(Uid, Answer),
    /// How many volumes are attached.
    Volumes(Result<usize, String>),
    Beaten(HookAnswer),
    Completed(HookAnswer),
}

/// What the API server said to a change of the Node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeAnswer {
    Done,
    /// It would be refused again.
    Refused(String),
    Failed(String),
}

/// What Auto Scaling said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookAnswer {
    Done,
    /// "No active Lifecycle Action found".
    NothingPending,
    Failed(String),
}

/// Something to do. Each is answered by an observation, but for `Evict` and `Delete` of a pod that is
/// gone before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// The Node takes no new pods; where `exclude`, load balancers leave it out, else it is theirs.
    Cordon {
        exclude: bool,
    },
    /// What we cordoned, and nobody else, takes pods again.
    Uncordon,
    /// `grace` is less than the pod's own.
    Evict {
        pod: Pod,
        grace: Option<Duration>,
    },
    Delete {
        pod: Pod,
        grace: Duration,
    },
    LookAtVolumes,
    Heartbeat,
    /// CONTINUE for our hook.
    Complete,
}

/// The state after `observed`, and what to do once it is written down.
pub fn step(
    mut leaving: Leaving,
    observed: Observation,
    rules: &Rules,
    now: Moment,
) -> (Leaving, Vec<Effect>) {
    leaving.take(observed, rules, now);
    leaving.forget_withdrawn(now);
    // A state may be over as soon as it begins.
    while leaving.turn(rules, now) {}
    let effects = leaving.act(rules, now);
    (leaving, effects)
}

impl Leaving {
    /// As it goes on in another run of the program, which may be after a reboot.
    pub fn resumed(mut self, now: Moment) -> Self {
        for event in &mut self.events {
            event.unconfirmed = true;
        }
        match &mut self.state {
            State::Serving | State::Left { .. } => {}
            State::Cordoned { cordon } => cordon.interrupted(now),
            State::Returning { uncordon } => uncordon.interrupted(now),
            State::Completing { call, beating, .. } => {
                call.interrupted(now);
                *beating = false;
            }
            State::Draining(draining) => {
                draining.cordon.interrupted(now);
                draining.evictions.interrupted(now);
                draining.volumes = Volumes::Unknown;
                if let Some(heartbeat) = &mut draining.heartbeat {
                    heartbeat.under_way = false;
                }
            }
        }
        self
    }

    /// Whether somebody has to tell about the node's pods.
    pub fn wants_pods(&self) -> bool {
        matches!(self.state, State::Draining(_))
    }

    /// When time alone changes something.
    pub fn wake(&self, rules: &Rules, now: Moment) -> Option<Moment> {
        let events = self
            .events
            .iter()
            .flat_map(|event| [Some(event.from).filter(|from| *from > now), event.withdrawn_at()]);
        let state = match &self.state {
            State::Serving | State::Left { .. } => None,
            State::Cordoned { cordon } => cordon.wake(),
            State::Returning { uncordon } => uncordon.wake(),
            State::Completing { beating: true, .. } => None,
            State::Completing { call, .. } => call.wake(),
            State::Draining(draining) => {
                let end = self.end(rules, now).unwrap_or(now);
                draining.wake(Time { began: draining.began, now, end }, rules)
            }
        };
        events.flatten().chain(state).min()
    }

    fn take(&mut self, observed: Observation, rules: &Rules, now: Moment) {
        if let Observation::Standing(standing) = observed {
            return self.stand(standing, rules, now);
        }
        match (&mut self.state, observed) {
            (State::Cordoned { cordon }, Observation::Cordoned(answer)) => {
                cordon.answer(answer, now)
            }
            (State::Returning { uncordon }, Observation::Uncordoned(answer)) => {
                uncordon.answer(answer, now);
            }
            (State::Completing { beating, .. }, Observation::Beaten(_)) => *beating = false,
            (State::Completing { .. }, Observation::Completed(answer)) => {
                self.completed(answer, rules, now);
            }
            (State::Draining(draining), observed) => draining.take(observed, rules, now),
            _ => {}
        }
    }

    /// An announcement that was there before is the same one, whatever came between.
    fn stand(&mut self, standing: Vec<Announced>, rules: &Rules, now: Moment) {
        let stands =
            |event: &Event| standing.iter().any(|announced| announced.id == event.announced.id);
        // What an earlier run was told may have ended while there was none: its hook's name may be
        // that of another action by now.
        self.events.retain(|event| stands(event) || !event.unconfirmed);
        for event in &mut self.events {
            event.absent_since =
                if stands(event) { None } else { event.absent_since.or(Some(now)) };
            event.unconfirmed = false;
        }
        for announced in standing {
            if !self.events.iter().any(|event| event.announced.id == announced.id) {
                self.events.push(Event::new(announced, now, rules));
            }
        }
    }

    fn forget_withdrawn(&mut self, now: Moment) {
        self.events.retain(|event| event.withdrawn_at().is_none_or(|at| at > now));
    }

    /// Goes on to the next state, where this one is over.
    fn turn(&mut self, rules: &Rules, now: Moment) -> bool {
        let next = self.next(rules, now);
        let turns = next.is_some();
        self.state = next.unwrap_or_else(|| std::mem::take(&mut self.state));
        turns
    }

    fn next(&self, rules: &Rules, now: Moment) -> Option<State> {
        let hook_waits = self.hooks(rules).next().is_some();
        let draining = || State::Draining(Draining::begun(now));
        match (&self.state, self.asked(rules, now)) {
            (State::Serving, None) => None,
            (State::Serving, Some(Asks::Drain)) => Some(draining()),
            // Waited for, so that its answer is not taken for that of a later change.
            (State::Cordoned { cordon: change } | State::Returning { uncordon: change }, _)
                if change.is_under_way() =>
            {
                None
            }
            (State::Cordoned { .. }, Some(Asks::Cordon)) => None,
            // Also where what asked for a drain is withdrawn: load balancers may have the node again.
            (State::Serving | State::Draining(_) | State::Left { .. }, Some(Asks::Cordon)) => {
                Some(State::Cordoned { cordon: Attempt::due(now) })
            }
            (State::Cordoned { .. }, Some(Asks::Drain)) => Some(draining()),
            (State::Returning { .. }, Some(_)) => Some(State::Serving),
            (State::Returning { uncordon }, None) => uncordon.is_over().then_some(State::Serving),
            (_, None) => Some(State::Returning { uncordon: Attempt::due(now) }),
            (State::Draining(draining), Some(_)) => {
                let end = self.end(rules, now).unwrap_or(now);
                let time = Time { began: draining.began, now, end };
                let over = end <= now || draining.is_over(time, rules);
                over.then(|| draining.ended(hook_waits, now))
            }
            (State::Completing { drained, .. }, Some(_)) => {
                (!hook_waits).then(|| State::Left { drained: drained.clone() })
            }
            // There may be new pods since, and a hook that waits.
            (State::Left { drained }, Some(_)) => {
                let again = hook_waits || self.is_asked_anew(drained.ended, rules, now);
                again.then(|| State::Draining(Draining::again(drained, now)))
            }
        }
    }

    fn act(&mut self, rules: &Rules, now: Moment) -> Vec<Effect> {
        let end = self.end(rules, now).unwrap_or(now);
        let hook_seen = self.hooks(rules).map(|event| event.seen).min();
        let once = |begins: bool, effect| begins.then_some(effect).into_iter().collect();
        match &mut self.state {
            State::Serving | State::Left { .. } => Vec::new(),
            State::Cordoned { cordon } => {
                once(cordon.begins(now), Effect::Cordon { exclude: false })
            }
            State::Returning { uncordon } => once(uncordon.begins(now), Effect::Uncordon),
            // What is said last must be the last that Auto Scaling hears.
            State::Completing { beating, call, began, .. } => {
                let begins = !*beating && call.begins(now);
                *began = if begins { now } else { *began };
                once(begins, Effect::Complete)
            }
            State::Draining(draining) => {
                draining.act(Time { began: draining.began, now, end }, hook_seen, rules)
            }
        }
    }

    /// What Auto Scaling said to CONTINUE.
    fn completed(&mut self, answer: HookAnswer, rules: &Rules, now: Moment) {
        let State::Completing { call, began, .. } = &mut self.state else { return };
        if !matches!(call, Attempt::UnderWay { .. }) {
            return;
        }
        let timeout = rules.hook_timeout.unwrap_or_default();
        let settled = |event: &Event| now.since(event.seen) >= SETTLED_AFTER;
        let over = |event: &Event| now.since(event.seen) >= global_limit(timeout);
        let mut again = false;
        for event in self.events.iter_mut().filter(|event| event.hook_waits(rules)) {
            event.hook = match &answer {
                // What was announced since has an action of its own.
                HookAnswer::Done if event.seen <= *began => Some(HookEnd::Completed),
                HookAnswer::NothingPending if settled(event) => Some(HookEnd::NothingPending),
                HookAnswer::Failed(said) if over(event) => Some(HookEnd::GivenUp(said.clone())),
                _ => None,
            };
            again |= event.hook.is_none();
        }
        if again {
            call.failed(now);
        } else {
            *call = Attempt::Done;
        }
    }
}
