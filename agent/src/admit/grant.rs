//! From a judged request to a grant. A grant means that certificate, pod CIDR and route are real:
//! [`Admitter::make_real`] is the one place that sees to it, and the grant is written after it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use ipnet::IpNet;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::audit::{Decision, Entry};
use super::configs::Unusable;
use super::expect::{list, node_of};
use super::lease::{Holder, NoLease};
use super::refusal::Refusal;
use super::verify::{Admissible, Case, InTimeBy, verify};
use super::{Admitter, node};
use crate::client::autoscaling::NotSaid;
use crate::client::ec2::Instance;
use crate::client::s3::{Condition, Written};
use crate::config::NodeConfig;
use crate::exchange::{Denied, Grant, InstanceId, Request, UserId};

/// The decision about a request: what was done and the grant, or why not.
pub(super) type Decided = Result<(Decision, Grant), Refusal>;

/// Another admitter was faster, while this one waited for routes.
#[derive(Debug, thiserror::Error)]
#[error("another admitter has granted it")]
pub(super) struct Answered;

/// What takes longer than this may find the world another one.
const A_MOMENT: Duration = Duration::from_secs(1);

impl Admitter {
    /// Decides about what was `asked` then and, where it is a yes, writes the grant. An error means
    /// that nothing is decided: somebody did not answer, and the request is to be looked at again.
    pub(super) async fn decide(
        &self,
        user: &UserId,
        request: &Request,
        asked: OffsetDateTime,
    ) -> anyhow::Result<Decided> {
        let (group, revision) = match self.configuration(request).await? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut in_time_by = InTimeBy::Launch;
        let mut judged = self.judge(user, request, &group, asked, in_time_by)?;
        if matches!(judged, Err(Refusal::AskedTooLate { .. }))
            && self.is_called(&user.instance).await?
        {
            in_time_by = InTimeBy::Group;
            judged = self.judge(user, request, &group, asked, in_time_by)?;
        }
        let (instance, mut admissible) = match judged {
            Ok(judged) => judged,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (began, began_at) = (Instant::now(), self.now());
        let pod_cidrs = match self.make_real(&instance, &revision).await? {
            Ok(pod_cidrs) => pod_cidrs,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if began.elapsed() > A_MOMENT {
            let found = self.store.find(&self.keys.grant(user)).await?;
            let found = found.and_then(|it| serde_json::from_slice::<Grant>(&it.bytes).ok());
            if found.is_some_and(|grant| grant.at >= began_at) {
                return Err(Answered.into());
            }
            admissible = match self.judge(user, request, &group, asked, in_time_by)? {
                Ok((_, admissible)) => admissible,
                Err(refusal) => return Ok(Err(refusal)),
            };
        }
        self.deliver(user, request, &admissible, pod_cidrs).await
    }

    /// By the rules, and by what EC2 said of the instance last.
    fn judge(
        &self,
        user: &UserId,
        request: &Request,
        group: &NodeConfig,
        asked: OffsetDateTime,
        in_time_by: InTimeBy,
    ) -> anyhow::Result<Result<(Instance, Admissible), Refusal>> {
        let now = self.now();
        let instance = {
            let seen = self.seen.lock().expect("what was seen");
            seen.instance(&user.instance, now).cloned()
        };
        let instance =
            instance.with_context(|| format!("EC2 has not described {}", user.instance))?;
        let case = Case { user, request, group, instance: &instance, asked, in_time_by };
        let verified = verify(&case);
        Ok(verified.map(|admissible| (instance, admissible)))
    }

    /// Whether its Auto Scaling group puts the instance into service now: asked of those who were
    /// launched too long ago, as whoever waited in a warm pool was.
    async fn is_called(&self, instance: &InstanceId) -> anyhow::Result<bool> {
        match self.groups.lifecycle_state(instance).await {
            Ok(state) => Ok(state.is_some_and(|state| {
                matches!(state.as_str(), "Pending" | "Pending:Wait" | "Pending:Proceed")
            })),
            Err(NotSaid::Failed(said)) => Err(anyhow!(said)),
            Err(denied @ NotSaid::Denied(_)) => {
                tracing::warn!(
                    "whether {instance} comes out of a warm pool is not known: {denied}\n\
                     hint: `windlass cluster policy control-plane` prints what this role needs"
                );
                Ok(false)
            }
        }
    }

    /// The group's current revision, by which the request is judged, and the one that the instance
    /// verified, by which it is configured.
    async fn configuration(
        &self,
        request: &Request,
    ) -> anyhow::Result<Result<(Arc<NodeConfig>, Arc<NodeConfig>), Refusal>> {
        let Request { group, revision, .. } = request;
        let unusable = |hash: &str, why: Unusable| match why {
            Unusable::Unread(error) => Err(anyhow!(error).context(format!("revision {hash}"))),
            why => Ok(Err(Refusal::RevisionUnusable {
                revision: hash.to_owned(),
                group: group.clone(),
                why: why.to_string(),
            })),
        };
        let current = match self.configs.current(group).await {
            Ok(Some(current)) => current,
            Ok(None) => {
                let cluster = self.config.cluster.name.clone();
                return Ok(Err(Refusal::GroupUnknown { group: group.clone(), cluster }));
            }
            Err(why) => return unusable("that the group points to", why),
        };
        match self.configs.revision(group, revision).await {
            Ok(verified) => Ok(Ok((current, verified))),
            Err(why) => unusable(revision, why),
        }
    }

    /// Leaves true what a grant promises besides its certificate: the instance holds pod CIDRs, the
    /// VPC routes them to it, and its Node says so.
    async fn make_real(
        &self,
        instance: &Instance,
        revision: &NodeConfig,
    ) -> anyhow::Result<Result<Vec<IpNet>, Refusal>> {
        let pod_cidrs = match self.lease(instance).await? {
            Ok(pod_cidrs) => pod_cidrs,
            Err(passing @ NoLease::Ending { .. }) => return Err(passing.into()),
            Err(none) => {
                let instance = instance.id.clone();
                return Ok(Err(Refusal::NoPodCidr { instance, why: none.to_string() }));
            }
        };
        if let Err(refusal) = self.routed(&instance.id, &pod_cidrs).await? {
            return Ok(Err(refusal));
        }
        if let Some(nodes) = &self.nodes {
            nodes.ensure_or_later(node::wanted(instance, revision, &pod_cidrs)).await;
        }
        Ok(Ok(pod_cidrs))
    }

    /// The instance holds pod CIDRs, and whoever keeps routes knows.
    async fn lease(&self, instance: &Instance) -> anyhow::Result<Result<Vec<IpNet>, NoLease>> {
        let known = self.book.knows(&instance.id).await;
        let terrain = self.terrain().await?;
        let leased = self.book.ensure(Holder::of(instance), &terrain, self.now()).await?;
        if !known && leased.is_ok() {
            self.leases_changed();
        }
        Ok(leased)
    }

    /// Writes the grant, if there is none. If there is one for the same key, it stands, or is
    /// signed afresh when it has ended (rule 4 of admission).
    async fn deliver(
        &self,
        user: &UserId,
        request: &Request,
        admissible: &Admissible,
        pod_cidrs: Vec<IpNet>,
    ) -> anyhow::Result<Decided> {
        let now = self.now();
        let issued = self.authority.sign(&admissible.csr, now, admissible.lifetime)?;
        let grant = Grant {
            version: 1,
            instance: user.instance.clone(),
            node: admissible.node.clone(),
            group: request.group.clone(),
            certificate: issued.certificate,
            not_after: issued.not_after,
            pod_cidrs,
            at: now,
            public_key_sha256: admissible.csr.public_key_sha256(),
        };
        let key = self.keys.grant(user);
        let bytes = serde_json::to_vec(&grant)?;
        if self.store.put(&key, bytes.clone(), Condition::Absent).await? != Written::Lost {
            return Ok(Ok((Decision::Granted, grant)));
        }
        let existing = self.store.get(&key).await?.context("a grant came and went")?;
        let before: Grant = serde_json::from_slice(&existing.bytes)
            .with_context(|| format!("`{key}` is not a grant"))?;
        if before.public_key_sha256 != grant.public_key_sha256 {
            return Ok(Err(Refusal::OtherKey {
                instance: user.instance.clone(),
                granted: before.public_key_sha256,
                found: grant.public_key_sha256,
            }));
        }
        if still_good(&before, &grant, now) {
            return Ok(Ok((Decision::DeliveredAgain, before)));
        }
        match self.store.put(&key, bytes, Condition::Unchanged { etag: existing.etag }).await? {
            Written::Now { .. } => Ok(Ok((Decision::SignedAfresh, grant))),
            Written::Lost => Err(anyhow!("another admitter is signing `{key}` afresh")),
        }
    }

    /// Counts, logs and keeps a yes.
    pub(super) async fn write_decision(
        &self,
        user: &UserId,
        decision: Decision,
        grant: &Grant,
    ) -> anyhow::Result<()> {
        let at = self.now();
        self.seen.lock().expect("what was seen").answered(&user.instance, at);
        self.count(decision);
        let (who, cidrs) = (node_of(&user.instance, &grant.node), list(&grant.pod_cidrs));
        tracing::info!("{} {who} of {}: {cidrs}", decision.word(), grant.group);
        let entry = Entry {
            node: Some(grant.node.clone()),
            group: Some(grant.group.clone()),
            pod_cidrs: grant.pod_cidrs.clone(),
            ..Entry::new(&self.instance, decision, user, at)
        };
        Ok(entry.put(&self.store, &self.keys).await?)
    }

    /// Counts, logs and keeps a no, and tells the instance.
    pub(super) async fn write_denial(
        &self,
        user: &UserId,
        request: Option<&Request>,
        refusal: &Refusal,
    ) -> anyhow::Result<()> {
        let (at, reason) = (self.now(), refusal.word());
        self.counters.count(&format!("denied/{reason}"));
        tracing::warn!("denied {user}: {reason}: {refusal}");
        let denied = Denied {
            version: 1,
            instance: user.instance.clone(),
            reason: reason.to_owned(),
            message: refusal.to_string(),
            at,
        };
        let bytes = serde_json::to_vec(&denied)?;
        self.store.put(&self.keys.denied(user), bytes, Condition::Always).await?;
        let entry = Entry {
            group: request.map(|request| request.group.clone()),
            reason: Some(denied.reason),
            message: Some(denied.message),
            ..Entry::new(&self.instance, Decision::Denied, user, at)
        };
        entry.put(&self.store, &self.keys).await?;
        self.seen.lock().expect("what was seen").answered(&user.instance, at);
        Ok(())
    }
}

/// A grant that promises what a new one would and whose certificate is not near its end: a fifth of
/// its life is left, as when kubelet would renew at the latest.
fn still_good(before: &Grant, new: &Grant, now: OffsetDateTime) -> bool {
    let life = new.not_after - now;
    before.not_after - now > life / 5
        && before.pod_cidrs == new.pod_cidrs
        && before.node == new.node
}
