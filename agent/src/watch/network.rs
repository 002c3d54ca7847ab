//! Keeps the host's side of the pod network as planned: [`Keeper::stirred`] waits until something may
//! have changed, [`Keeper::look`] looks, puts back what is not as planned, and returns what it did.
//!
//! Its own changes wake it once more, and that look finds nothing to change.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::look::{Look, look};
use super::pace::{Ended, Pace};
use super::strife::Strife;
use crate::basis::{Basis, Stamp};
use crate::cli::Failure;
use crate::converge::network::Filter;
use crate::host::{Machine, Monitor, Stirred, Tidings};
use crate::plan;

/// How it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// Between two looks at everything when nothing happens.
    pub seldom: Duration,
    /// How much of what the kernel tells may wait unread, where not as much as it gives everybody.
    pub buffer_bytes: Option<u32>,
}

/// Keeps it.
pub struct Keeper {
    machine: Machine,
    basis: Basis,
    /// The file that the basis was read from.
    read: Option<Stamp>,
    monitor: Monitor,
    lost: u32,
    filter: Filter,
    pace: Pace,
    strife: Strife,
    began: Instant,
}

impl Keeper {
    /// Of a machine that was booted. Listens from now on.
    pub fn new(machine: &Machine, keeping: Keeping) -> Result<Self, Failure> {
        let read = Stamp::of(machine);
        let basis = Basis::kept(machine)?;
        let monitor = machine.monitor(keeping.buffer_bytes)?;
        Ok(Self {
            machine: machine.clone(),
            basis,
            read,
            monitor,
            lost: 0,
            filter: Filter::default(),
            pace: Pace::new(keeping.seldom),
            strife: Strife::default(),
            began: Instant::now(),
        })
    }

    /// What to look at, when it is time to; the first look is due at once. It may be given up and asked
    /// again.
    pub async fn stirred(&mut self) -> anyhow::Result<Stirred> {
        loop {
            let due = self.pace.due();
            let heard = tokio::select! {
                heard = self.monitor.next() => heard?,
                () = sleep_until(self.began + due.at) => return Ok(due.what),
            };
            let what = match heard {
                Tidings::Stirred(what) => what,
                Tidings::Lost => {
                    self.lost += 1;
                    Stirred::EVERYTHING
                }
            };
            self.pace.stirred(self.began.elapsed(), what);
        }
    }

    /// Looks at what stirred, and puts it back. Not to be given up half-way: what it did by then would
    /// be told to nobody.
    pub async fn look(&mut self, what: Stirred) -> anyhow::Result<Look> {
        let (mut planned_anew, mut unknown) = (None, BTreeSet::new());
        if what.ways {
            let before = self.basis.facts.host.network();
            let again = self.read_again();
            let seen = self.see().await.map_err(|error| format!("{error:#}"));
            let now = self.basis.facts.host.network();
            planned_anew = (again == Ok(true) || now != before).then_some(now);
            unknown.extend([again.err(), seen.err()].into_iter().flatten());
        }
        let Basis { facts, config, pod_cidrs, .. } = &self.basis;
        let plan = plan::standing(facts, config, pod_cidrs);
        let now = self.began.elapsed();
        let waits = |thing: &str| self.strife.waits(thing, now);
        let mut look = look(&self.machine, &plan, &mut self.filter, what, waits).await;
        look.lost = std::mem::take(&mut self.lost);
        look.planned_anew = planned_anew;
        look.failed.extend(unknown);
        self.conclude(&mut look);
        Ok(look)
    }

    /// Whether a later boot left another basis. Where it cannot be used, what is known holds.
    fn read_again(&mut self) -> Result<bool, String> {
        let stamp = Stamp::of(&self.machine);
        if stamp == self.read {
            return Ok(false);
        }
        self.basis = Basis::kept(&self.machine).map_err(|it| format!("{:#}", it.error()))?;
        self.read = stamp;
        Ok(true)
    }

    /// The interfaces as they are now. Of one that is gone, the plan stays as it was.
    async fn see(&mut self) -> anyhow::Result<()> {
        let facts = &mut self.basis.facts;
        if let Some(links) = self.machine.links(&facts.instance.mac).await? {
            facts.host.see(links);
        }
        Ok(())
    }

    fn conclude(&mut self, look: &mut Look) {
        let at = self.began.elapsed();
        // What was planned anew was put back by nobody's fault.
        if look.planned_anew.is_none() {
            let put_back = look.changes.iter().filter_map(|thing| self.strife.put_back(thing, at));
            look.quarrels.extend(put_back);
        }
        look.quarrels.extend(self.strife.settle(at));
        let ended = if look.failed.is_empty() { Ended::Well } else { Ended::Badly };
        self.pace.looked(at, look.what, ended, self.strife.next(at));
    }
}
