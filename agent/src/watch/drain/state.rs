//! What is known of this node's leaving. It is written down before each effect, so everything in
//! here outlives the program; what was under way then is begun again.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::event::{Announced, Kind, Moment};
use super::evictions::Evictions;
use super::heartbeat::Heartbeat;
use super::rules::{Asks, CALLED_AFTER, Rules, WITHDRAWN_AFTER};

/// States of a warm pool in which a machine keeps what it has in memory.
const RUNNING: &str = "Warmed:Running";
const HIBERNATED: &str = "Warmed:Hibernated";

/// Why the node leaves, and how far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Leaving {
    /// What was announced and is not withdrawn, in the order in which it was seen.
    pub events: Vec<Event>,
    pub state: State,
}

/// An announcement that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Event {
    #[serde(flatten)]
    pub announced: Announced,
    pub seen: Moment,
    /// From when on it is acted upon.
    pub from: Moment,
    /// Until when pods have time.
    pub end: Moment,
    /// Since when it is not announced any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_since: Option<Moment>,
    /// It was announced to an earlier run of the program, and not to this one yet.
    #[serde(skip)]
    pub unconfirmed: bool,
    /// What became of our hook's action for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookEnd>,
}

/// How a lifecycle action ended, as far as this node knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookEnd {
    /// CONTINUE took effect.
    Completed,
    /// There was none: somebody else completed it, it timed out, or the hook has another name.
    NothingPending,
    /// Auto Scaling took no call until the action must have timed out.
    GivenUp(String),
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum State {
    /// In service.
    #[default]
    Serving,
    /// No new pods come; those that are here stay.
    Cordoned { cordon: Attempt },
    /// Pods leave.
    Draining(Draining),
    /// As empty as it gets in time: the group is told to go on.
    Completing { drained: Drained, call: Attempt, began: Moment, beating: bool },
    /// Nothing is left to do but for the instance to end.
    Left { drained: Drained },
    /// What was announced is withdrawn or over: pods may come again.
    Returning { uncordon: Attempt },
}

/// A drain that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Draining {
    pub began: Moment,
    pub cordon: Attempt,
    /// Since when load balancers leave it out.
    pub cordoned: Option<Moment>,
    pub evictions: Evictions,
    pub volumes: Volumes,
    pub heartbeat: Option<Heartbeat>,
}

/// A drain that is over.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Drained {
    pub began: Moment,
    /// Since when load balancers leave it out.
    pub cordoned: Option<Moment>,
    pub ended: Moment,
    pub evictions: Evictions,
}

/// The volumes of its pods that are attached still.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Volumes {
    #[default]
    Unknown,
    Asked,
    Attached {
        count: usize,
        again: Moment,
    },
    Detached,
}

impl State {
    /// As metrics and `windlass status` call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Cordoned { .. } => "cordoned",
            Self::Draining(_) => "draining",
            Self::Completing { .. } => "completing",
            Self::Left { .. } => "left",
            Self::Returning { .. } => "returning",
        }
    }

    /// The pods that leave, or left.
    pub fn evictions(&self) -> Option<&Evictions> {
        match self {
            Self::Draining(draining) => Some(&draining.evictions),
            Self::Completing { drained, .. } | Self::Left { drained } => Some(&drained.evictions),
            Self::Serving | Self::Cordoned { .. } | Self::Returning { .. } => None,
        }
    }
}

impl Event {
    pub(super) fn new(announced: Announced, now: Moment, rules: &Rules) -> Self {
        let from = rules.from(&announced, now);
        let end = rules.end(&announced, from);
        Self { announced, seen: now, from, end, absent_since: None, unconfirmed: false, hook: None }
    }

    pub(super) fn withdrawn_at(&self) -> Option<Moment> {
        let warm = self.announced.id.kind == Kind::WarmPool;
        Some(self.absent_since? + if warm { CALLED_AFTER } else { WITHDRAWN_AFTER })
    }

    fn asks(&self, rules: &Rules, now: Moment) -> Option<Asks> {
        (self.from <= now).then(|| rules.asks(self.announced.id.kind))
    }

    /// Its hook's action waits for us.
    pub(super) fn hook_waits(&self, rules: &Rules) -> bool {
        self.hook.is_none() && rules.has_hook(self.announced.id.kind)
    }
}

impl Leaving {
    /// The most that is asked for now.
    pub(super) fn asked(&self, rules: &Rules, now: Moment) -> Option<Asks> {
        self.events.iter().filter_map(|event| event.asks(rules, now)).max()
    }

    /// Until when pods have time: the nearest end of what asks the most.
    pub fn end(&self, rules: &Rules, now: Moment) -> Option<Moment> {
        let most = self.asked(rules, now);
        let asks = |event: &&Event| most.is_some() && event.asks(rules, now) == most;
        self.events.iter().filter(asks).map(|event| event.end).min()
    }

    /// Until when pods have time, while they leave.
    pub fn until(&self, rules: &Rules, now: Moment) -> Option<Moment> {
        let leave = matches!(self.state, State::Draining(_) | State::Completing { .. });
        self.end(rules, now).filter(|_| leave)
    }

    /// Such an end is announced, and nothing is left to do before it.
    pub(super) fn is_ready_for(&self, kind: Kind) -> bool {
        let announced = self.events.iter().any(|event| event.announced.id.kind == kind);
        announced && matches!(self.state, State::Left { .. })
    }

    /// A drain is asked for by what came after `ended`. A machine that goes down after it was emptied
    /// is no reason to empty it.
    pub(super) fn is_asked_anew(&self, ended: Moment, rules: &Rules, now: Moment) -> bool {
        let anew = |event: &Event| {
            let came_after = event.from > ended && event.announced.id.kind != Kind::Shutdown;
            came_after && event.asks(rules, now) == Some(Asks::Drain)
        };
        self.events.iter().any(anew)
    }

    /// Drained into a warm pool that stops no machine.
    pub fn rests_running(&self) -> bool {
        let running = |event: &Event| {
            let id = &event.announced.id;
            id.kind == Kind::WarmPool && matches!(id.name.as_str(), RUNNING | HIBERNATED)
        };
        matches!(self.state, State::Left { .. }) && self.events.iter().any(running)
    }

    /// Nothing is announced, and what was done to the Node is taken back, if anything was.
    pub(super) fn returning(now: Moment) -> Self {
        Self { state: State::Returning { uncordon: Attempt::due(now) }, ..Self::default() }
    }

    /// In another boot of the kernel. A shutdown is over by that. The machine may have been stopped in the
    /// warm pool, served again since, and be on its way back: that is another action of the hook, under
    /// the same name.
    pub(super) fn in_another_boot(mut self) -> Self {
        self.events.retain(|event| event.announced.id.kind != Kind::Shutdown);
        let pool = |event: &&mut Event| event.announced.id.kind == Kind::WarmPool;
        self.events.iter_mut().filter(pool).for_each(|event| event.hook = None);
        self
    }

    /// The events whose hook waits for us.
    pub(super) fn hooks<'a>(&'a self, rules: &'a Rules) -> impl Iterator<Item = &'a Event> {
        self.events.iter().filter(|event| event.hook_waits(rules))
    }
}
