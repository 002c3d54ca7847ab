//! How long things may take: what the group's configuration says, and what follows from it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use super::event::{Announced, Kind, Moment};
use super::pod::Pod;
use crate::config::{Drain, NodeConfig, OnRebalance, Treatment, WhenRefused};

/// Kept of every deadline, for the call that completes the hook and for a retry of it.
pub const RESERVE: Duration = Duration::from_secs(5);

/// An announcement is withdrawn when it was not there for so long: one answer of IMDS without it,
/// between two with it, is none.
pub const WITHDRAWN_AFTER: Duration = Duration::from_secs(10);

/// That of a warm pool is withdrawn sooner: IMDS does not leave it out then, but says another state in
/// its place, and the group counts on the node.
pub const CALLED_AFTER: Duration = Duration::from_secs(3);

/// IMDS may tell of a termination before Auto Scaling knows its lifecycle action: for so long, "No
/// active Lifecycle Action" is not believed.
pub const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// "You can keep the instance in a wait state for a maximum of 48 hours or 100 times the heartbeat
/// timeout, whichever is smaller." (Amazon EC2 Auto Scaling User Guide, "How lifecycle hooks work")
const GLOBAL_LIMIT: Duration = Duration::from_secs(48 * 3600);
const GLOBAL_TIMES: u32 = 100;

/// What a drain goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The heartbeat timeout of the group's termination hook, where it has one.
    pub hook_timeout: Option<Duration>,
    /// What a drain may take where AWS sets no earlier end.
    pub deadline: Duration,
    /// What load balancers need to let go of a node that is excluded from them.
    pub deregistration: Duration,
    pub when_refused: WhenRefused,
    pub on_rebalance: OnRebalance,
    /// Whether pods without a controller are evicted.
    pub bare_pods: bool,
    /// Whether pods with data on the node are.
    pub local_data: bool,
}

/// What an announcement asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asks {
    Cordon,
    Drain,
}

impl Rules {
    /// Those of a group.
    pub fn of(config: &NodeConfig) -> Self {
        let hooks = &config.hooks;
        let hook_timeout = hooks.termination.as_ref().map(|_| hooks.termination_timeout);
        Self { hook_timeout, ..Self::of_drain(&config.drain) }
    }

    /// Where no hook waits.
    pub fn of_drain(drain: &Drain) -> Self {
        Self {
            hook_timeout: None,
            deadline: drain.deadline,
            deregistration: drain.deregistration_delay,
            when_refused: drain.when_refused,
            on_rebalance: drain.on_rebalance,
            bare_pods: drain.bare_pods == Treatment::Evict,
            local_data: drain.local_data == Treatment::Evict,
        }
    }

    /// Why a pod is not asked to leave although it would be lost.
    pub(super) fn keeps(&self, pod: &Pod) -> Option<&'static str> {
        if pod.bare && !self.bare_pods {
            return Some("has no controller");
        }
        (pod.local_data && !self.local_data).then_some("has local data")
    }

    pub(super) fn asks(&self, kind: Kind) -> Asks {
        match (kind, self.on_rebalance) {
            (Kind::Rebalance, OnRebalance::Cordon) => Asks::Cordon,
            _ => Asks::Drain,
        }
    }

    /// From when on it is acted upon: of maintenance, which is announced days before, not earlier
    /// than a whole drain takes.
    pub(super) fn from(&self, announced: &Announced, seen: Moment) -> Moment {
        match (announced.id.kind, announced.at) {
            (Kind::Maintenance, Some(at)) => (at - self.deadline - RESERVE).max(seen),
            _ => seen,
        }
    }

    /// Until when pods have time.
    pub(super) fn end(&self, announced: &Announced, from: Moment) -> Moment {
        let ours = from + self.deadline;
        let hook = self.hook_timeout.filter(|_| announced.id.kind.has_hook());
        let hooks = hook.map(|timeout| from + global_limit(timeout) - RESERVE);
        let aws = announced.at.map(|at| at - RESERVE);
        [Some(ours), hooks, aws].into_iter().flatten().min().unwrap_or(ours)
    }

    /// Whether a hook of ours waits at such an end.
    pub(super) fn has_hook(&self, kind: Kind) -> bool {
        self.hook_timeout.is_some() && kind.has_hook()
    }
}

/// The longest that Auto Scaling waits for a hook, heartbeats or not.
pub(super) fn global_limit(timeout: Duration) -> Duration {
    GLOBAL_LIMIT.min(timeout * GLOBAL_TIMES)
}
