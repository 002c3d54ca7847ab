//! How far the routes of each holder are, told to those who wait for one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::desired::{Desired, Holder};
use super::diff::Diff;
use crate::exchange::InstanceId;

/// How far a holder's routes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// These pod CIDRs are in every table, and its interface lets pods' packets through.
    Real(Vec<IpNet>),
    Underway,
    /// They will not be until somebody does something.
    Stuck(String),
}

/// Nothing is wrong: there is more to do than EC2's throttle lets through meanwhile.
#[derive(Debug, thiserror::Error)]
#[error("its routes are not real yet")]
pub struct NotYet;

/// Where each holder stands, as of the latest look. Those who wait are woken in the order in which
/// they came (a `watch` channel would wake them in any).
#[derive(Debug, Default)]
pub struct Standings {
    all: Mutex<BTreeMap<InstanceId, Standing>>,
    changed: Notify,
    /// Cloned by each who waits.
    waiting: Arc<()>,
}

impl Standings {
    /// Tells everybody: what is to be changed is underway, unless it is `stuck`. Where there is no
    /// table yet, everybody's is.
    pub fn publish(
        &self,
        desired: &Desired,
        diff: &Diff,
        no_table: bool,
        stuck: impl Fn(&InstanceId) -> Option<String>,
    ) {
        let underway: BTreeSet<_> =
            diff.changes.iter().filter_map(|change| change.holder.as_ref()).collect();
        let of = |holder: &Holder| {
            let instance = &holder.instance;
            let foreign = diff.foreign.get(instance).and_then(|all| all.first());
            match foreign.map(ToString::to_string).or_else(|| stuck(instance)) {
                Some(why) => Standing::Stuck(why),
                None if no_table || underway.contains(instance) => Standing::Underway,
                None => Standing::Real(holder.pod_cidrs.clone()),
            }
        };
        let all = desired.holders.iter().map(|it| (it.instance.clone(), of(it)));
        *self.all.lock().expect("the standings") = all.collect();
        self.changed.notify_waiters();
    }

    /// How many wait for what is being done.
    pub fn underway(&self) -> usize {
        let all = self.all.lock().expect("the standings");
        all.values().filter(|standing| **standing == Standing::Underway).count()
    }

    /// Whether anybody waits.
    pub fn awaited(&self) -> bool {
        Arc::strong_count(&self.waiting) > 1
    }

    /// Waits until the routes of the holder's `pod_cidrs` are real, or it is said why they will not be. Fails after
    /// `patience`; then it is worth a new look at who asks.
    pub async fn settled(
        &self,
        instance: &InstanceId,
        pod_cidrs: &[IpNet],
        patience: Duration,
    ) -> Result<Result<(), String>, NotYet> {
        let _waiting = self.waiting.clone();
        let settled = async {
            loop {
                let changed = self.changed.notified();
                match self.of(instance) {
                    Some(Standing::Real(routed)) if routed == pod_cidrs => return Ok(()),
                    Some(Standing::Stuck(why)) => return Err(why),
                    // Real may be what it held before.
                    Some(Standing::Real(_) | Standing::Underway) | None => changed.await,
                }
            }
        };
        timeout(patience, settled).await.map_err(|_| NotYet)
    }

    fn of(&self, instance: &InstanceId) -> Option<Standing> {
        self.all.lock().expect("the standings").get(instance).cloned()
    }
}
