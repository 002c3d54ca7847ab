//! What of a drain can be counted, for metrics.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use super::event::At;
use super::evictions::{Evictions, Progress};
use super::rules::Rules;
use super::state::Leaving;

/// How far the node's leaving is, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// As [`State::name`](super::State::name) says it.
    pub state: &'static str,
    /// What is announced, by kind.
    pub announced: BTreeMap<&'static str, u64>,
    /// Until when pods have time, in seconds since 1970; only while they leave.
    pub end: Option<i64>,
    /// Pods that have to leave, by how far they are.
    pub pods: BTreeMap<&'static str, u64>,
    pub refusals: u64,
    pub forced: u64,
}

impl Numbers {
    pub(super) fn of(leaving: &Leaving, rules: &Rules, at: At) -> Self {
        let mut announced = BTreeMap::new();
        for event in &leaving.events {
            *announced.entry(event.announced.id.kind.name()).or_default() += 1;
        }
        let end = leaving.until(rules, at.moment);
        let counted = Self {
            state: leaving.state.name(),
            announced,
            end: end.map(|end| at.time_of(end).unix_timestamp()),
            ..Self::default()
        };
        leaving.state.evictions().into_iter().fold(counted, Self::with)
    }

    fn with(mut self, evictions: &Evictions) -> Self {
        for evictee in evictions.pods.values() {
            *self.pods.entry(evictee.progress.name()).or_default() += 1;
            self.refusals += u64::from(evictee.refusals);
            self.forced += u64::from(evictee.forced);
        }
        self
    }
}

impl Progress {
    /// As metrics and `windlass status` call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waits { .. } => "waiting",
            Self::Asked { .. } => "asked",
            Self::Ending => "ending",
            Self::Gone { .. } => "gone",
        }
    }
}
