//! Observes, lets [`step`] decide, writes the decision down, and does what it says.

use std::convert::Infallible;
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use time::OffsetDateTime;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::cluster::Cluster;
use super::hook;
use super::journal::Journal;
use super::pods::follow;
use super::rules::Rules;
use super::said;
use super::sources::{Now, Sources};
use super::state::{Leaving, State};
use super::step::{Effect, HookAnswer, Observation, step};
use crate::boot::Basis;
use crate::client::Wire;
use crate::client::autoscaling::Hook;
use crate::client::credentials::RoleCredentials;
use crate::client::imds::Imds;
use crate::host::Machine;
use crate::plan::node;
use crate::watch::Status;

/// An earlier run's drain goes on without IMDS if need be, but not before it was asked.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// What may wait unread of what somebody tells.
const UNREAD: usize = 64;

/// Lets the node go when that is announced.
pub struct Drainer {
    wire: Wire,
    journal: Journal,
    leaving: Leaving,
    rules: Rules,
    cluster: Cluster,
    node: String,
    hook: Option<Hook>,
    announcements: Told,
    pods: Option<Told>,
    /// What was begun and is not answered yet.
    under_way: FuturesUnordered<BoxFuture<'static, Observation>>,
    status: Status,
}

/// What a task tells, for as long as it is listened to. A task of its own, so that a request is not
/// cut off because something else was observed first.
struct Told {
    task: JoinHandle<()>,
    told: Receiver<Observation>,
}

impl Told {
    fn by<T: Future<Output = ()> + Send + 'static>(
        teller: impl FnOnce(Sender<Observation>) -> T,
    ) -> Self {
        let (tell, told) = channel(UNREAD);
        Self { task: tokio::spawn(teller(tell)), told }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drainer {
    /// Of a machine that was booted.
    pub async fn new(
        machine: &Machine,
        wire: &Wire,
        basis: &Basis,
        status: Status,
    ) -> anyhow::Result<Self> {
        let Basis { facts, config, .. } = basis;
        let instance = &facts.instance;
        let imds = Imds::new(wire);
        let node = node::name(instance.launched(), config.cluster.node_names);
        let time = OffsetDateTime::from(wire.time.now());
        let (journal, leaving) = Journal::open(machine, &instance.id, time)?;
        let hook = match (&config.hooks.termination, &instance.auto_scaling_group) {
            (Some(name), Some(group)) => {
                let role = SharedCredentialsProvider::new(RoleCredentials::new(imds.clone()));
                let sdk = wire.instance(&instance.region, role).await;
                Some(Hook::new(&sdk, group, name, &instance.id))
            }
            (Some(name), None) => {
                tracing::error!(
                    "the termination hook `{name}` would not be completed: IMDS does not say which Auto Scaling group this instance is of\n\
                     hint: the launch template needs `InstanceMetadataTags: enabled` in its MetadataOptions"
                );
                None
            }
            (None, _) => None,
        };
        let clock = clock(&journal, wire)?;
        let mut rules = Rules::of(config);
        rules.hook_timeout = rules.hook_timeout.filter(|_| hook.is_some());
        let drainer = Self {
            wire: wire.clone(),
            journal,
            leaving,
            rules,
            cluster: Cluster::new(machine, wire, &config.api, &node),
            node,
            hook,
            announcements: Told::by(|to| Sources::new(imds).tell(clock, to)),
            pods: None,
            under_way: FuturesUnordered::new(),
            status,
        };
        drainer.prepare();
        Ok(drainer)
    }

    /// What hinders nothing while it goes on: a cordon of ours that the journal does not know is
    /// given back, and the role's permissions are tried.
    fn prepare(&self) {
        if self.leaving.state == State::Serving {
            let cluster = self.cluster.clone();
            let giving_back = async move { Observation::Uncordoned(cluster.uncordon().await) };
            self.under_way.push(Box::pin(giving_back));
        }
        if let Some(hook) = self.hook.clone() {
            self.under_way.push(Box::pin(async move {
                hook::try_permissions(&hook).await;
                Observation::Tick
            }));
        }
    }

    /// For as long as the machine runs.
    pub async fn run(mut self) -> anyhow::Result<Infallible> {
        let first = timeout(FIRST_ANSWER, self.announcements.told.recv()).await;
        self.observe(first.ok().flatten().unwrap_or(Observation::Tick))?;
        loop {
            let observed = self.next().await?;
            self.observe(observed)?;
        }
    }

    async fn next(&mut self) -> anyhow::Result<Observation> {
        let now = self.journal.now()?;
        let wake = self.leaving.wake(&self.rules, now).map(|at| Instant::now() + at.since(now));
        let pods = async {
            match &mut self.pods {
                Some(pods) => pods.told.recv().await,
                None => None,
            }
        };
        Ok(tokio::select! {
            Some(standing) = self.announcements.told.recv() => standing,
            Some(done) = self.under_way.next() => done,
            Some(told) = pods => told,
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => Observation::Tick,
        })
    }

    fn observe(&mut self, observed: Observation) -> anyhow::Result<()> {
        let now = self.journal.now()?;
        said::answer(&observed);
        // From then on load balancers have their time.
        let answers_the_cordon = matches!(observed, Observation::Cordoned(_));
        let before = std::mem::take(&mut self.leaving);
        let (after, effects) = step(before.clone(), observed, &self.rules, now);
        let turned = said::turn(&before, &after, &self.rules, now);
        if !effects.is_empty() || turned.is_some() || answers_the_cordon {
            self.journal.write(&after, self.wire.time.now().into());
        }
        self.leaving = after;
        self.status.set(said::status(&self.leaving, &self.rules, now));
        if let Some(turned) = turned {
            turned.log();
            let cluster = self.cluster.clone();
            self.under_way.push(Box::pin(async move {
                cluster.event(turned.warning, turned.reason, &turned.message).await;
                Observation::Tick
            }));
        }
        self.follow_pods();
        for effect in effects {
            self.begin(effect);
        }
        Ok(())
    }

    fn follow_pods(&mut self) {
        if !self.leaving.wants_pods() {
            self.pods = None;
        } else if self.pods.is_none() {
            let (cluster, node) = (self.cluster.clone(), self.node.clone());
            self.pods = Some(Told::by(|to| follow(cluster, node, to)));
        }
    }

    fn begin(&mut self, effect: Effect) {
        said::effect(&effect);
        let (cluster, hook) = (self.cluster.clone(), self.hook.clone());
        self.under_way.push(Box::pin(async move {
            match effect {
                Effect::Cordon { exclude } => Observation::Cordoned(cluster.cordon(exclude).await),
                Effect::Uncordon => Observation::Uncordoned(cluster.uncordon().await),
                Effect::Evict { pod, grace } => {
                    let answer = cluster.evict(&pod, grace).await;
                    Observation::Answered(pod.uid, answer)
                }
                Effect::Delete { pod, grace } => {
                    let answer = cluster.delete(&pod, grace).await;
                    Observation::Answered(pod.uid, answer)
                }
                Effect::LookAtVolumes => Observation::Volumes(cluster.volumes().await),
                Effect::Heartbeat => Observation::Beaten(match &hook {
                    Some(hook) => hook::heartbeat(hook).await,
                    None => HookAnswer::NothingPending,
                }),
                Effect::Complete => Observation::Completed(match &hook {
                    Some(hook) => hook::complete(hook).await,
                    None => HookAnswer::NothingPending,
                }),
            }
        }));
    }
}

/// Both clocks, the drain's and the wall's.
fn clock(journal: &Journal, wire: &Wire) -> anyhow::Result<impl Fn() -> Now + Send + use<>> {
    let (clock, began, time) = (journal.clock(), journal.now()?, wire.time.clone());
    // A clock that could be read a moment ago can be read.
    Ok(move || Now { moment: clock().unwrap_or(began), time: time.now().into() })
}
