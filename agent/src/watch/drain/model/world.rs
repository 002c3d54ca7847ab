//! What AWS, Kubernetes and the program do in the world of the model, and what is true of it.

use std::time::Duration;

use super::super::event::Kind;
use super::super::evictions::Answer;
use super::super::pod::Pod;
use super::super::rules::Rules;
use super::super::state::State;
use super::super::step::{Effect, HookAnswer, NodeAnswer, Observation, step};
use super::{Action, Flying, PODS, PodIs, World, pod};

impl World {
    /// The program observes, writes down what it decides, and begins it.
    pub(super) fn observe(&mut self, observed: Observation, rules: &Rules) {
        let before = self.leaving.clone();
        let (after, effects) = step(before.clone(), observed, rules, self.now);
        if !effects.is_empty()
            || std::mem::discriminant(&before.state) != std::mem::discriminant(&after.state)
        {
            self.written = after.clone();
        }
        let same_events = before.events.len() == after.events.len();
        if matches!(before.state, State::Left { .. }) && after.wants_pods() && same_events {
            self.wrong = Some("a drain that was over began again");
        }
        self.leaving = after;
        self.flying.extend(effects.into_iter().map(Flying::Begun));
        self.flying.sort();
    }

    pub(super) fn gone(&self) -> bool {
        self.pods.iter().all(|pod| *pod == PodIs::Gone)
    }

    /// AWS and Kubernetes do it; what they say.
    pub(super) fn carry_out(&mut self, effect: Effect, rules: &Rules) -> Observation {
        match effect {
            Effect::Cordon { .. } => {
                self.cordoned = true;
                Observation::Cordoned(NodeAnswer::Done)
            }
            Effect::Uncordon => {
                self.cordoned = false;
                Observation::Uncordoned(NodeAnswer::Done)
            }
            Effect::Evict { pod, .. } => self.evict(&pod, false),
            Effect::Delete { pod, .. } => self.evict(&pod, true),
            Effect::LookAtVolumes => Observation::Volumes(Ok(0)),
            Effect::Heartbeat => Observation::Beaten(match &mut self.action {
                Action::Pending { until } => {
                    *until = self.now + Duration::from_secs(30);
                    HookAnswer::Done
                }
                Action::Completed => {
                    self.wrong = Some("a heartbeat came after the completion");
                    HookAnswer::NothingPending
                }
                Action::None | Action::TimedOut => HookAnswer::NothingPending,
            }),
            Effect::Complete => Observation::Completed(match self.action {
                Action::Pending { .. } => {
                    let late = self.leaving.end(rules, self.now).is_some_and(|end| end <= self.now);
                    if !self.gone() && !late {
                        self.wrong = Some("the hook was completed early");
                    }
                    self.action = Action::Completed;
                    HookAnswer::Done
                }
                _ => HookAnswer::NothingPending,
            }),
        }
    }

    pub(super) fn evict(&mut self, pod: &Pod, force: bool) -> Observation {
        let index: usize = pod.uid.0.parse().expect("an index");
        let answer = match self.pods[index] {
            PodIs::Running if index == 0 && self.refusals > 0 && !force => {
                self.refusals -= 1;
                let again = Some(Duration::from_secs(5));
                Answer::Refused { again, said: String::new() }
            }
            PodIs::Running => {
                self.pods[index] = PodIs::Ending;
                Answer::Granted
            }
            PodIs::Ending => Answer::Granted,
            PodIs::Gone => Answer::Gone,
        };
        Observation::Answered(pod.uid.clone(), answer)
    }

    pub(super) fn tell_standing(&mut self, rules: &Rules) {
        self.observe(Observation::Standing(self.visible.clone()), rules);
    }

    pub(super) fn listed(&self) -> Vec<Pod> {
        let here = (0..PODS).filter(|index| self.pods[*index] != PodIs::Gone);
        here.map(|index| Pod { ending: self.pods[index] == PodIs::Ending, ..pod(index) }).collect()
    }

    pub(super) fn wants_list(&self) -> bool {
        matches!(&self.leaving.state, State::Draining(draining) if !draining.evictions.listed)
    }

    /// Only the first of the Node's changes is carried out: they take turns.
    pub(super) fn may_be_carried_out(&self, index: usize) -> bool {
        let of_node = |flying: &Flying| {
            matches!(flying, Flying::Begun(Effect::Cordon { .. } | Effect::Uncordon))
        };
        match &self.flying[index] {
            Flying::Begun(_) if of_node(&self.flying[index]) => {
                self.flying.iter().filter(|it| of_node(it)).count() == 1
                    || self.flying.iter().position(of_node) == Some(index)
            }
            Flying::Begun(_) => true,
            Flying::Answered(_) => false,
        }
    }

    /// Nothing is left to do, in one way or the other.
    pub(super) fn is_over(&self) -> bool {
        match &self.leaving.state {
            State::Left { .. } => !self.visible.is_empty(),
            State::Serving => self.visible.is_empty() && !self.cordoned,
            State::Cordoned { .. } => {
                self.visible.iter().all(|it| it.id.kind == Kind::Rebalance) && self.cordoned
            }
            _ => false,
        }
    }
}

/// What a call says whose answer never comes.
pub(super) fn lost(effect: &Effect) -> Observation {
    let said = || "lost".to_owned();
    match effect {
        Effect::Cordon { .. } => Observation::Cordoned(NodeAnswer::Failed(said())),
        Effect::Uncordon => Observation::Uncordoned(NodeAnswer::Failed(said())),
        Effect::Evict { pod, .. } | Effect::Delete { pod, .. } => {
            Observation::Answered(pod.uid.clone(), Answer::Failed(said()))
        }
        Effect::LookAtVolumes => Observation::Volumes(Err(said())),
        Effect::Heartbeat => Observation::Beaten(HookAnswer::Failed(said())),
        Effect::Complete => Observation::Completed(HookAnswer::Failed(said())),
    }
}
