//! Found against wanted, for routes and rules alike: no I/O. What is found is only what is ours;
//! who else is there shows when something is added.

use std::collections::BTreeSet;

use crate::host::{Entry, Ways};
use crate::plan::network::{PodNetwork, Route, Rule, TRIES};

/// What makes the found the wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// First, so that a way that changes is there all the time: the new one has another metric than
    /// the old one until that is gone.
    pub add: Vec<Entry>,
    pub remove: Vec<Entry>,
}

impl Diff {
    pub fn between(found: &Ways, wanted: &PodNetwork) -> Self {
        let mut diff = Self::default();
        diff.entries(&found.routes, &wanted.routes, Entry::Route);
        diff.entries(&found.rules, &wanted.rules, Entry::Rule);
        diff
    }

    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }

    fn entries<T: Placed>(&mut self, found: &[T], wanted: &BTreeSet<T>, entry: fn(T) -> Entry) {
        let mut left = found.to_vec();
        left.sort();
        for wanted in wanted {
            let range = wanted.place()..wanted.place() + TRIES;
            let meets = |it: &T| range.contains(&it.place()) && it.at(wanted.place()) == *wanted;
            // Sorted: the first is the one that wins.
            if let Some(met) = left.iter().position(meets) {
                left.remove(met);
                continue;
            }
            let held = |place: &u32| {
                found.iter().any(|it| it.place() == *place && it.contends_with(wanted))
            };
            let free = range.clone().find(|place| !held(place)).unwrap_or(range.start);
            self.add.push(entry(wanted.at(free)));
        }
        self.remove.extend(left.into_iter().map(entry));
    }
}

/// Has a place in an order (a metric, a priority) that only one of its kind can have.
pub(super) trait Placed: Clone + Ord {
    fn place(&self) -> u32;
    fn at(&self, place: u32) -> Self;
    /// Whether the two cannot have the same place.
    fn contends_with(&self, other: &Self) -> bool;
}

impl Placed for Route {
    fn place(&self) -> u32 {
        self.metric
    }

    fn at(&self, metric: u32) -> Self {
        Self { metric, ..self.clone() }
    }

    fn contends_with(&self, other: &Self) -> bool {
        (self.destination, self.table) == (other.destination, other.table)
    }
}

impl Placed for Rule {
    fn place(&self) -> u32 {
        self.priority
    }

    fn at(&self, priority: u32) -> Self {
        Self { priority, ..self.clone() }
    }

    fn contends_with(&self, other: &Self) -> bool {
        (self.packets, self.table) == (other.packets, other.table)
    }
}

impl Entry {
    /// The same one place further.
    pub(super) fn next(&self) -> Self {
        match self {
            Self::Route(route) => Self::Route(route.at(route.metric + 1)),
            Self::Rule(rule) => Self::Rule(rule.at(rule.priority + 1)),
        }
    }
}
