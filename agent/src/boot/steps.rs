//! The steps of a boot, in their order. Each ends in a line of the log and of the report.

use std::future::Future;
use std::time::Duration;

use anyhow::anyhow;
use aws_config::SdkConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_types::timeout::TimeoutConfig;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use time::OffsetDateTime;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use tokio::try_join;
use tracing::Span;

use super::admission::{self, Asking};
use super::configuration::{self, Revision};
use super::ready::{self, Waiting};
use super::stop::{Deadline, Stop};
use super::{Aws, Boot, Candidate, Done, Known, Running};
use super::{end, identity, ipv6, own_admission};
use crate::basis::{BASIS, Mailbox, ensure_kept};
use crate::client::credentials::RoleCredentials;
use crate::client::imds::{self, Imds};
use crate::client::s3::Store;
use crate::client::sts;
use crate::config::{Role, UserData};
use crate::converge::{self, Changes, ensure_units};
use crate::exchange::{Grant, Keys, UserId};
use crate::facts::Facts;
use crate::facts::observe::{self, Document};
use crate::pki::PrivateKey;
use crate::plan::{self, Unit};
use crate::report::{BootStep, Outcome};

/// An answer of AWS takes milliseconds; a connection that fell silent is given up and made anew.
const ATTEMPT: Duration = Duration::from_secs(5);
const KUBELET: &str = "kubelet.service";
/// All that a plan may want to run.
const UNITS: [&str; 4] =
    ["containerd.service", KUBELET, "windlass-admit.service", "windlass-watch.service"];

impl Boot {
    /// Packets to IMDS leave the machine. This is earlier in its boot than its network.
    pub(super) async fn network(&self) -> Result<(), Stop> {
        let work = async {
            let began = Instant::now();
            let waited = timeout(imds::PATIENCE, self.machine.until_reachable(imds::ADDRESS)).await;
            let nothing = |_| {
                anyhow!(
                    "the kernel has no route to IMDS at {} within {} s\n\
                     hint: is this an EC2 instance, and is its network interface up and configured by DHCP?",
                    imds::ADDRESS,
                    imds::PATIENCE.as_secs()
                )
            };
            waited.map_err(nothing)??;
            let detail = format!("a route to IMDS after {} ms", began.elapsed().as_millis());
            Ok(Done { value: (), outcome: Outcome::Unchanged, detail })
        };
        self.step(BootStep::Network, Some("network"), work).await
    }

    /// Identity document, UserData and credentials: what it takes to ask S3.
    pub(super) async fn metadata(
        &self,
        imds: &Imds,
        known: &mut Known,
    ) -> Result<(Document, UserData, SdkConfig), Stop> {
        let work = async {
            let document = observe::document(imds).await?;
            Span::current().record("instance", document.instance_id.as_str());
            known.document = Some(document.clone());
            let user_data = UserData::parse(&observe::user_data(imds).await?)?;
            Span::current().record("group", user_data.group.as_str());
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

    pub(super) async fn facts(&self, imds: &Imds, document: Document) -> Result<Facts, Stop> {
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

    pub(super) async fn configuration(
        &self,
        store: &Store,
        user_data: &UserData,
    ) -> Result<Revision, Stop> {
        let work =
            configuration::obtain(&self.machine, store, user_data, self.wire.time.now().into());
        self.step(BootStep::Configuration, Some("s3"), work).await
    }

    pub(super) async fn key(&self) -> Result<PrivateKey, Stop> {
        let machine = self.machine.clone();
        let work = async {
            let made = spawn_blocking(move || identity::ensure_key(&machine));
            Ok(made.await.map_err(anyhow::Error::from)??)
        };
        self.step(BootStep::Key, None, work).await
    }

    /// Puts together who asks for what.
    pub(super) async fn candidate(
        &self,
        known: &mut Known,
        sdk: &SdkConfig,
        store: &Store,
        facts: Facts,
        revision: Revision,
        key: PrivateKey,
    ) -> Result<Candidate, Stop> {
        let mailbox = self.introduce(known, sdk, store, &facts, &revision).await?;
        let config = revision.config.clone();
        let node = plan::node::name(facts.instance.launched(), config.cluster.node_names);
        let now = OffsetDateTime::from(self.wire.time.now());
        Ok(Candidate { facts, config, revision, node, mailbox, key, now })
    }

    /// Under whose name a report goes where, and which hook waits.
    pub(super) async fn introduce(
        &self,
        known: &mut Known,
        sdk: &SdkConfig,
        store: &Store,
        facts: &Facts,
        revision: &Revision,
    ) -> Result<Mailbox, Stop> {
        let config = &revision.config;
        known.notes.extend(
            revision
                .stale
                .clone()
                .map(|reason| format!("booted with the last verified configuration: {reason}")),
        );
        known.revision = Some(revision.clone());
        known.hook = end::launch_hook(sdk, &facts.instance, config)?;
        known.node = Some(plan::node::name(facts.instance.launched(), config.cluster.node_names));
        let user = match &config.admission.role_ids[..] {
            // One role: no need to ask STS who we are; IAM denies the request if we are not.
            [role_id] => UserId { role_id: role_id.clone(), instance: facts.instance.id.clone() },
            _ => sts::user_id(sdk).await?,
        };
        known.mailbox = Some((store.clone(), user.clone()));
        Ok(Mailbox { bucket: store.bucket().to_owned(), user })
    }

    /// A worker asks and waits. A control-plane node may read the CA's key: it signs where a worker
    /// fetches, by the same rules, and so begins a cluster that has no admitter yet.
    pub(super) async fn admission(
        &self,
        aws: Aws<'_>,
        candidate: &Candidate,
        deadline: Deadline,
    ) -> Result<Grant, Stop> {
        let keys = Keys::of(&candidate.config.cluster.name);
        let Candidate { mailbox, revision, key, .. } = candidate;
        let asking = Asking {
            store: aws.store,
            keys: &keys,
            user: &mailbox.user,
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
    pub(super) async fn prepare(&self, candidate: &Candidate) -> Result<(), Stop> {
        let work = async {
            let plan = plan::before_grant(&candidate.facts, &candidate.config)?;
            let changes = converge::ensure(&self.machine, &plan).await?;
            Ok(done((), &changes, "what needs no grant"))
        };
        self.step(BootStep::Prepare, None, work).await
    }

    /// Where pods have IPv6, the node has its own and knows the router. It is waited for last: what
    /// went before took a part of that time.
    pub(super) async fn ipv6(
        &self,
        candidate: &mut Candidate,
        deadline: Deadline,
    ) -> Result<(), Stop> {
        let Candidate { facts, config, .. } = candidate;
        let wanted = config.network.pods.iter().any(|pods| matches!(pods, IpNet::V6(_)));
        let assigned = facts.instance.ipv6.filter(|_| wanted && facts.host.ipv6_router.is_none());
        if let Some(assigned) = assigned {
            let waited = ipv6::router(&self.machine, &facts.instance.mac, assigned, deadline);
            let router = self.step(BootStep::Ipv6, Some("network"), waited).await?;
            facts.host.ipv6_router = Some(router);
        }
        Ok(())
    }

    /// What the grant decides; the rest was prepared. Leaves the units that shall run.
    pub(super) async fn install(
        &self,
        candidate: &Candidate,
        grant: &Grant,
    ) -> Result<Vec<Unit>, Stop> {
        let work = async {
            let before = plan::before_grant(&candidate.facts, &candidate.config)?;
            let after = plan::after_grant(&candidate.facts, &candidate.config, grant)?;
            let (identity, basis, rest) = try_join!(
                self.install_identity(candidate, grant),
                self.keep_basis(candidate, grant),
                converge::ensure(&self.machine, &after)
            )?;
            let changes = identity.and(basis).and(rest);
            Ok(done(before.then(after).units, &changes, "files and routes"))
        };
        self.step(BootStep::Install, None, work).await
    }

    /// What `windlass watch` plans from.
    async fn keep_basis(&self, candidate: &Candidate, grant: &Grant) -> anyhow::Result<Changes> {
        let (machine, facts) = (self.machine.clone(), candidate.facts.clone());
        let (revision, pod_cidrs) = (candidate.revision.hash.clone(), grant.pod_cidrs.clone());
        let mailbox = candidate.mailbox.clone();
        let keeping =
            spawn_blocking(move || ensure_kept(&machine, &facts, &revision, &pod_cidrs, &mailbox));
        let mut changes = Changes::default();
        changes.add(keeping.await??, || BASIS.to_owned());
        Ok(changes)
    }

    /// The certificate, unless kubelet has a usable one, which it may have renewed itself.
    async fn install_identity(
        &self,
        candidate: &Candidate,
        grant: &Grant,
    ) -> anyhow::Result<Changes> {
        let mut changes = Changes::default();
        if identity::installed(&self.machine, candidate.wanted()).is_none() {
            let (machine, grant) = (self.machine.clone(), grant.clone());
            let (until, key) = (identity::written(grant.not_after), candidate.key.to_pem());
            let installing =
                spawn_blocking(move || identity::ensure_installed(&machine, &grant, &key));
            changes.add(installing.await??, || format!("certificate until {until}"));
        }
        Ok(changes)
    }

    /// What the units did before anything was changed.
    pub(super) async fn running(&self) -> Result<Running, Stop> {
        Ok(self.machine.unit_states(&UNITS).await?)
    }

    /// The units run. When kubelet was started just now, that is when.
    pub(super) async fn start(
        &self,
        known: &mut Known,
        units: &[Unit],
        running: &Running,
    ) -> Result<Option<OffsetDateTime>, Stop> {
        let now = OffsetDateTime::from(self.wire.time.now());
        let work = async {
            let started = ensure_units(&self.machine, units, running).await?;
            let kubelet = started.iter().any(|name| name == KUBELET);
            let changes = started.into_iter().map(|name| format!("started {name}"));
            let changes = Changes(changes.collect());
            Ok(done(kubelet.then_some(now), &changes, "every unit runs"))
        };
        let since = self.step(BootStep::Kubelet, None, work).await?;
        known.kubelet_ms = since.map(|_| self.recorder.now_ms());
        Ok(since)
    }

    pub(super) async fn ready(
        &self,
        candidate: &Candidate,
        since: Option<OffsetDateTime>,
        deadline: Deadline,
    ) -> Result<Node, Stop> {
        let Candidate { config, node, .. } = candidate;
        let waiting = Waiting { machine: &self.machine, wire: &self.wire, config, node, since };
        self.step(BootStep::Ready, Some("kubelet"), ready::node(waiting, deadline)).await
    }

    /// Runs one step and keeps what came of it.
    pub(super) fn step<'a, T: 'a>(
        &'a self,
        step: BootStep,
        waits_for: Option<&'static str>,
        work: impl Future<Output = Result<Done<T>, Stop>> + 'a,
    ) -> impl Future<Output = Result<T, Stop>> + 'a {
        // Boxed, and here: the SDK's futures are large, and those of all steps would lie in one.
        let work = Box::pin(work);
        async move {
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
}

pub(super) fn done<T>(value: T, changes: &Changes, unchanged: &str) -> Done<T> {
    match changes.0.len() {
        0 => {
            Done { value, outcome: Outcome::Unchanged, detail: format!("{unchanged}: as planned") }
        }
        _ => Done { value, outcome: Outcome::Changed, detail: changes.0.join(", ") },
    }
}
