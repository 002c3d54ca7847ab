//! How a node leaves: AWS announces it, the pods move, and the group's hook is completed, once.
//!
//! [`step`](step::step) decides everything and does nothing; the rest of the folder observes for it,
//! writes down what it decided, and does it. It asks as the node itself: its kubelet's certificate
//! may do all of this for the node's own pods (Kubernetes, "Using Node Authorization").

mod attempt;
mod cluster;
mod drainer;
mod draining;
mod event;
mod evictions;
#[cfg(test)]
mod explore;
mod heartbeat;
mod hook;
mod journal;
#[cfg(test)]
mod model;
mod pod;
mod pods;
mod rules;
mod said;
mod sources;
mod state;
mod step;
#[cfg(test)]
mod tests;

pub use self::drainer::Drainer;
pub use self::event::{Announced, EventId, Kind, Moment};
pub use self::evictions::{Answer, Evictee, Evictions, Progress};
pub use self::journal::{JOURNAL, Kept};
pub use self::pod::{Pod, Uid};
pub use self::rules::Rules;
pub use self::state::{Drained, Draining, Event, HookEnd, Leaving, State};
pub use self::step::{Effect, HookAnswer, NodeAnswer, Observation, step};
