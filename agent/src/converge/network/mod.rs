//! Makes the kernel's routes, policy rules and packet filter the planned ones: reads what is ours,
//! compares, applies, and says what was done.
//!
//! Nobody else's is changed or removed, ever. Where somebody else has a route with the same
//! destination and metric, the kernel refuses ours; then that one is named and ours gets the next
//! metric. It is added rather than given up because it is right wherever theirs goes away, and
//! because theirs, the lower metric, decides as long as it is there: nothing of theirs changes.

mod diff;
pub(super) mod filter;
#[cfg(test)]
mod properties;

use std::collections::BTreeSet;
use std::fmt;

use crate::host::{Added, Entry, Machine, WayError};
use crate::plan::network::{PROTOCOL, PodNetwork, TRIES};

pub use diff::Diff;
pub use filter::{Filter, ensure_filter};

/// What a reconciliation did, and what it met.
#[derive(Debug, Default)]
pub struct Reconciled {
    pub changes: Vec<Change>,
    /// What would have been changed, had it not to wait.
    pub put_off: BTreeSet<Change>,
    /// What is in the place that ours should have.
    pub foreign: BTreeSet<Foreign>,
    /// What is not as wanted, and why.
    pub failed: Vec<Failed>,
    /// Netlink messages that it took to see what there is.
    pub messages: usize,
}

/// One thing that is different now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    Added(Entry),
    Removed(Entry),
    FilterReplaced,
}

/// Somebody else's route or rule, by ours that it kept from its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Foreign {
    pub instead_of: Entry,
    /// Its protocol number; `/etc/iproute2/rt_protos` has names for them.
    pub protocol: u8,
}

/// A route or a rule that the kernel does not have as wanted.
#[derive(Debug, thiserror::Error)]
#[error("{entry}: {reason}")]
pub struct Failed {
    pub entry: Entry,
    pub reason: Reason,
}

#[derive(Debug, thiserror::Error)]
pub enum Reason {
    #[error(transparent)]
    Way(WayError),
    #[error("somebody else has that place and the {} after it\nhint: look with `ip route` and `ip rule`", TRIES - 1)]
    NoPlace,
}

/// The kernel's routes and rules are the planned ones.
pub async fn reconcile(machine: &Machine, wanted: &PodNetwork) -> anyhow::Result<Reconciled> {
    reconcile_but(machine, wanted, |_| false).await
}

/// As [`reconcile`], but for what has to wait.
pub async fn reconcile_but(
    machine: &Machine,
    wanted: &PodNetwork,
    waits: impl Fn(&Change) -> bool,
) -> anyhow::Result<Reconciled> {
    let found = machine.ways(wanted).await?;
    let mut diff = Diff::between(&found, wanted);
    let mut reconciled = Reconciled { messages: found.messages, ..Reconciled::default() };
    let mut is_due = |entry: &Entry, change: fn(Entry) -> Change| {
        let change = change(entry.clone());
        let waits = waits(&change);
        if waits {
            reconciled.put_off.insert(change);
        }
        !waits
    };
    diff.add.retain(|entry| is_due(entry, Change::Added));
    diff.remove.retain(|entry| is_due(entry, Change::Removed));
    let mut waiting = Vec::new();
    for entry in diff.add {
        waiting.extend(reconciled.add(machine, entry).await?);
    }
    for entry in diff.remove {
        reconciled.remove(machine, entry).await?;
    }
    // What had to wait until others of ours made room.
    for entry in waiting {
        if let Some(entry) = reconciled.add(machine, entry).await? {
            reconciled.failed.push(Failed { entry, reason: Reason::NoPlace });
        }
    }
    Ok(reconciled)
}

impl Reconciled {
    /// Adds it in the first place from its own up that nobody else has; gives it back where only
    /// others of ours are in its way.
    async fn add(&mut self, machine: &Machine, wanted: Entry) -> anyhow::Result<Option<Entry>> {
        let (mut entry, mut ours) = (wanted.clone(), false);
        for _ in 0..TRIES {
            match machine.add(&entry).await? {
                Ok(Added::Done) => {
                    self.changes.push(Change::Added(entry));
                    return Ok(None);
                }
                Ok(Added::Taken { by: PROTOCOL }) => ours = true,
                Ok(Added::Taken { by: protocol }) => {
                    self.foreign.insert(Foreign { instead_of: entry.clone(), protocol });
                }
                Err(error) => {
                    self.failed.push(Failed { entry, reason: Reason::Way(error) });
                    return Ok(None);
                }
            }
            entry = entry.next();
        }
        if !ours {
            self.failed.push(Failed { entry: wanted, reason: Reason::NoPlace });
            return Ok(None);
        }
        Ok(Some(wanted))
    }

    async fn remove(&mut self, machine: &Machine, entry: Entry) -> anyhow::Result<()> {
        match machine.remove(&entry).await? {
            Ok(()) => self.changes.push(Change::Removed(entry)),
            Err(error) => self.failed.push(Failed { entry, reason: Reason::Way(error) }),
        }
        Ok(())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(entry) => write!(f, "{entry}"),
            Self::Removed(entry) => write!(f, "no {entry}"),
            Self::FilterReplaced => write!(f, "nftables' table inet windlass"),
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instead_of, protocol } = self;
        write!(f, "in the place of {instead_of} is one of protocol {protocol}, which is left alone")
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(route) => write!(f, "route {route}"),
            Self::Rule(rule) => write!(f, "rule {rule}"),
        }
    }
}
