//! `windlass boot`: from the first question to IMDS to the Node that is Ready.
//!
//! [`Boot::ascend`] is the whole story. Nothing remembers how far an earlier run came: each step
//! looks at what is there, so a run after a killed one goes on, and a run on a node that is Ready
//! changes nothing and says so.

mod admission;
mod configuration;
mod end;
mod identity;
mod own_admission;
mod ready;
mod stop;

use std::future::Future;
use std::time::Duration;

use anyhow::anyhow;
use aws_config::SdkConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_types::timeout::TimeoutConfig;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};
use tokio::try_join;

use self::admission::Asking;
use self::configuration::Revision;
use self::identity::Wanted;
use self::ready::Waiting;
use self::stop::{Deadline, Stop};
use crate::cli::{Failure, Started};
use crate::client::autoscaling::Hook;
use crate::client::calls::Calls;
use crate::client::credentials::RoleCredentials;
use crate::client::imds::Imds;
use crate::client::s3::Store;
use crate::client::{Wire, sts};
use crate::config::{NodeConfig, Role, UserData};
use crate::converge::{self, Changes, Ensured, ensure_unit};
use crate::exchange::{Grant, Keys, UserId};
use crate::facts::Facts;
use crate::facts::observe::{self, Document};
use crate::host::Machine;
use crate::pki::PrivateKey;
use crate::plan::{self, Unit};
use crate::report::{BootStep, Outcome, Recorder};

/// An answer of AWS takes milliseconds; a connection that fell silent is given up and made anew.
const ATTEMPT: Duration = Duration::from_secs(5);
const KUBELET: &str = "kubelet.service";
/// What the waits with a reason of their own are ahead of the deadline that has none.
const GRACE: Duration = Duration::from_secs(5);

/// Brings this machine up as a node, or says why not.
pub async fn boot(machine: &Machine, wire: Wire, started: Started) -> Result<(), Failure> {
    let (wire, calls) = wire.counted();
    let ran = started.0.elapsed();
    let origin = machine.origin()?;
    let recorder = Recorder::new(origin.ago, calls.clone());
    let boot =
        Boot { machine: machine.clone(), wire, calls, recorder, began: Instant::now() - ran };
    let mut known = Known::default();
    let ended = boot.ascend(&mut known).await;
    boot.conclude(known, ended).await.map_err(Failure::from)
}

/// What a boot would find and plan now; nothing is changed, nobody is asked to admit anybody.
pub async fn foresee(machine: &Machine, wire: &Wire) -> Result<Foreseen, Failure> {
    let imds = Imds::new(wire);
    let seen = async {
        let document = observe::document(&imds).await?;
        let user_data = UserData::parse(&observe::user_data(&imds).await?)?;
        let role = SharedCredentialsProvider::new(RoleCredentials::new(imds.clone()));
        let sdk = wire.instance(&document.region, role).await;
        let store = Store::new(&sdk, &user_data.bucket);
        let facts = observe::facts(machine, &imds, document).await?;
        let found = configuration::find(machine, &store, &user_data).await?;
        let config = found.revision.config;
        let node = plan::node::name(facts.instance.launched(), config.cluster.node_names);
        let now = OffsetDateTime::from(wire.time.now());
        let wanted = Wanted { instance: &facts.instance.id, node: &node, config: &config, now };
        let grant = identity::installed(machine, wanted);
        Ok::<_, Stop>(Foreseen { facts, config, grant })
    };
    Ok(seen.await?)
}

/// What a plan is made from.
pub struct Foreseen {
    pub facts: Facts,
    pub config: NodeConfig,
    /// The one that is installed.
    pub grant: Option<Grant>,
}

struct Boot {
    machine: Machine,
    wire: Wire,
    calls: Calls,
    recorder: Recorder,
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
    notes: Vec<String>,
}

/// What a step leaves: a value, whether the host is another one now, and a line for a person.
#[derive(Debug)]
struct Done<T> {
    value: T,
    outcome: Outcome,
    detail: String,
}

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
    user: UserId,
    key: PrivateKey,
    now: OffsetDateTime,
}

impl Boot {
    async fn ascend(&self, known: &mut Known) -> Result<(), Stop> {
        let imds = Imds::new(&self.wire);
        let (document, user_data, sdk) = self.metadata(&imds, known).await?;
        let store = Store::new(&sdk, &user_data.bucket);
        let (facts, revision, key) = try_join!(
            self.facts(&imds, document),
            self.configuration(&store, &user_data),
            self.key()
        )?;
        let candidate = self.candidate(known, &sdk, &store, facts, revision, key).await?;
        let within = candidate.config.boot.deadline;
        let deadline = Deadline { at: self.began + within, after: within };
        let aws = Aws { sdk: &sdk, store: &store };
        match timeout_at(deadline.at + GRACE, self.join(known, aws, &candidate, deadline)).await {
            Ok(ended) => ended,
            Err(_) => Err(Stop::late(anyhow!("not Ready within {deadline}"))),
        }
    }

    /// From a candidate to a node.
    async fn join(
        &self,
        known: &mut Known,
        aws: Aws<'_>,
        candidate: &Candidate,
        deadline: Deadline,
    ) -> Result<(), Stop> {
        let grant = match identity::installed(&self.machine, candidate.wanted()) {
            Some(grant) => grant,
            None => {
                let admission = self.admission(aws, candidate, deadline);
                try_join!(admission, self.prepare(candidate))?.0
            }
        };
        let units = self.install(candidate, &grant).await?;
        let since = self.start(known, units).await?;
        self.ready(candidate, since, deadline).await?;
        known.ready_ms = Some(self.recorder.now_ms());
        self.complete_hook(known).await
    }

    /// Identity document, UserData and credentials: what it takes to ask S3.
    async fn metadata(
        &self,
        imds: &Imds,
        known: &mut Known,
    ) -> Result<(Document, UserData, SdkConfig), Stop> {
        let work = async {
            let document = observe::document(imds).await?;
            known.document = Some(document.clone());
            let user_data = UserData::parse(&observe::user_data(imds).await?)?;
            known.user_data = Some(user_data.clone());
            let role = RoleCredentials::new(imds.clone());
            role.fetch().await.map_err(anyhow::Error::from)?;
            let role = SharedCredentialsProvider::new(role);
            let sdk = self.wire.instance(&document.region, role).await;
            let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
            let sdk = sdk.into_builder().timeout_config(timeouts).build();
            let detail = format!(
                "{} in {}, group `{}` of cluster `{}`",
                document.instance_id,
                document.availability_zone,
                user_data.group,
                user_data.cluster
            );
            Ok(Done { value: (document, user_data, sdk), outcome: Outcome::Unchanged, detail })
        };
        self.step(BootStep::Metadata, Some("imds"), work).await
    }

    async fn facts(&self, imds: &Imds, document: Document) -> Result<Facts, Stop> {
        let work = async {
            let value = observe::facts(&self.machine, imds, document).await?;
            let detail = format!(
                "{}, {} CPUs, {} MiB, {} with an MTU of {}",
                value.instance.instance_type,
                value.host.cpus,
                value.host.memory_bytes >> 20,
                value.host.interface,
                value.host.mtu
            );
            Ok(Done { value, outcome: Outcome::Unchanged, detail })
        };
        self.step(BootStep::Facts, None, work).await
    }

    async fn configuration(&self, store: &Store, user_data: &UserData) -> Result<Revision, Stop> {
        let work = configuration::obtain(&self.machine, store, user_data);
        self.step(BootStep::Configuration, Some("s3"), work).await
    }

    async fn key(&self) -> Result<PrivateKey, Stop> {
        let machine = self.machine.clone();
        let work = async {
            let made = tokio::task::spawn_blocking(move || identity::ensure_key(&machine));
            Ok(made.await.map_err(anyhow::Error::from)??)
        };
        self.step(BootStep::Key, None, work).await
    }

    /// Puts together who asks for what.
    async fn candidate(
        &self,
        known: &mut Known,
        sdk: &SdkConfig,
        store: &Store,
        facts: Facts,
        revision: Revision,
        key: PrivateKey,
    ) -> Result<Candidate, Stop> {
        let config = revision.config.clone();
        known.notes.extend(
            revision
                .stale
                .clone()
                .map(|reason| format!("booted with the last verified configuration: {reason}")),
        );
        known.revision = Some(revision.clone());
        known.hook = end::launch_hook(sdk, &facts.instance, &config)?;
        let node = plan::node::name(facts.instance.launched(), config.cluster.node_names);
        known.node = Some(node.clone());
        let user = match &config.admission.role_ids[..] {
            // One role: no need to ask STS who we are; IAM denies the request if we are not.
            [role_id] => UserId { role_id: role_id.clone(), instance: facts.instance.id.clone() },
            _ => sts::user_id(sdk).await?,
        };
        known.mailbox = Some((store.clone(), user.clone()));
        let now = OffsetDateTime::from(self.wire.time.now());
        Ok(Candidate { facts, config, revision, node, user, key, now })
    }

    /// A worker asks and waits. A control-plane node may read the CA's key: it signs where a worker
    /// fetches, by the same rules, and so begins a cluster that has no admitter yet.
    async fn admission(
        &self,
        aws: Aws<'_>,
        candidate: &Candidate,
        deadline: Deadline,
    ) -> Result<Grant, Stop> {
        let keys = Keys::of(&candidate.config.cluster.name);
        let Candidate { user, revision, key, .. } = candidate;
        let asking = Asking {
            store: aws.store,
            keys: &keys,
            user,
            revision,
            key,
            wanted: candidate.wanted(),
        };
        if candidate.config.node.role == Role::ControlPlane {
            let signed = own_admission::grant(asking, aws.sdk, &self.wire, deadline);
            return self.step(BootStep::Grant, Some("s3"), signed).await;
        }
        let request = admission::request(asking);
        let round_trip = self.step(BootStep::Request, Some("s3"), request).await?;
        let grant = admission::grant(asking, round_trip, deadline);
        self.step(BootStep::Grant, Some("admission"), grant).await
    }

    /// All that needs no grant.
    async fn prepare(&self, candidate: &Candidate) -> Result<(), Stop> {
        let work = async {
            let plan = plan::before_grant(&candidate.facts, &candidate.config)?;
            let changes = converge::ensure(&self.machine, &plan).await?;
            Ok(done((), &changes, "what needs no grant"))
        };
        self.step(BootStep::Prepare, None, work).await
    }

    /// The whole plan: with the grant it is known, and what was prepared is found unchanged. Leaves
    /// the units that shall run.
    async fn install(&self, candidate: &Candidate, grant: &Grant) -> Result<Vec<Unit>, Stop> {
        let work = async {
            let before = plan::before_grant(&candidate.facts, &candidate.config)?;
            let plan = before.then(plan::after_grant(&candidate.facts, &candidate.config, grant)?);
            let changes = self.install_identity(candidate, grant)?;
            let changes = changes.and(converge::ensure(&self.machine, &plan).await?);
            Ok(done(plan.units, &changes, "files, settings and routes"))
        };
        self.step(BootStep::Install, None, work).await
    }

    /// The certificate, unless kubelet has a usable one, which it may have renewed itself.
    fn install_identity(&self, candidate: &Candidate, grant: &Grant) -> anyhow::Result<Changes> {
        let mut changes = Changes::default();
        if identity::installed(&self.machine, candidate.wanted()).is_none() {
            let ensured = identity::ensure_installed(&self.machine, grant, &candidate.key)?;
            changes.add(ensured, || format!("certificate until {}", grant.not_after));
        }
        Ok(changes)
    }

    /// The units run. When kubelet was started just now, that is when.
    async fn start(
        &self,
        known: &mut Known,
        units: Vec<Unit>,
    ) -> Result<Option<OffsetDateTime>, Stop> {
        let now = OffsetDateTime::from(self.wire.time.now());
        let work = async {
            let (mut changes, mut since) = (Changes::default(), None);
            for unit in &units {
                let ensured = ensure_unit(&self.machine, unit).await?;
                changes.add(ensured, || format!("started {}", unit.name));
                if unit.name == KUBELET && ensured == Ensured::Changed {
                    since = Some(now);
                    known.kubelet_ms = Some(self.recorder.now_ms());
                }
            }
            Ok(done(since, &changes, "every unit runs"))
        };
        self.step(BootStep::Kubelet, None, work).await
    }

    async fn ready(
        &self,
        candidate: &Candidate,
        since: Option<OffsetDateTime>,
        deadline: Deadline,
    ) -> Result<(), Stop> {
        let Candidate { config, node, .. } = candidate;
        let waiting = Waiting { machine: &self.machine, wire: &self.wire, config, node, since };
        self.step(BootStep::Ready, Some("kubelet"), ready::node(waiting, deadline)).await
    }

    /// Runs one step and keeps what came of it.
    async fn step<T>(
        &self,
        step: BootStep,
        waits_for: Option<&'static str>,
        work: impl Future<Output = Result<Done<T>, Stop>>,
    ) -> Result<T, Stop> {
        let running = self.recorder.begin(step, waits_for);
        match work.await {
            Ok(Done { value, outcome, detail }) => {
                running.end(outcome, &detail);
                Ok(value)
            }
            Err(stop) => {
                running.fail(&stop.reason);
                Err(stop)
            }
        }
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

fn done<T>(value: T, changes: &Changes, unchanged: &str) -> Done<T> {
    match changes.0.len() {
        0 => {
            Done { value, outcome: Outcome::Unchanged, detail: format!("{unchanged}: as planned") }
        }
        _ => Done { value, outcome: Outcome::Changed, detail: changes.0.join(", ") },
    }
}
