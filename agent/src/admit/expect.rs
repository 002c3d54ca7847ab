//! Who is coming: the cluster's pending and running instances, listed every few seconds. For each
//! that was started lately and has had no answer, pod CIDRs are leased while its kernel boots, all
//! new ones by one write; the one listing answers rule 2 of admission for everybody.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::complaints::Complaints;
use super::lease::Holder;
use super::rounds::Round;
use super::{Admitter, pace};
use crate::client::ec2::{Instance, State};
use crate::exchange::{InstanceId, UserId};
use crate::policies::CLUSTER_TAG;

/// How often it is looked which instances other admitters have answered, while any is expected.
const ANSWERS: Duration = Duration::from_secs(30);

/// What is remembered from one listing to the next.
#[derive(Default)]
struct Looking {
    answers_read: Option<Instant>,
    complaints: Complaints,
}

impl Admitter {
    pub(super) async fn expect_instances(self: Arc<Self>) {
        let mut announced = BTreeSet::new();
        let mut looking = Looking::default();
        loop {
            if let Err(error) = self.look_around(&mut looking).await {
                tracing::warn!("could not see who is coming: {error:#}");
            }
            let expected: BTreeSet<_> = self.expected(|it| it.map(|it| it.id.clone()).collect());
            if !expected.is_subset(&announced) {
                self.somebody_came.notify_one();
            }
            announced = expected;
            self.round_ended(Round::Instances);
            tokio::time::sleep(pace::instances(self.lead(), self.board.backlog())).await;
        }
    }

    async fn look_around(&self, looking: &mut Looking) -> anyhow::Result<()> {
        let cluster = &self.config.cluster;
        let alive = [State::Pending, State::Running];
        let listed = self.ec2.instances(Some(&cluster.vpc), (CLUSTER_TAG, &cluster.name), &alive);
        let listed = listed.await?;
        self.seen.lock().expect("what was seen").listed(listed, self.now());
        let due = looking.answers_read.is_none_or(|at| at.elapsed() >= ANSWERS);
        if due && (self.expects_anybody() || self.anybody_rests()) {
            self.read_answers().await?;
            looking.answers_read = Some(Instant::now());
            if self.anybody_rests()
                && let Err(error) = self.configs.refresh().await
            {
                tracing::warn!("a group's configuration could not be read: {error}");
            }
        }
        let expected: Vec<_> = self.expected(|it| it.map(Holder::of).collect());
        if expected.is_empty() {
            return Ok(());
        }
        let lease = self.lease_for(expected, &mut looking.complaints);
        let (read, leased) = tokio::join!(self.configs.refresh(), lease);
        if let Err(error) = read {
            tracing::warn!("a group's configuration could not be read: {error}");
        }
        leased
    }

    /// What `of` makes of those who were started within the admission window and have had no answer.
    pub(super) fn expected<T>(
        &self,
        of: impl FnOnce(&mut dyn Iterator<Item = &Instance>) -> T,
    ) -> T {
        let seen = self.seen.lock().expect("what was seen");
        of(&mut seen.expected(self.config.admission.window, self.now()))
    }

    pub(super) fn expects_anybody(&self) -> bool {
        self.expected(|it| it.next().is_some())
    }

    /// What `of` makes of those who may ask when their group calls them out of its warm pool. (Those of
    /// our own group let themselves in.)
    pub(super) fn resting<T>(
        &self,
        of: impl FnOnce(&mut dyn Iterator<Item = &Instance>) -> T,
    ) -> T {
        let seen = self.seen.lock().expect("what was seen");
        let own = &self.config.admission.instance_profile;
        let resting = seen.resting(self.config.admission.window, self.now());
        of(&mut resting.filter(|it| it.instance_profile.as_ref() != Some(own)))
    }

    fn anybody_rests(&self) -> bool {
        self.resting(|it| it.next().is_some())
    }

    /// Which instances have had an answer, by the keys under `nodes/`.
    async fn read_answers(&self) -> anyhow::Result<()> {
        let listed = self.store.list_dated(&self.keys.nodes()).await?;
        let mut seen = self.seen.lock().expect("what was seen");
        for object in listed {
            let answer =
                object.key.ends_with("/grant.json") || object.key.ends_with("/denied.json");
            if let (true, Some(user)) = (answer, UserId::in_key(&object.key)) {
                seen.answered(&user.instance, object.modified);
            }
        }
        Ok(())
    }

    async fn lease_for(
        &self,
        expected: Vec<Holder>,
        complaints: &mut Complaints,
    ) -> anyhow::Result<()> {
        let mut holders = Vec::new();
        for holder in expected {
            if !self.book.knows(&holder.instance).await {
                holders.push(holder);
            }
        }
        if holders.is_empty() {
            complaints.are(BTreeSet::new());
            return Ok(());
        }
        let terrain = self.terrain().await?;
        let mut nothing = BTreeSet::new();
        for (instance, leased) in self.book.ensure_all(holders, &terrain, self.now()).await? {
            match leased {
                Ok(cidrs) => tracing::info!("leased {} to {instance}", list(&cidrs)),
                Err(none) => {
                    nothing.insert(format!("nothing to lease to {instance}: {none}"));
                }
            }
        }
        complaints.are(nothing);
        self.leases_changed();
        Ok(())
    }
}

impl Holder {
    pub(super) fn of(instance: &Instance) -> Self {
        Self {
            instance: instance.id.clone(),
            network_interface: instance.network_interface.clone(),
        }
    }
}

/// `10.128.0.0/24, fd00::/64`
pub(super) fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// An instance as log lines name it.
pub(super) fn node_of(instance: &InstanceId, node: &str) -> String {
    if node == instance.as_str() { node.to_owned() } else { format!("{node} ({instance})") }
}
