//! How far the routes of each holder are, told to those who wait for one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::watch;
use tokio::time::timeout;

use super::desired::Desired;
use super::diff::Diff;
use crate::exchange::InstanceId;

/// How far a holder's routes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In every table, and its interface lets pods' packets through.
    Real,
    Underway,
    /// They will not be until somebody does something.
    Stuck(String),
}

/// Where each holder stands, as of the latest look.
#[derive(Debug)]
pub struct Standings(watch::Sender<BTreeMap<InstanceId, Standing>>);

impl Default for Standings {
    fn default() -> Self {
        Self(watch::Sender::new(BTreeMap::new()))
    }
}

impl Standings {
    /// Tells everybody: what is to be changed is underway, unless it is `stuck`.
    pub fn publish(
        &self,
        desired: &Desired,
        diff: &Diff,
        stuck: impl Fn(&InstanceId) -> Option<String>,
    ) {
        let underway: BTreeSet<_> =
            diff.changes.iter().filter_map(|change| change.holder.as_ref()).collect();
        let of = |instance: &InstanceId| {
            let foreign = diff.foreign.get(instance).and_then(|all| all.first());
            match foreign.map(ToString::to_string).or_else(|| stuck(instance)) {
                Some(why) => Standing::Stuck(why),
                None if underway.contains(instance) => Standing::Underway,
                None => Standing::Real,
            }
        };
        let all = desired.holders.iter().map(|it| (it.instance.clone(), of(&it.instance)));
        self.0.send_replace(all.collect());
    }

    /// How many wait for what is being done.
    pub fn underway(&self) -> usize {
        let all = self.0.borrow();
        all.values().filter(|standing| **standing == Standing::Underway).count()
    }

    /// Whether anybody waits.
    pub fn awaited(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Waits until the holder's routes are real, or it is said why they will not be. Fails after
    /// `patience`; then it is worth a new look at who asks.
    pub async fn settled(
        &self,
        instance: &InstanceId,
        patience: Duration,
    ) -> anyhow::Result<Result<(), String>> {
        let mut changes = self.0.subscribe();
        let settled = changes
            .wait_for(|all| matches!(all.get(instance), Some(Standing::Real | Standing::Stuck(_))));
        let found = match timeout(patience, settled).await {
            Ok(found) => found?,
            Err(_) => return Err(anyhow!("its routes are not real yet")),
        };
        match found.get(instance) {
            Some(Standing::Stuck(why)) => Ok(Err(why.clone())),
            _ => Ok(Ok(())),
        }
    }
}
