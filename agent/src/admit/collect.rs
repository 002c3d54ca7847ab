//! Takes back what terminated instances left: Node, grant, lease. A lease ends only on EC2's
//! positive word, or on absence in full listings ten minutes apart; an error or a listing without
//! the instance that this runs on says nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use time::OffsetDateTime;

use super::Admitter;
use super::audit::{Decision, Entry};
use super::pace::{self, Lead};
use crate::client::ec2::{Instance, State};
use crate::exchange::{Grant, InstanceId, UserId};
use crate::policies::CLUSTER_TAG;

/// How long EC2 must have said "terminated". Longer than any admitter believes a description
/// ([`super::seen::TOO_OLD`]), so that nobody grants what is taken back here.
const TERMINATED_FOR: Duration = Duration::from_secs(30);

/// How long an instance must have been in no full listing: EC2 forgets the terminated after about
/// an hour ("DescribeInstances", Amazon EC2 API Reference).
const ABSENT_FOR: Duration = Duration::from_secs(600);

/// Since when instances that left something have been gone.
#[derive(Debug, Default)]
struct Gone {
    terminated: BTreeMap<InstanceId, OffsetDateTime>,
    absent: BTreeMap<InstanceId, OffsetDateTime>,
}

/// Why something is taken back, as the audit trail says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Because {
    Terminated,
    Absent,
}

impl Admitter {
    pub(super) async fn collect_garbage(self: Arc<Self>) {
        let mut gone = Gone::default();
        for look in 0u32.. {
            let seldom = look % pace::SELDOM == 0;
            if (seldom || self.lead() == Lead::Leader)
                && let Err(error) = self.collect(&mut gone, seldom).await
            {
                tracing::warn!("nothing is collected for now: {error:#}");
            }
            tokio::time::sleep(pace::COLLECTION).await;
        }
    }

    /// Takes back what those left who are gone. Answers without a lease are rare (somebody was
    /// denied, or a collector was killed): they are looked for only when `thoroughly`, or when a
    /// holder is gone anyway.
    async fn collect(&self, gone: &mut Gone, thoroughly: bool) -> anyhow::Result<()> {
        let listing = self.full_listing().await?;
        let leases = self.book.read().await?;
        let ended = |it: &InstanceId| listing.get(it).is_none_or(|it| *it == State::Terminated);
        if !thoroughly && !leases.leases.values().any(|lease| ended(&lease.instance)) {
            return Ok(());
        }
        let holders = leases.leases.values();
        let holders = holders.map(|lease| (lease.instance.clone(), BTreeSet::new()));
        let left = self.left_behind(holders.collect()).await?;
        let mut due = gone.due(&left.keys().cloned().collect(), &listing, self.now());
        self.confirm_absent(&mut due).await?;
        if due.is_empty() {
            return Ok(());
        }
        // Node, then grant, then lease: a grant never outlives its lease.
        if let Some(nodes) = &self.nodes {
            nodes.delete(&due.keys().cloned().collect()).await?;
        }
        let mut released = BTreeSet::new();
        for (instance, because) in due {
            match self.take_back(&left[&instance], because).await {
                Ok(()) => drop(released.insert(instance)),
                Err(error) => tracing::warn!("{instance} is collected later: {error:#}"),
            }
        }
        self.book.end(&released, self.now()).await.context("ending leases")?;
        self.leases_changed();
        Ok(())
    }

    /// Every instance that EC2 has of this cluster, whatever its state.
    async fn full_listing(&self) -> anyhow::Result<BTreeMap<InstanceId, State>> {
        let tag = (CLUSTER_TAG, self.config.cluster.name.as_str());
        let listed = self.ec2.instances(None, tag, &[]).await?;
        let listed: BTreeMap<_, _> = listed.into_iter().map(|it| (it.id, it.state)).collect();
        if !listed.contains_key(&self.instance) {
            bail!(
                "EC2's listing of {} instances lacks {}, on which this runs: not believed",
                listed.len(),
                self.instance
            );
        }
        Ok(listed)
    }

    /// Who holds a lease or has an answer, and the keys of the answers.
    async fn left_behind(
        &self,
        mut left: BTreeMap<InstanceId, BTreeSet<UserId>>,
    ) -> anyhow::Result<BTreeMap<InstanceId, BTreeSet<UserId>>> {
        for key in self.store.list(&self.keys.nodes()).await? {
            let answer = key.ends_with("/grant.json") || key.ends_with("/denied.json");
            if let (true, Some(user)) = (answer, UserId::in_key(&key)) {
                left.entry(user.instance.clone()).or_default().insert(user);
            }
        }
        Ok(left)
    }

    /// An instance may be absent because somebody took its tag away: one that EC2 knows by its id
    /// is not gone.
    async fn confirm_absent(&self, due: &mut BTreeMap<InstanceId, Because>) -> anyhow::Result<()> {
        let absent = due.iter().filter(|(_, because)| **because == Because::Absent);
        let absent: Vec<_> = absent.map(|(instance, _)| instance.clone()).collect();
        if absent.is_empty() {
            return Ok(());
        }
        let known = self.ec2.instances_by_id(&absent).await?;
        let alive = known.into_iter().filter(|it| it.state != State::Terminated);
        for Instance { id, .. } in alive {
            due.remove(&id);
        }
        Ok(())
    }

    async fn take_back(&self, users: &BTreeSet<UserId>, because: Because) -> anyhow::Result<()> {
        for user in users {
            self.take_back_answer(user, because).await?;
        }
        Ok(())
    }

    async fn take_back_answer(&self, user: &UserId, because: Because) -> anyhow::Result<()> {
        let key = self.keys.grant(user);
        if let Some(object) = self.store.find(&key).await? {
            let grant: Grant = serde_json::from_slice(&object.bytes)
                .with_context(|| format!("`{key}` is not a grant"))?;
            let entry = Entry {
                node: Some(grant.node.clone()),
                group: Some(grant.group.clone()),
                reason: Some(because.word().to_owned()),
                pod_cidrs: grant.pod_cidrs.clone(),
                grant: Some(grant),
                ..Entry::new(&self.instance, Decision::Collected, user, self.now())
            };
            entry.put(&self.store, &self.keys).await?;
            self.store.delete(&key).await?;
            self.count(Decision::Collected);
            tracing::info!("collected what {user} left: {}", because.word());
        }
        self.store.delete(&self.keys.denied(user)).await?;
        Ok(self.store.delete(&self.keys.request(user)).await?)
    }
}

impl Gone {
    /// Which of `holders` are gone for long enough, by this full listing and those before.
    fn due(
        &mut self,
        holders: &BTreeSet<InstanceId>,
        listing: &BTreeMap<InstanceId, State>,
        now: OffsetDateTime,
    ) -> BTreeMap<InstanceId, Because> {
        let state = |id: &InstanceId| listing.get(id);
        self.terminated.retain(|id, _| {
            holders.contains(id) && state(id).is_none_or(|state| *state == State::Terminated)
        });
        self.absent.retain(|id, _| holders.contains(id) && state(id).is_none());
        let mut due = BTreeMap::new();
        for id in holders {
            let (since, long, because) = match state(id) {
                Some(State::Terminated) => {
                    (&mut self.terminated, TERMINATED_FOR, Because::Terminated)
                }
                None => (&mut self.absent, ABSENT_FOR, Because::Absent),
                Some(_) => continue,
            };
            let first = *since.entry(id.clone()).or_insert(now);
            if now - first >= long {
                due.insert(id.clone(), because);
            }
        }
        due
    }
}

impl Because {
    fn word(self) -> &'static str {
        match self {
            Self::Terminated => "terminated",
            Self::Absent => "absent",
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::admit::testing::instance;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
    const MINUTE: Duration = Duration::from_secs(60);

    fn holder() -> BTreeSet<InstanceId> {
        BTreeSet::from([instance(1).id])
    }

    fn listing(state: State) -> BTreeMap<InstanceId, State> {
        BTreeMap::from([(instance(1).id, state)])
    }

    fn one(because: Because) -> BTreeMap<InstanceId, Because> {
        BTreeMap::from([(instance(1).id, because)])
    }

    #[test]
    fn a_lease_ends_a_moment_after_a_positive_answer() {
        let mut gone = Gone::default();
        let terminated = listing(State::Terminated);
        assert_eq!(gone.due(&holder(), &listing(State::ShuttingDown), NOW), BTreeMap::new());
        assert_eq!(gone.due(&holder(), &terminated, NOW), BTreeMap::new());
        assert_eq!(gone.due(&holder(), &terminated, NOW + MINUTE), one(Because::Terminated));
    }

    #[test]
    fn absence_counts_after_ten_minutes_and_starts_anew_with_every_sight() {
        let (mut gone, nothing) = (Gone::default(), BTreeMap::new());
        assert_eq!(gone.due(&holder(), &nothing, NOW), BTreeMap::new());
        assert_eq!(gone.due(&holder(), &nothing, NOW + 9 * MINUTE), BTreeMap::new());
        let running = listing(State::Running);
        assert_eq!(gone.due(&holder(), &running, NOW + 10 * MINUTE), BTreeMap::new());
        assert_eq!(gone.due(&holder(), &nothing, NOW + 11 * MINUTE), BTreeMap::new());
        assert_eq!(gone.due(&holder(), &nothing, NOW + 20 * MINUTE), BTreeMap::new());
        assert_eq!(gone.due(&holder(), &nothing, NOW + 21 * MINUTE), one(Because::Absent));
    }

    #[test]
    fn a_stopped_instance_keeps_its_lease() {
        let mut gone = Gone::default();
        for minutes in 0..100 {
            let now = NOW + minutes * MINUTE;
            assert_eq!(gone.due(&holder(), &listing(State::Stopped), now), BTreeMap::new());
        }
    }
}
