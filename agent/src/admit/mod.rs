//! Lets the right instances in: each gets a certificate, a pod CIDR and a Node, or a reason.
//!
//! Any number of admitters may run. Each write that could race is conditional, each step can be
//! done twice, and nothing is right only because somebody leads (section 4 of the design).
//!
//! The way of a request: [`inbox`] (or [`doorstep`], sooner) finds it, [`verify`] judges it by what
//! [`expect`] has seen in EC2, [`grant`] makes real what it asks for and writes it down. [`routes`]
//! has begun with that when EC2 first told of the instance.

mod apiserver;
pub mod audit;
mod bindings;
mod book;
mod collect;
mod complaints;
mod configs;
mod counters;
mod doorstep;
mod expect;
mod grant;
mod inbox;
mod leader;
pub mod lease;
mod node;
mod pace;
mod refusal;
mod rounds;
pub mod routes;
mod seen;
mod serving;
pub mod terrain;
pub mod verify;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};
use aws_smithy_async::time::SharedTimeSource;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::audit::Decision;
use self::book::Book;
use self::counters::Counters;
use self::leader::Load;
use self::pace::Lead;
use self::rounds::{Round, Rounds};
use self::seen::Seen;
use crate::client::autoscaling::Groups;
use crate::client::ec2::Ec2;
use crate::client::s3::Store;
use crate::config::NodeConfig;
use crate::exchange::{Grant, InstanceId, Keys, Request, UserId};
use crate::pki::{CertificateAuthority, PrivateKey};

pub use self::apiserver::ApiServer;
pub use self::configs::Configs;
pub use self::refusal::Refusal;

/// The name of the authority that the API server trusts clients by, in `pki/<ca>/…`.
pub const CLIENT_AUTHORITY: &str = "kubernetes";

/// How often it is looked whether the admitter's own group has another revision.
const CONFIGURATION: Duration = Duration::from_secs(60);

/// What an admitter is made of.
#[derive(Debug)]
pub struct Resources {
    pub store: Store,
    pub ec2: Ec2,
    pub groups: Groups,
    pub clock: SharedTimeSource,
    /// The verified revision of the control-plane group that this instance is of: says cluster,
    /// VPC, pod network and how nodes are called.
    pub config: NodeConfig,
    /// The authority of the generation that `config` names.
    pub authority: CertificateAuthority,
    /// The instance that this runs on. An EC2 listing without it is not believed.
    pub instance: InstanceId,
    /// How to reach the API server; absent where there is none (a first boot, a simulation).
    pub apiserver: Option<ApiServer>,
    /// Whether `config` is the group's current revision, and a newer one ends the run.
    pub follows_group: bool,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Told,
    /// There is another cluster, pod network or authority to work by.
    ConfigurationChanged,
}

/// Decides about requests.
#[derive(Debug)]
pub struct Admitter {
    store: Store,
    ec2: Ec2,
    groups: Groups,
    clock: SharedTimeSource,
    keys: Keys,
    config: NodeConfig,
    authority: Arc<CertificateAuthority>,
    instance: InstanceId,
    configs: Configs,
    book: Book,
    nodes: Option<node::Nodes>,
    board: routes::Board,
    seen: Mutex<Seen>,
    lead: Mutex<Lead>,
    counters: Counters,
    rounds: Rounds,
    /// Somebody is expected who was not a moment ago.
    somebody_came: Notify,
    follows_group: bool,
}

/// Why an own request has no grant.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// A retry does not cure it.
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl Admitter {
    /// An admitter that has seen nothing yet.
    pub fn new(resources: Resources) -> Self {
        let Resources {
            store,
            ec2,
            groups,
            clock,
            config,
            authority,
            instance,
            apiserver,
            follows_group,
        } = resources;
        let keys = Keys::of(&config.cluster.name);
        let authority = Arc::new(authority);
        let configs = Configs::new(store.clone(), keys.clone());
        let book = Book::new(store.clone(), keys.leases(), config.network.clone());
        let nodes = apiserver
            .map(|server| node::Nodes::new(server.into_admitter(authority.clone(), clock.clone())));
        Self {
            store,
            ec2,
            groups,
            clock,
            keys,
            config,
            authority,
            instance,
            configs,
            book,
            nodes,
            board: routes::Board::default(),
            seen: Mutex::default(),
            lead: Mutex::new(Lead::Leader),
            counters: Counters::default(),
            rounds: Rounds::default(),
            somebody_came: Notify::new(),
            follows_group,
        }
    }

    /// Admits until `shutdown` ends or the configuration is another one.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<Ended> {
        let admitter = Arc::new(self);
        // Dropping the set ends every task in it.
        let mut tasks = JoinSet::new();
        tasks.spawn(admitter.clone().lead_or_follow());
        tasks.spawn(admitter.clone().expect_instances());
        tasks.spawn(admitter.clone().keep_routes());
        tasks.spawn(admitter.clone().answer_inbox());
        tasks.spawn(admitter.clone().collect_garbage());
        if admitter.nodes.is_some() {
            tasks.spawn(admitter.clone().keep_bindings());
            tasks.spawn(admitter.clone().complete_nodes());
            tasks.spawn(admitter.clone().approve_serving_certificates());
        }
        let ended = tokio::select! {
            biased;
            () = shutdown => Ok(Ended::Told),
            () = admitter.configuration_changed() => Ok(Ended::ConfigurationChanged),
            Some(Err(broken)) = tasks.join_next() => {
                Err(broken).context("a loop of the admitter broke")
            }
        };
        tasks.abort_all();
        admitter.resign().await;
        admitter.counters.log();
        ended
    }

    /// Decides about the request of the instance that this runs on, by the same rules as for any
    /// other, and returns its grant. A control-plane node signs where a worker fetches. When it asked
    /// is what the request says: this very program has made it, and may have to try for long.
    pub async fn admit_self(&self, user: &UserId, request: &Request) -> Result<Grant, NotAdmitted> {
        let described = self.ec2.instances_by_id(std::slice::from_ref(&user.instance)).await;
        let described = described.context("looking for this instance in EC2")?;
        self.seen.lock().expect("what was seen").described(described, self.now());
        let decided = tokio::select! {
            biased;
            decided = self.decide(user, request, request.at) => decided?,
            never = self.route(Some(&user.instance)) => match never {},
        };
        let (decision, grant) = match decided {
            Ok(decided) => decided,
            Err(refusal) => {
                self.write_denial(user, Some(request), &refusal).await?;
                return Err(refusal.into());
            }
        };
        self.write_decision(user, decision, &grant).await?;
        Ok(grant)
    }

    /// What was decided since the start, by name.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.counters.all()
    }

    fn now(&self) -> OffsetDateTime {
        self.clock.now().into()
    }

    fn lead(&self) -> Lead {
        *self.lead.lock().expect("who leads")
    }

    async fn configuration_changed(&self) {
        loop {
            tokio::time::sleep(CONFIGURATION).await;
            if !self.follows_group {
                continue;
            }
            if let Ok(Some(current)) = self.configs.current(&self.config.group).await {
                let NodeConfig { cluster, api, network, admission, .. } = &self.config;
                let same = (cluster, api, network, admission)
                    == (&current.cluster, &current.api, &current.network, &current.admission);
                if !same {
                    return;
                }
            }
        }
    }

    async fn lead_or_follow(self: Arc<Self>) {
        let (mut candidate, began) = (leader::Candidate::default(), self.now());
        let key = self.keys.leader();
        loop {
            let (load, now) = (self.load(), self.now());
            let listed = self.seen.lock().expect("what was seen").latest_listing();
            // Who does not see EC2 must not lead those who do.
            let lead = if now - listed.unwrap_or(began) > leader::BLIND {
                if self.lead() == Lead::Leader {
                    self.resign().await;
                }
                Ok(Lead::Follower)
            } else {
                candidate.stand(&self.store, &key, &self.instance, load, now).await
            };
            let lead = lead.unwrap_or_else(|error| {
                tracing::warn!("who leads is not known: {error:#}");
                // Without a word about a leader everybody looks often.
                Lead::Leader
            });
            let before = std::mem::replace(&mut *self.lead.lock().expect("who leads"), lead);
            if before != lead {
                tracing::info!("now {lead:?}");
            }
            self.counters.log();
            self.round_ended(Round::Lead);
            let asked = Instant::now();
            while asked.elapsed() < leader::renewal(self.load()) {
                tokio::time::sleep(leader::RENEWAL_BUSY).await;
            }
        }
    }

    /// Whether somebody waits who would wait longer without a leader.
    fn load(&self) -> Load {
        let idle = !self.expects_anybody() && self.board.underway() == 0;
        if idle { Load::Idle } else { Load::Busy }
    }

    async fn resign(&self) {
        let key = self.keys.leader();
        if let Err(error) = leader::resign(&self.store, &key, &self.instance, self.now()).await {
            tracing::warn!("could not resign as leader: {error:#}");
        }
    }

    fn count(&self, decision: Decision) {
        self.counters.count(decision.word());
    }
}

/// The authority that signs for nodes, of the generation that `config` names.
pub async fn load_authority(
    store: &Store,
    config: &NodeConfig,
) -> anyhow::Result<CertificateAuthority> {
    let keys = Keys::of(&config.cluster.name);
    let generation = config.api.ca_generation;
    let certificate = text(store, &keys.ca_certificate(CLIENT_AUTHORITY, generation)).await?;
    let key = text(store, &keys.ca_key(CLIENT_AUTHORITY, generation)).await?;
    CertificateAuthority::load(&certificate, PrivateKey::from_pem(&key)?)
}

async fn text(store: &Store, key: &str) -> anyhow::Result<String> {
    let Some(object) = store.get(key).await? else {
        bail!(
            "there is no `s3://{}/{key}`\nhint: `windlass cluster init` makes the authority",
            store.bucket()
        );
    };
    String::from_utf8(object.bytes).with_context(|| format!("`{key}` is not text"))
}

#[cfg(test)]
mod testing;
