//! `leases.json` kept by compare-and-swap: any number of admitters may write it, and whoever loses
//! a race looks again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};
use ipnet::IpNet;
use time::OffsetDateTime;

use super::lease::{Ending, Holder, Leases, NoLease};
use super::terrain::Terrain;
use crate::client::s3::{Condition, Store, Written};
use crate::config::Network;
use crate::exchange::InstanceId;

/// A race is lost to somebody who won it, so that many losses in a row mean something else.
const ATTEMPTS: u32 = 30;

/// The leases as this admitter last saw them, and the way to change them.
#[derive(Debug)]
pub struct Book {
    store: Store,
    key: String,
    network: Network,
    last_seen: tokio::sync::Mutex<Option<Seen>>,
    /// Who waits to be leased: whoever holds the lock next takes all of them into one write.
    waiting: Mutex<Vec<Holder>>,
}

#[derive(Clone, Debug)]
struct Seen {
    leases: Arc<Leases>,
    /// None: there is no object yet.
    etag: Option<String>,
}

impl Book {
    /// The book at `key`, out of which CIDRs of `network` are leased.
    pub fn new(store: Store, key: String, network: Network) -> Self {
        Self { store, key, network, last_seen: Default::default(), waiting: Default::default() }
    }

    /// Sees to it that `instance` holds CIDRs, together with all others who ask meanwhile, and
    /// returns them.
    pub async fn ensure(
        &self,
        holder: Holder,
        terrain: &Terrain,
        now: OffsetDateTime,
    ) -> anyhow::Result<Result<Vec<IpNet>, NoLease>> {
        let instance = holder.instance.clone();
        let mut answers = self.ensure_all(vec![holder], terrain, now).await?;
        answers.remove(&instance).context("a holder who asked got no answer")
    }

    /// As [`Book::ensure`] for many, by one write.
    pub async fn ensure_all(
        &self,
        holders: Vec<Holder>,
        terrain: &Terrain,
        now: OffsetDateTime,
    ) -> anyhow::Result<BTreeMap<InstanceId, Result<Vec<IpNet>, NoLease>>> {
        self.waiting.lock().expect("the waiting holders").extend(holders.iter().cloned());
        let mut seen = self.last_seen.lock().await;
        let mut batch = std::mem::take(&mut *self.waiting.lock().expect("the waiting holders"));
        // Somebody else may have taken ours into a write that failed.
        batch.extend(holders.iter().filter(|it| !batch.contains(it)).cloned().collect::<Vec<_>>());
        let mut none = BTreeMap::new();
        self.change(&mut seen, |leases| {
            none.clear();
            for holder in &batch {
                if let Err(error) = leases.lease(holder, &self.network, terrain, now) {
                    none.insert(holder.instance.clone(), error);
                }
            }
        })
        .await?;
        let leases = &seen.as_ref().context("the leases were seen")?.leases;
        let answers = holders.into_iter().map(|Holder { instance, .. }| {
            let answer = match none.remove(&instance) {
                Some(error) => Err(error),
                None => Ok(leases.held_by(&instance)),
            };
            (instance, answer)
        });
        Ok(answers.collect())
    }

    /// Lets the leases of `gone` end.
    pub async fn end(
        &self,
        gone: &BTreeSet<InstanceId>,
        now: OffsetDateTime,
    ) -> anyhow::Result<()> {
        let mut seen = self.last_seen.lock().await;
        self.change(&mut seen, |leases| gone.iter().for_each(|it| leases.end(it, now))).await
    }

    /// Forgets what has ended and has no route any more, and lets end what nobody holds and a route
    /// leads to all the same.
    pub async fn settle(
        &self,
        strays: &BTreeMap<IpNet, Ending>,
        routed: impl Fn(&IpNet) -> bool,
        now: OffsetDateTime,
    ) -> anyhow::Result<()> {
        let mut seen = self.last_seen.lock().await;
        self.change(&mut seen, |leases| {
            leases.settle(&routed, now);
            for (cidr, ending) in strays {
                leases.end_stray(*cidr, ending.clone());
            }
        })
        .await
    }

    /// The leases as they are now.
    pub async fn read(&self) -> anyhow::Result<Arc<Leases>> {
        let mut seen = self.last_seen.lock().await;
        let fresh = self.fetch().await?;
        Ok(seen.insert(fresh).leases.clone())
    }

    /// The leases as this admitter last saw them; none, if it never did.
    pub async fn known(&self) -> Option<Arc<Leases>> {
        self.last_seen.lock().await.as_ref().map(|seen| seen.leases.clone())
    }

    /// Whether `instance` lacked nothing when the book was last seen.
    pub async fn knows(&self, instance: &InstanceId) -> bool {
        let seen = self.last_seen.lock().await;
        seen.as_ref().is_some_and(|seen| seen.leases.is_complete(instance, &self.network))
    }

    /// Applies `change` to the leases as they are, however often somebody else is faster.
    async fn change(
        &self,
        seen: &mut Option<Seen>,
        mut change: impl FnMut(&mut Leases),
    ) -> anyhow::Result<()> {
        for attempt in 0..ATTEMPTS {
            let current = match seen.take() {
                Some(seen) => seen,
                None => self.fetch().await?,
            };
            let mut leases = Leases::clone(&current.leases);
            change(&mut leases);
            if leases == *current.leases {
                *seen = Some(current);
                return Ok(());
            }
            let when = match current.etag {
                Some(etag) => Condition::Unchanged { etag },
                None => Condition::Absent,
            };
            match self.store.put(&self.key, serde_json::to_vec_pretty(&leases)?, when).await? {
                Written::Now { etag } => {
                    *seen = Some(Seen { leases: Arc::new(leases), etag: Some(etag) });
                    return Ok(());
                }
                Written::Lost => tokio::time::sleep(pause(attempt)).await,
            }
        }
        bail!("lost {ATTEMPTS} races for `{}` in a row", self.key)
    }

    async fn fetch(&self) -> anyhow::Result<Seen> {
        // If it is there after all, the conditional write will say so.
        let Some(object) = self.store.find(&self.key).await? else {
            return Ok(Seen { leases: Arc::default(), etag: None });
        };
        let leases: Leases = serde_json::from_slice(&object.bytes)
            .with_context(|| format!("`{}` is not a list of leases", self.key))?;
        if leases.version != 1 {
            bail!("`{}` has version {}, this program knows version 1", self.key, leases.version);
        }
        Ok(Seen { leases: Arc::new(leases), etag: Some(object.etag) })
    }
}

fn pause(attempt: u32) -> Duration {
    Duration::from_millis(fastrand::u64(5..=20 * u64::from(attempt.min(10) + 1)))
}
