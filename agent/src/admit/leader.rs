//! Which admitter looks often. An object in S3 names it for a while; it renews that, and whoever
//! finds the time over takes its place by compare-and-swap. Nothing but the pace rests on it: two
//! leaders cost requests, no leader costs a second.

use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

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
pub fn term(load: Load) -> Duration {
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

/// Sees whether `own` leads, renews its term or takes over, for `term`.
pub async fn campaign(
    store: &Store,
    key: &str,
    own: &InstanceId,
    term: Duration,
    now: OffsetDateTime,
) -> anyhow::Result<Lead> {
    let object = store.find(key).await?;
    let leader = object.as_ref().and_then(parse);
    if let Some(leader) = &leader
        && leader.instance != *own
        && leader.until > now
    {
        return Ok(Lead::Follower);
    }
    let mine = Leader { instance: own.clone(), until: now + term };
    let when = match object {
        Some(object) => Condition::Unchanged { etag: object.etag },
        None => Condition::Absent,
    };
    match store.put(key, serde_json::to_vec(&mine)?, when).await? {
        Written::Now { .. } => Ok(Lead::Leader),
        Written::Lost => Ok(Lead::Follower),
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
