//! Lets this node go when AWS announces it: what is announced goes into the [`Engine`], what that
//! decides is written down, told to whoever wants to know, and done.

use std::convert::Infallible;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until, timeout};

use super::cluster::Cluster;
use super::engine::{Engine, Told};
use super::event::{At, Kind};
use super::journal::Journal;
use super::numbers::Numbers;
use super::report::Subject;
use super::resting::Resting;
use super::rules::Rules;
use super::said;
use super::shutdown::Shutdown;
use super::sources::Sources;
use super::state::Leaving;
use super::step::Observation;
use super::telling::Telling;
use crate::basis::Basis;
use crate::client::Wire;
use crate::client::autoscaling::Hook;
use crate::client::credentials::RoleCredentials;
use crate::client::imds::Imds;
use crate::facts::Instance;
use crate::host::Machine;
use crate::watch::{Metrics, Status};

/// An earlier run's drain goes on without IMDS if need be, but not before it was asked.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// What changes nothing but what can be looked at is written down so often at most.
const SELDOM: Duration = Duration::from_secs(1);

/// For whom a shutdown waits until they are told: S3, and the API server.
const TOLD: Duration = Duration::from_secs(2);

/// Lets the node go when that is announced.
pub struct Drainer {
    wire: Wire,
    journal: Journal,
    engine: Engine,
    announcements: Told,
    shutdown: Shutdown,
    telling: Telling,
    resting: Resting,
    status: Status,
    metrics: Metrics,
    /// Not all that is known is written down, since then.
    behind: bool,
    kept: Instant,
    /// The shutdown that is announced was let go on.
    goes_down: bool,
}

impl Drainer {
    /// Of a machine that was booted.
    pub async fn new(
        machine: &Machine,
        wire: &Wire,
        basis: &Basis,
        status: Status,
        metrics: Metrics,
    ) -> anyhow::Result<Self> {
        let Basis { facts, config, .. } = basis;
        let instance = &facts.instance;
        let imds = Imds::new(wire);
        let node = basis.node_name();
        let time = OffsetDateTime::from(wire.time.now());
        let (journal, left) = Journal::open(machine, &instance.id, time)?;
        // A cordon of ours that no journal knows of is given back.
        let leaving = match left {
            Some(leaving) => leaving,
            None => Leaving::returning(journal.now()?),
        };
        let role = SharedCredentialsProvider::new(RoleCredentials::new(imds.clone()));
        let sdk = wire.instance(&instance.region, role).await;
        let hook = hook_of(config.hooks.termination.as_deref(), instance, &sdk);
        let clock = clock(&journal, wire)?;
        let shutdown = Shutdown::of(machine, clock.clone());
        let before = leaving.events.iter().map(|event| event.announced.clone()).collect();
        let sources = Sources::new(imds, shutdown.clone(), before);
        let mut rules = Rules::of(config);
        rules.hook_timeout = rules.hook_timeout.filter(|_| hook.is_some());
        let cluster = Cluster::of_kubelet(machine, wire, &config.api, &node);
        let subject = Subject {
            instance: instance.id.clone(),
            cluster: config.cluster.name.clone(),
            group: config.group.clone(),
            node,
        };
        let telling = Telling::new(machine, wire, &cluster, subject, basis, sdk);
        let drainer = Self {
            wire: wire.clone(),
            journal,
            engine: Engine::new(leaving, rules, cluster, hook),
            shutdown,
            announcements: Told::by(|to| sources.tell(clock, to)),
            telling,
            resting: Resting::on(machine),
            status,
            metrics,
            behind: false,
            kept: Instant::now(),
            goes_down: false,
        };
        Ok(drainer)
    }

    /// For as long as the machine runs. It may be given up at any moment: another one goes on from the
    /// journal.
    pub async fn run(mut self) -> anyhow::Result<Infallible> {
        let first = timeout(FIRST_ANSWER, self.announcements.told.recv()).await;
        self.observe(first.ok().flatten().unwrap_or(Observation::Tick))?;
        loop {
            let now = self.journal.now()?;
            let keep = self.kept + SELDOM;
            let observed = tokio::select! {
                () = sleep_until(keep), if self.behind => Observation::Tick,
                Some(standing) = self.announcements.told.recv() => standing,
                observed = self.engine.next(now) => observed,
            };
            self.observe(observed)?;
        }
    }

    fn observe(&mut self, observed: Observation) -> anyhow::Result<()> {
        let at = At { moment: self.journal.now()?, time: self.wire.time.now().into() };
        let decision = self.engine.decide(observed, at.moment);
        let (leaving, rules) = (&self.engine.leaving, &self.engine.rules);
        self.behind |= decision.changed;
        if decision.is_to_be_kept() || self.behind && self.kept.elapsed() >= SELDOM {
            self.journal.write(leaving, at.time);
            (self.behind, self.kept) = (false, Instant::now());
        }
        if let Some(boot) = self.resting.follow(leaving) {
            self.engine.beside(boot);
        }
        self.status.set(said::status(leaving, rules, at.moment));
        self.metrics.drain(Numbers::of(leaving, rules, at));
        if let Some(turned) = decision.turned {
            turned.log();
            self.metrics.turned(turned.reason);
            self.engine.beside(self.telling.tell(leaving, turned, at));
        }
        self.let_go_down();
        self.engine.carry_out(decision.effects);
        Ok(())
    }

    /// A shutdown goes on when nothing is left to do, and whoever had to be told was.
    fn let_go_down(&mut self) {
        let ready = self.engine.leaving.is_ready_for(Kind::Shutdown);
        if ready && !self.goes_down {
            let (told, shutdown) = (self.telling.settled(TOLD), self.shutdown.clone());
            self.engine.beside(async move {
                told.await;
                shutdown.release();
            });
        }
        self.goes_down = ready;
    }
}

/// The group's termination hook, where it can be completed from here.
fn hook_of(name: Option<&str>, instance: &Instance, sdk: &SdkConfig) -> Option<Hook> {
    let name = name?;
    let Some(group) = &instance.auto_scaling_group else {
        tracing::error!(
            "the termination hook `{name}` would not be completed: IMDS does not say which Auto Scaling group this instance is of\n\
             hint: the launch template needs `InstanceMetadataTags: enabled` in its MetadataOptions"
        );
        return None;
    };
    Some(Hook::new(sdk, group, name, &instance.id))
}

/// Both clocks, the drain's and the wall's.
fn clock(
    journal: &Journal,
    wire: &Wire,
) -> anyhow::Result<impl Fn() -> At + Clone + Send + Sync + use<>> {
    let (clock, began, time) = (journal.clock(), journal.now()?, wire.time.clone());
    // A clock that could be read a moment ago can be read.
    Ok(move || At { moment: clock().unwrap_or(began), time: time.now().into() })
}
