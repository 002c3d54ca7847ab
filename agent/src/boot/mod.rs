//! `windlass boot`: from the first question to IMDS to the Node that is Ready.
//!
//! [`Boot::ascend`] is the whole story. Nothing remembers how far an earlier run came: each step
//! looks at what is there, so a run after a killed one goes on, and a run on a node that is Ready
//! changes nothing and says so.

mod abandon;
mod admission;
mod configuration;
mod end;
mod foresee;
mod identity;
mod ipv6;
mod own_admission;
mod permissions;
mod pool;
mod ready;
mod steps;
mod stop;
mod storage;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::anyhow;
use aws_config::SdkConfig;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};
use tokio::{join, try_join};
use tracing::Instrument;
use tracing::field::Empty;

pub use self::abandon::abandon;
pub use self::foresee::{Foreseen, foresee};

use self::configuration::Revision;
use self::identity::Wanted;
use self::pool::Arrived;
use self::stop::{Deadline, Stop};
use crate::basis::{BASIS, Mailbox};
use crate::cli::{Failure, Started};
use crate::client::Wire;
use crate::client::autoscaling::Hook;
use crate::client::calls::Calls;
use crate::client::imds::Imds;
use crate::client::s3::Store;
use crate::config::{NodeConfig, UserData};
use crate::converge::Ensured;
use crate::exchange::UserId;
use crate::facts::Facts;
use crate::facts::observe::Document;
use crate::host::{Machine, UnitState};
use crate::pki::PrivateKey;
use crate::report::{Outcome, Recorder, Stage};
use crate::watch::drain;

/// What the waits with a reason of their own are ahead of the deadline that has none.
const GRACE: Duration = Duration::from_secs(5);

/// Brings this machine up as a node, or says why not. In a warm pool that is when the group calls.
pub async fn boot(machine: &Machine, wire: Wire, started: Started) -> Result<(), Failure> {
    let began = Instant::now() - started.0.elapsed();
    let mut boot = Boot::new(machine, &wire, Stage::Launch, machine.origin()?.ago, began);
    loop {
        // On every line in the journal, as WINDLASS_INSTANCE and WINDLASS_GROUP, once they are known.
        let span = tracing::info_span!("boot", instance = Empty, group = Empty);
        match boot.run().instrument(span).await? {
            Arrived::Ready => return Ok(()),
            // It may have waited for days: everything is looked at anew, and there is as much time
            // as after a launch.
            Arrived::Warm => {
                let now = Instant::now();
                boot = Boot::new(machine, &wire, Stage::FromWarmPool, Duration::ZERO, now);
            }
        }
    }
}

struct Boot {
    machine: Machine,
    wire: Wire,
    calls: Calls,
    recorder: Recorder,
    stage: Stage,
    /// The first instruction.
    began: Instant,
}

/// What is known so far: a boot that fails still reports it, and abandons the hook that it knows.
#[derive(Default)]
struct Known {
    document: Option<Document>,
    user_data: Option<UserData>,
    revision: Option<Revision>,
    node: Option<String>,
    /// Where the report goes.
    mailbox: Option<(Store, UserId)>,
    hook: Option<Hook>,
    kubelet_ms: Option<f64>,
    ready_ms: Option<f64>,
    stage: Stage,
    notes: Vec<String>,
}

/// What a step leaves: a value, whether the host is another one now, and a line for a person.
#[derive(Debug)]
struct Done<T> {
    value: T,
    outcome: Outcome,
    detail: String,
}

/// Units and what they did when the boot began.
type Running = BTreeMap<String, UnitState>;

/// The way to S3 and the other services, as this instance's role.
#[derive(Clone, Copy)]
struct Aws<'a> {
    sdk: &'a SdkConfig,
    store: &'a Store,
}

/// Everything that admission needs, and what comes after it.
struct Candidate {
    facts: Facts,
    config: NodeConfig,
    revision: Revision,
    node: String,
    mailbox: Mailbox,
    key: PrivateKey,
    now: OffsetDateTime,
}

impl Boot {
    /// One that counts from `since_origin` ago on.
    fn new(
        machine: &Machine,
        wire: &Wire,
        stage: Stage,
        since_origin: Duration,
        began: Instant,
    ) -> Self {
        let (wire, calls) = wire.clone().counted();
        let recorder = Recorder::new(since_origin, calls.clone());
        Self { machine: machine.clone(), wire, calls, recorder, stage, began }
    }

    /// Until the node is Ready, or the group calls the instance out of its warm pool.
    async fn run(&self) -> Result<Arrived, Failure> {
        let mut known = Known { stage: self.stage, ..Known::default() };
        let ended = Box::pin(self.ascend(&mut known)).await;
        let arrived = Box::pin(self.conclude(&mut known, ended)).await?;
        if arrived == Arrived::Warm {
            Box::pin(self.rest(&known)).await?;
        }
        Ok(arrived)
    }

    async fn ascend(&self, known: &mut Known) -> Result<Arrived, Stop> {
        let imds = Imds::new(&self.wire);
        let told = async {
            self.network().await?;
            let (document, user_data, sdk) = self.metadata(&imds, known).await?;
            let store = Store::new(&sdk, &user_data.bucket);
            let (facts, revision) =
                try_join!(self.facts(&imds, document), self.configuration(&store, &user_data))?;
            Ok::<_, Stop>((sdk, store, facts, revision))
        };
        // What needs no network is done while there is none. If it fails, that is said when it is known
        // who fails.
        let (told, key, running) = join!(told, self.key(), self.running());
        let ((sdk, store, facts, revision), key, running) = (told?, key?, running?);
        let candidate = self.candidate(known, &sdk, &store, facts, revision, key).await?;
        let within = candidate.config.boot.deadline;
        let deadline = Deadline { at: self.began + within, after: within };
        let aws = Aws { sdk: &sdk, store: &store };
        let joining = Box::pin(async {
            if candidate.facts.instance.is_in_warm_pool() {
                self.warm_up(known, &candidate).await
            } else {
                self.join(known, aws, candidate, &running, deadline).await
            }
        });
        match timeout_at(deadline.at + GRACE, joining).await {
            Ok(ended) => ended,
            Err(_) => Err(Stop::late(anyhow!("not Ready within {deadline}"))),
        }
    }

    /// From a candidate to a node.
    async fn join(
        &self,
        known: &mut Known,
        aws: Aws<'_>,
        mut candidate: Candidate,
        running: &Running,
        deadline: Deadline,
    ) -> Result<Arrived, Stop> {
        let admitted = async {
            match identity::installed(&self.machine, candidate.wanted()) {
                Some(grant) => Ok(grant),
                None => self.admission(aws, &candidate, deadline).await,
            }
        };
        // On a machine that was a node before, the certificate is on the group's disk, too.
        let again = self.machine.path(BASIS).exists();
        if again {
            self.storage(&candidate).await?;
        }
        let storage = async { if again { Ok(()) } else { self.storage(&candidate).await } };
        let (grant, (), ()) = try_join!(admitted, self.prepare(&candidate), storage)?;
        self.ipv6(&mut candidate, deadline).await?;
        let units = self.install(&candidate, &grant).await?;
        let since = self.start(known, &units, running).await?;
        let node = self.ready(&candidate, since, deadline).await?;
        known.ready_ms = Some(self.recorder.now_ms());
        if !drain::is_marked(&node) {
            let instance = &candidate.facts.instance.id;
            if let Err(error) = drain::ensure_begun(&self.machine, instance, candidate.now) {
                tracing::warn!("`windlass watch` will ask the API server instead: {error:#}");
            }
        }
        let lacking = permissions::lacking(known, aws, &candidate);
        let (completed, lacking) = join!(self.complete_hook(known), lacking);
        lacking.iter().for_each(|it| tracing::error!(step = "hook", "{it}"));
        known.notes.extend(lacking);
        completed?;
        Ok(Arrived::Ready)
    }
}

impl Candidate {
    fn wanted(&self) -> Wanted<'_> {
        let (instance, node) = (&self.facts.instance.id, self.node.as_str());
        Wanted { instance, node, config: &self.config, now: self.now }
    }
}

fn outcome(ensured: &[Ensured]) -> Outcome {
    if ensured.contains(&Ensured::Changed) { Outcome::Changed } else { Outcome::Unchanged }
}
