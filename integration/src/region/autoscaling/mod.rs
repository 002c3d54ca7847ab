//! Auto Scaling, API version 2011-01-01: groups, their instances' lifecycles and hooks.
//!
//! Groups launch and terminate through EC2's model, as AWS' service does through its API.
//! `converge` moves what time, EC2 or a wish has made due; `lifecycle` is what hooks do to it.

mod access;
mod activity;
mod capacity;
mod converge;
mod create;
mod detach;
mod ending;
mod finished;
mod group;
mod health;
mod hook;
mod launch;
mod lifecycle;
mod member;
mod rebalance;
mod refresh;
mod refreshing;
mod standby;
mod target;
#[cfg(test)]
mod tests;
mod warm_pool;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use time::OffsetDateTime;

use super::state::Event;

pub use self::access::requires;
pub use self::activity::{Activity, Status};
pub use self::converge::advance;
pub use self::create::{create_group, delete_group};
pub use self::detach::detach_instances;
pub use self::ending::terminate_member;
pub use self::finished::{By, Finished};
pub use self::group::{Group, GroupTag, NewGroup, TemplateChoice};
pub use self::health::{Verdict, set_health, verdict_named};
pub use self::hook::{ActionResult, Hook, NewHook, Transition};
pub use self::lifecycle::{ActionName, ActionRef, complete, delete_hook, heartbeat};
pub use self::member::{LifecycleState, Member, PendingAction};
pub use self::rebalance::Outgoing;
pub use self::refresh::{HeldBack, Preferences, Refresh, RefreshStatus, start_refresh};
pub use self::standby::{enter_standby, exit_standby};
pub use self::warm_pool::{PoolState, WarmPool, delete_warm_pool, warm};
pub use self::wire::handle;

/// What Auto Scaling knows.
#[derive(Clone, Debug, Default)]
pub struct AutoScaling {
    /// How long changes take.
    pub timing: Timing,
    groups: BTreeMap<String, Group>,
    /// In the order in which they began; those of deleted groups too.
    activities: Vec<Activity>,
    finished: Vec<Finished>,
    /// Members to which something has happened in EC2, or may have.
    noticed: BTreeSet<String>,
    targets: target::Targets,
}

/// How long changes take that AWS' service makes by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From `Pending:Proceed` to `InService`, and from `Terminating:Proceed` to EC2's being told.
    pub proceed: Duration,
    /// Until a launch that EC2 refused is tried again.
    pub retry: Duration,
    /// How long a refresh is `Pending`.
    pub refresh_begins: Duration,
    /// How long zones are unbalanced before a group does something about it. The guide names no
    /// time.
    pub zone_rebalance: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            proceed: Duration::ZERO,
            retry: Duration::from_secs(30),
            refresh_begins: Duration::ZERO,
            zone_rebalance: Duration::from_secs(300),
        }
    }
}

impl AutoScaling {
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// The group that an instance is in, and what the group knows of it.
    pub fn member(&self, instance: &str) -> Option<(&Group, &Member)> {
        self.groups.values().find_map(|group| Some((group, group.members.get(instance)?)))
    }

    /// What happened in EC2: it is dealt with when groups advance.
    pub(super) fn notice(&mut self, happened: &[Event]) {
        for event in happened {
            let id = event.instance();
            if self.member(id).is_some() {
                self.noticed.insert(id.to_owned());
            } else if matches!(event, Event::InstanceTerminated { .. }) {
                self.targets.forget(id);
            }
        }
    }

    /// All activities, the oldest first.
    pub fn activities(&self) -> &[Activity] {
        &self.activities
    }

    /// The lifecycle actions that are over, in the order in which they ended.
    pub fn finished(&self) -> &[Finished] {
        &self.finished
    }

    /// When the next hook times out or the next launch is tried again.
    pub fn next_deadline(&self) -> Option<OffsetDateTime> {
        self.groups.values().filter_map(Group::next_deadline).min()
    }
}
