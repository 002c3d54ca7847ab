//! The VPC's routes: each leased pod CIDR leads to its holder's primary network interface, in every
//! route table that is tagged for the cluster, and that interface carries pods' packets.
//!
//! One loop looks, compares and changes: what there is ([`view`]), what there should be
//! ([`desired`]), what is between the two ([`diff`]) and as much of it as AWS' throttle lets through
//! ([`work`]). Only the leader changes anything; the others look, so that they can answer when it is
//! gone. A route that is not ours is never touched, and hinders nobody but whom it concerns.

mod bucket;
mod desired;
mod diff;
#[cfg(test)]
mod properties;
mod standing;
mod view;
mod work;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio::try_join;

pub use self::desired::Desired;
pub use self::diff::Diff;
pub use self::standing::NotYet;
use self::standing::Standings;
use self::view::View;
use self::work::Work;
use super::complaints::Complaints;
use super::lease::Leases;
use super::pace::{self, Lead};
use super::rounds::Round;
use super::terrain::Terrain;
use super::{Admitter, Refusal};
use crate::client::ec2::{Instance, Route, RouteTable, State};
use crate::config::Cluster;
use crate::exchange::InstanceId;
use crate::policies::CLUSTER_TAG;

/// How long an answer waits for routes before the request is looked at anew.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the loop and those who wait for it have in common.
#[derive(Debug, Default)]
pub struct Board {
    standings: Standings,
    /// What the tables leave for leases; none, if they were never read.
    terrain: Mutex<Option<Arc<Terrain>>>,
    backlog: Mutex<Duration>,
    /// There is something to do.
    wake: Notify,
}

/// What the loop remembers from one round to the next.
#[derive(Debug, Default)]
struct Keeper {
    view: View,
    work: Work,
    complaints: Complaints,
    led: bool,
    /// When EC2 was asked last, whether it answered or not.
    asked: Option<Instant>,
    /// Since when there is no route table to keep.
    untagged: Option<Instant>,
}

/// Whether a round has changed the tables.
enum Found {
    Nothing,
    New,
}

impl Board {
    /// How many holders' routes are not real yet.
    pub fn underway(&self) -> usize {
        self.standings.underway()
    }

    /// How long EC2's throttle makes everybody wait who comes now.
    pub fn backlog(&self) -> Duration {
        *self.backlog.lock().expect("the backlog")
    }
}

impl Admitter {
    /// Keeps the routes of everybody as they should be.
    pub(super) async fn keep_routes(self: Arc<Self>) {
        match self.route(None).await {}
    }

    /// As [`Admitter::keep_routes`], for `only` one instance where there is one. Never ends.
    pub(super) async fn route(&self, only: Option<&InstanceId>) -> Infallible {
        let mut keeper = Keeper::default();
        loop {
            let pause = match self.route_once(&mut keeper, only).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!("the VPC's routes are left as they are for now: {error:#}");
                    pace::AFTER_FAILURE
                }
            };
            self.round_ended(Round::Routes);
            tokio::select! {
                biased;
                () = self.board.wake.notified() => {}
                () = keeper.work.answered() => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// There are new leases, or ended ones.
    pub(super) fn leases_changed(&self) {
        self.board.wake.notify_one();
    }

    /// What the tables leave for leases, as they were last read.
    pub(super) async fn terrain(&self) -> anyhow::Result<Arc<Terrain>> {
        if let Some(terrain) = self.board.terrain.lock().expect("the terrain").clone() {
            return Ok(terrain);
        }
        let (tables, leases) = try_join!(self.route_tables(), async {
            match self.book.known().await {
                Some(leases) => Ok(leases),
                None => self.book.read().await,
            }
        })?;
        Ok(self.survey(&tables, &self.desired(&Keeper::default(), &leases, None)))
    }

    /// Waits until the VPC routes these pod CIDRs to the instance.
    pub(super) async fn routed(
        &self,
        instance: &InstanceId,
        pod_cidrs: &[IpNet],
    ) -> anyhow::Result<Result<(), Refusal>> {
        let settled = self.board.standings.settled(instance, pod_cidrs, PATIENCE).await?;
        let refusal = |why| Refusal::NoRoute { instance: instance.clone(), why };
        Ok(settled.map_err(refusal))
    }

    /// One round; how long until the next.
    async fn route_once(
        &self,
        keeper: &mut Keeper,
        only: Option<&InstanceId>,
    ) -> anyhow::Result<Duration> {
        let leads = self.lead() == Lead::Leader;
        let led = std::mem::replace(&mut keeper.led, leads);
        // What was late in the round before.
        self.take_in(keeper);
        if leads && !led {
            // Whoever led before has made changes since.
            keeper.view.doubt();
        }
        let looked = self.look_if_due(keeper, leads).await.unwrap_or_else(|error| {
            // What was seen last is enough to go on, though not to forget anything by it.
            tracing::warn!("the VPC's route tables are not seen for now: {error:#}");
            false
        });
        let (Some(tables), Some(mut leases)) = (keeper.view.tables(), self.book.known().await)
        else {
            return Ok(pace::AFTER_FAILURE);
        };
        let mut desired = self.desired(keeper, &leases, only);
        if looked && leads && only.is_none() {
            self.settle_ended(tables, &desired).await?;
            let settled = self.book.known().await.unwrap_or(leases);
            (desired, leases) = (self.desired(keeper, &settled, only), settled);
        }
        let diff = Diff::between(tables, &desired);
        keeper.work.keep_only(&diff.changes);
        if leads {
            keeper.work.begin(&self.ec2, &diff.changes);
        }
        let round = pace::round(self.board.backlog());
        keeper.work.mostly_answered(round).await;
        let left = match self.take_in(keeper) {
            Found::New => Diff::between(keeper.view.tables().unwrap_or_default(), &desired),
            Found::Nothing => diff,
        };
        self.tell(keeper, &leases, &desired, &left);
        let now = Instant::now();
        *self.board.backlog.lock().expect("the backlog") = keeper.work.backlog(&left.changes, now);
        let pause = keeper.work.wait(&left.changes, now).filter(|_| leads);
        let rest = pace::routes(self.lead(), self.board.standings.awaited());
        Ok(pause.map_or(rest, |pause| pause.max(round).min(rest)))
    }

    /// What EC2 has answered is known. Whether the tables are others by that.
    fn take_in(&self, keeper: &mut Keeper) -> Found {
        let done = keeper.work.take_in(&mut keeper.view);
        done.iter().for_each(|what| self.counters.count(what.action()));
        if done.is_empty() { Found::Nothing } else { Found::New }
    }

    /// Reads leases and tables, if it is time to. Whether it was.
    async fn look_if_due(&self, keeper: &mut Keeper, leads: bool) -> anyhow::Result<bool> {
        let now = Instant::now();
        let often = !leads && self.board.standings.awaited();
        let age = if often { pace::ROUTES_AWAITED } else { pace::ROUTES_DRIFT };
        let lately = keeper.asked.is_some_and(|at| now - at < pace::ROUTES_DOUBTED);
        if lately || keeper.view.age(now).is_some_and(|known| known < age) {
            return Ok(false);
        }
        keeper.asked = Some(now);
        let (tables, _) = try_join!(self.route_tables(), self.book.read())?;
        keeper.view.described(tables, now);
        Ok(true)
    }

    async fn route_tables(&self) -> anyhow::Result<Vec<RouteTable>> {
        let cluster = &self.config.cluster;
        Ok(self.ec2.route_tables(&cluster.vpc, (CLUSTER_TAG, &cluster.name)).await?)
    }

    fn desired(&self, keeper: &Keeper, leases: &Leases, only: Option<&InstanceId>) -> Desired {
        let Cluster { name, vpc, .. } = &self.config.cluster;
        // Whoever asks is looked up, wherever he is.
        let is_of_cluster = |it: &&Instance| {
            it.vpc.as_ref() == Some(vpc)
                && it.tags.get(CLUSTER_TAG) == Some(name)
                && matches!(it.state, State::Pending | State::Running)
        };
        let mut desired = {
            let seen = self.seen.lock().expect("what was seen");
            Desired::of(leases, seen.all().filter(is_of_cluster), self.now())
        };
        keeper.view.correct(&mut desired);
        only.into_iter().fold(desired, Desired::only)
    }

    /// Keeps what the tables leave for leases.
    fn survey(&self, tables: &[RouteTable], desired: &Desired) -> Arc<Terrain> {
        let network = &self.config.network;
        let is_ours = |to: &IpNet, route: &Route| desired.may_be_taken(to, route);
        let terrain =
            Arc::new(Terrain::of(tables, &network.pods, network.routes_per_table, is_ours));
        *self.board.terrain.lock().expect("the terrain") = Some(terrain.clone());
        terrain
    }

    /// Forgets ended leases whose routes are gone, and lets end what is routed but leased to nobody.
    async fn settle_ended(&self, tables: &[RouteTable], desired: &Desired) -> anyhow::Result<()> {
        let strays = desired.strays(tables, &self.config.network.pods, self.now());
        let routed = |cidr: &IpNet| {
            let mut routes = tables.iter().filter_map(|table| table.routes.get(cidr));
            routes.any(|route| desired.is_ours(route))
        };
        self.book.settle(&strays, routed, self.now()).await
    }

    fn no_table(&self) -> String {
        let Cluster { name, vpc, .. } = &self.config.cluster;
        format!(
            "no route table of {vpc} has the tag `{CLUSTER_TAG}` = `{name}`\n\
             hint: tag those that the nodes' subnets use"
        )
    }

    /// Tells those who wait, and the log, what is `left` to be done.
    fn tell(&self, keeper: &mut Keeper, leases: &Leases, desired: &Desired, left: &Diff) {
        let tables = keeper.view.tables().unwrap_or_default();
        let terrain = self.survey(tables, desired);
        let now = Instant::now();
        let mut complaints: BTreeSet<_> = keeper.work.complaints(now).collect();
        let foreign = left.foreign.values().flatten().map(ToString::to_string);
        complaints.extend(foreign);
        complaints.extend(terrain.nearly_full(leases, &self.config.network.pods));
        // No table at all may be EC2's lag, or a tag of this very minute.
        let (untagged, stands) =
            match tables.is_empty().then(|| *keeper.untagged.get_or_insert(now)) {
                Some(since) => (true, now - since >= work::STANDS),
                None => (false, false),
            };
        let none = stands.then(|| self.no_table());
        complaints.extend(none.clone());
        keeper.complaints.are(complaints);
        let stuck = |it: &InstanceId| none.clone().or_else(|| keeper.work.stuck(it, now));
        self.board.standings.publish(desired, left, untagged, stuck);
        if untagged {
            keeper.view.doubt();
        } else {
            keeper.untagged = None;
        }
    }
}
