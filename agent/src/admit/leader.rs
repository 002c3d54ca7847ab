//! Which admitter looks often, and changes routes. An object in S3 names it for a while; it renews
//! that, and whoever finds the time over takes its place by compare-and-swap. Nothing is wrong with
//! two leaders but what they cost; without one, nobody new is routed until there is one.

use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::pace::Lead;
use crate::client::s3::{Condition, Object, Store, Written};
use crate::exchange::InstanceId;

/// Whether anybody waits for what only a leader does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    Idle,
    Busy,
}

/// How long a leader is one without a word.
fn term(load: Load) -> Duration {
    match load {
        Load::Idle => Duration::from_secs(90),
        Load::Busy => Duration::from_secs(20),
    }
}

/// Between two looks at the object while somebody waits.
pub const RENEWAL_BUSY: Duration = Duration::from_secs(5);

/// Between two looks at the object: so much of the term that one failed renewal costs nothing.
pub fn renewal(load: Load) -> Duration {
    match load {
        Load::Idle => Duration::from_secs(30),
        Load::Busy => RENEWAL_BUSY,
    }
}

/// The content of the object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Leader {
    instance: InstanceId,
    #[serde(with = "time::serde::rfc3339")]
    until: OffsetDateTime,
}

/// Without a listing of EC2's for so long an admitter does not lead.
pub const BLIND: Duration = Duration::from_secs(30);

/// A leader that says nothing for so long while somebody waits is not waited for, however long its
/// term, which is that of a leader of whom nobody wanted anything, would still last.
const SILENT: Duration = Duration::from_secs(20);

/// Who would lead.
#[derive(Debug, Default)]
pub struct Candidate {
    /// The leader's latest word, and since when there was no other while somebody waited.
    unchanged: Option<(String, Instant)>,
}

impl Candidate {
    /// Sees whether `own` leads, renews its term or takes over.
    pub async fn stand(
        &mut self,
        store: &Store,
        key: &str,
        own: &InstanceId,
        load: Load,
        now: OffsetDateTime,
    ) -> anyhow::Result<Lead> {
        let object = store.find(key).await?;
        if let Some(object) = &object
            && let Some(leader) = parse(object)
            && leader.instance != *own
            && leader.until > now
            && !self.finds_silent(object, load)
        {
            return Ok(Lead::Follower);
        }
        let mine = Leader { instance: own.clone(), until: now + term(load) };
        let when = match object {
            Some(object) => Condition::Unchanged { etag: object.etag },
            None => Condition::Absent,
        };
        match store.put(key, serde_json::to_vec(&mine)?, when).await? {
            Written::Now { .. } => Ok(Lead::Leader),
            Written::Lost => Ok(Lead::Follower),
        }
    }

    fn finds_silent(&mut self, word: &Object, load: Load) -> bool {
        match &self.unchanged {
            Some((etag, since)) if load == Load::Busy && *etag == word.etag => {
                since.elapsed() >= SILENT
            }
            _ => {
                let busy = load == Load::Busy;
                self.unchanged = busy.then(|| (word.etag.clone(), Instant::now()));
                false
            }
        }
    }
}

/// Ends an own term, so that another admitter need not wait for it to run out.
pub async fn resign(
    store: &Store,
    key: &str,
    own: &InstanceId,
    now: OffsetDateTime,
) -> anyhow::Result<()> {
    let Some(object) = store.find(key).await? else { return Ok(()) };
    let leader = parse(&object).context("the leader object is not what this program writes")?;
    if leader.instance != *own {
        return Ok(());
    }
    let ended = Leader { until: now, ..leader };
    let when = Condition::Unchanged { etag: object.etag };
    store.put(key, serde_json::to_vec(&ended)?, when).await?;
    Ok(())
}

fn parse(object: &Object) -> Option<Leader> {
    serde_json::from_slice(&object.bytes).ok()
}
