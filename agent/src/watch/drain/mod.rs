//! How a node leaves: AWS announces it, the pods move, and the group's hook is completed, once.
//!
//! [`step`](step::step) decides everything and does nothing; the rest of the folder observes for it,
//! writes down what it decided, and does it. [`Drainer`] is the node that drains itself, [`by_hand`] an
//! operator who drains one.

mod access;
mod attempt;
pub mod by_hand;
mod cluster;
mod drainer;
mod draining;
mod engine;
mod event;
mod evictions;
#[cfg(test)]
mod explore;
mod foreseen;
mod heartbeat;
mod hook;
mod journal;
#[cfg(test)]
mod model;
mod numbers;
mod pod;
mod pods;
mod report;
mod resting;
mod rules;
mod said;
mod shutdown;
mod sources;
mod state;
mod step;
mod telling;
#[cfg(test)]
mod tests;
mod waits;
mod webhook;

pub use self::cluster::is_marked;
pub use self::drainer::Drainer;
pub use self::event::{Announced, At, EventId, Kind, Moment};
pub use self::evictions::{Answer, Evictee, Evictions, Progress};
pub use self::foreseen::{Foreseen, Staying};
pub use self::journal::{JOURNAL, Kept, ensure_begun};
pub use self::numbers::Numbers;
pub use self::pod::{Pod, Uid};
pub use self::rules::Rules;
pub use self::state::{Drained, Draining, Event, HookEnd, Leaving, State};
pub use self::step::{Effect, HookAnswer, NodeAnswer, Observation, step};
