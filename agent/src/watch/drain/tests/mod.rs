//! Drains as stories: what is observed, and what is done then. Defects that others reported of their
//! handlers are named where we would have them too (aws/aws-node-termination-handler, "NTH").

mod hook;
mod pods;
mod returns;

use std::time::Duration;

use super::event::{Announced, EventId, Kind, Moment};
use super::evictions::Answer;
use super::pod::{Pod, Uid};
use super::rules::Rules;
use super::state::{HookEnd, Leaving};
use super::step::{Effect, NodeAnswer, Observation, step};
use crate::config::{OnRebalance, WhenRefused};

struct Story {
    rules: Rules,
    leaving: Leaving,
    now: Moment,
}

fn at(seconds: u64) -> Moment {
    Moment::after_boot(Duration::from_secs(seconds))
}

fn id(kind: Kind, name: &str) -> EventId {
    EventId { kind, name: name.to_owned() }
}

fn termination() -> Announced {
    Announced { id: id(Kind::Termination, "Terminated"), at: None }
}

fn warm_pool(state: &str) -> Announced {
    Announced { id: id(Kind::WarmPool, state), at: None }
}

fn spot(seconds: u64) -> Announced {
    Announced { id: id(Kind::Spot, "2026-11-25T09:02:00Z"), at: Some(at(seconds)) }
}

fn rebalance() -> Announced {
    Announced { id: id(Kind::Rebalance, "2026-11-25T09:00:00Z"), at: None }
}

fn maintenance(seconds: u64) -> Announced {
    Announced { id: id(Kind::Maintenance, "instance-event-1"), at: Some(at(seconds)) }
}

fn pod(name: &str) -> Pod {
    Pod {
        uid: Uid(name.to_owned()),
        namespace: "default".to_owned(),
        name: name.to_owned(),
        grace: Duration::from_secs(30),
        priority: 0,
        ending: false,
        bare: false,
        local_data: false,
        volumes: false,
    }
}

fn evict(name: &str) -> Effect {
    Effect::Evict { pod: pod(name), grace: None }
}

fn refused() -> Answer {
    Answer::Refused { again: None, said: "the budget `web` has none to spare".to_owned() }
}

impl Story {
    fn new() -> Self {
        let rules = Rules {
            hook_timeout: Some(Duration::from_secs(60)),
            deadline: Duration::from_secs(300),
            deregistration: Duration::ZERO,
            when_refused: WhenRefused::Wait,
            on_rebalance: OnRebalance::Cordon,
            bare_pods: true,
            local_data: true,
        };
        Self { rules, leaving: Leaving::default(), now: at(0) }
    }

    fn observe(&mut self, observed: Observation) -> Vec<Effect> {
        let leaving = std::mem::take(&mut self.leaving);
        let (leaving, effects) = step(leaving, observed, &self.rules, self.now);
        self.leaving = leaving;
        effects
    }

    fn stands(&mut self, announced: &[Announced]) -> Vec<Effect> {
        self.observe(Observation::Standing(announced.to_vec()))
    }

    fn later(&mut self, seconds: u64) -> Vec<Effect> {
        self.now = self.now + Duration::from_secs(seconds);
        self.observe(Observation::Tick)
    }

    fn answered(&mut self, name: &str, answer: Answer) -> Vec<Effect> {
        self.observe(Observation::Answered(Uid(name.to_owned()), answer))
    }

    fn gone(&mut self, name: &str) -> Vec<Effect> {
        self.observe(Observation::PodGone(Uid(name.to_owned())))
    }

    /// Announced, cordoned, and its pods known.
    fn draining(announced: &[Announced], pods: &[Pod]) -> (Self, Vec<Effect>) {
        let mut story = Self::new();
        let effects = story.begins(announced, pods);
        (story, effects)
    }

    fn begins(&mut self, announced: &[Announced], pods: &[Pod]) -> Vec<Effect> {
        assert_eq!(self.stands(announced), [Effect::Cordon { exclude: true }]);
        assert_eq!(self.observe(Observation::Cordoned(NodeAnswer::Done)), []);
        self.observe(Observation::Pods(pods.to_vec()))
    }

    fn hook(&self) -> Option<&HookEnd> {
        self.leaving.events.iter().find_map(|event| event.hook.as_ref())
    }
}

impl std::fmt::Debug for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at {:?}: {:#?}", self.now, self.leaving)
    }
}
