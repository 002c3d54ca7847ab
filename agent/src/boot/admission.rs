//! Asking to be let in, and waiting for the answer. S3 is the mailbox: the request goes to a key
//! that only this instance may write, the grant comes under one that only it may read.

use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{Instant, sleep};

use super::Done;
use super::configuration::{Revision, explained};
use super::identity::{Wanted, Worth, judge};
use super::stop::{Deadline, Stop, persistently};
use crate::client::s3::{self, Condition, Store, Written};
use crate::exchange::{Denied, Grant, Keys, Request, UserId};
use crate::pki::{PrivateKey, Subject};
use crate::report::Outcome;

/// How long an admitter that expects us takes: it looks for the request every 25 ms, so half of
/// that on average and a little for its own work, and request and grant are a round trip each.
const ADMITTERS_OWN: Duration = Duration::from_millis(28);
const ADMITTERS_ROUND_TRIPS: u32 = 2;
/// A request that had to be repeated says nothing about the next round trip.
const LONGEST_ROUND_TRIP: Duration = Duration::from_millis(150);
/// Between looks after the first. Each costs money, and one too early is lost. The third covers
/// what a crowd costs, whom the admitter finds by listing; then something is slow.
const LOOKS_MS: [u64; 7] = [30, 80, 150, 200, 300, 500, 700];
/// From then on; with a fifth of jitter, so that a boot storm spreads.
const LATER: Duration = Duration::from_secs(1);
/// A refusal is looked for after this many looks found no grant, and then as often again.
const LOOKS_A_REFUSAL: usize = 4;
/// A refusal from before the request is believed after this.
const OLD_REFUSAL_COUNTS: Duration = Duration::from_secs(60);
/// By how much an admitter's clock may be behind.
const CLOCKS_DIFFER: time::Duration = time::Duration::seconds(5);

/// Whom the request is from and what it is about.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    pub store: &'a Store,
    pub keys: &'a Keys,
    pub user: &'a UserId,
    pub revision: &'a Revision,
    pub key: &'a PrivateKey,
    pub wanted: Wanted<'a>,
}

/// What the instance says of itself and wants signed.
pub fn new_request(asking: Asking<'_>) -> anyhow::Result<Request> {
    let Asking { revision, key, wanted, .. } = asking;
    Ok(Request {
        version: 1,
        group: revision.config.group.clone(),
        revision: revision.hash.to_string(),
        csr: key.request(&Subject::node(wanted.node))?,
        at: wanted.now,
    })
}

/// The request is in the inbox. One that lies there already is left: it can only be this
/// instance's own, of an earlier run.
/// Leaves how long S3 took.
pub async fn request(asking: Asking<'_>) -> Result<Done<Duration>, Stop> {
    let Asking { store, keys, user, revision, wanted, .. } = asking;
    let object = keys.request(user);
    let bytes = serde_json::to_vec_pretty(&new_request(asking)?).map_err(anyhow::Error::from)?;
    let began = Instant::now();
    let put = async || store.put(&object, bytes.clone(), Condition::Absent).await;
    let written = persistently(put).await.map_err(|error| {
        let listed = revision.config.admission.role_ids.join("`, `");
        explained(
            error,
            &format!("is this instance's role the one that the group lists, `{listed}`?"),
        )
    })?;
    let (outcome, detail) = match written {
        Written::Now { .. } => (Outcome::Changed, format!("asked as `{}`", wanted.node)),
        Written::Lost => {
            (Outcome::Unchanged, "the request of an earlier run is in the inbox".to_owned())
        }
    };
    Ok(Done { value: began.elapsed(), outcome, detail })
}

/// The grant, when it is there and counts. `round_trip` is what S3 took for the request.
pub async fn grant(
    asking: Asking<'_>,
    round_trip: Duration,
    deadline: Deadline,
) -> Result<Done<Grant>, Stop> {
    let began = Instant::now();
    let mut last = "the grant is not there".to_owned();
    for look in 0.. {
        let pause = pause(look, round_trip);
        if Instant::now() + pause >= deadline.at {
            break;
        }
        sleep(pause).await;
        match look_for_grant(asking).await? {
            Look::Found(grant) => return Ok(granted(*grant, look + 1, began)),
            Look::Nothing(why) => last = why,
        }
        if (look + 1) % LOOKS_A_REFUSAL == 0 {
            refusal(asking, began.elapsed()).await?;
        }
    }
    let place = format!("s3://{}/{}", asking.store.bucket(), asking.keys.grant(asking.user));
    Err(Stop::late(anyhow!(
        "not admitted within {deadline}: {last} (`{place}`)\n\
         hint: is `windlass admit` running on the control plane, and does it say anything about {}?",
        asking.wanted.instance
    )))
}

enum Look {
    Found(Box<Grant>),
    Nothing(String),
}

async fn look_for_grant(asking: Asking<'_>) -> Result<Look, Stop> {
    let object = asking.keys.grant(asking.user);
    let bytes = match asking.store.get(&object).await {
        Ok(Some(object)) => object.bytes,
        // Without the permission to list, that is how S3 says that there is nothing yet.
        Ok(None) | Err(s3::Error::Denied { .. }) => {
            return Ok(Look::Nothing("the grant is not there".to_owned()));
        }
        Err(error) => return Ok(Look::Nothing(error.to_string())),
    };
    let place = format!("s3://{}/{object}", asking.store.bucket());
    let unusable =
        |why: String| Stop::because(anyhow!("the grant `{place}` cannot be used: {why}"));
    let grant: Grant =
        serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
    match judge(&grant, asking.key, asking.wanted) {
        Worth::Counts => Ok(Look::Found(Box::new(grant))),
        Worth::Waits(why) => Ok(Look::Nothing(why)),
        Worth::Unusable(why) => Err(unusable(why)),
    }
}

/// Ends the boot if an admitter refused it. A refusal from before this request may be about what
/// the operator has put right since; it is believed when nothing else comes.
async fn refusal(asking: Asking<'_>, waited: Duration) -> Result<(), Stop> {
    let object = asking.keys.denied(asking.user);
    let Ok(Some(found)) = asking.store.get(&object).await else { return Ok(()) };
    let Ok(denied) = serde_json::from_slice::<Denied>(&found.bytes) else { return Ok(()) };
    if denied.at < asking.wanted.now - CLOCKS_DIFFER && waited < OLD_REFUSAL_COUNTS {
        return Ok(());
    }
    Err(Stop::because(anyhow!(
        "admission refused this instance ({}): {}",
        denied.reason,
        denied.message
    )))
}

fn granted(value: Grant, looks: usize, began: Instant) -> Done<Grant> {
    let waited = began.elapsed().as_millis();
    let detail = format!("admitted with pods in {} (look {looks}, {waited} ms)", describe(&value));
    Done { value, outcome: Outcome::Changed, detail }
}

/// Its pod CIDRs.
pub fn describe(grant: &Grant) -> String {
    let cidrs: Vec<_> = grant.pod_cidrs.iter().map(ToString::to_string).collect();
    cidrs.join(" and ")
}

fn pause(look: usize, round_trip: Duration) -> Duration {
    match look.checked_sub(1) {
        None => ADMITTERS_OWN + ADMITTERS_ROUND_TRIPS * round_trip.min(LONGEST_ROUND_TRIP),
        Some(later) => match LOOKS_MS.get(later) {
            Some(ms) => Duration::from_millis(*ms),
            None => LATER.mul_f64(0.8 + 0.4 * fastrand::f64()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admitter_that_takes_what_is_expected_of_it_costs_one_look() {
        let looks_within = |waited_ms: u64, round_trip_ms: u64| {
            let waited = Duration::from_millis(waited_ms);
            let round_trip = Duration::from_millis(round_trip_ms);
            let mut at = Duration::ZERO;
            (0..)
                .take_while(|look| {
                    let before = at < waited;
                    at += pause(*look, round_trip) + round_trip;
                    before
                })
                .count()
        };
        assert_eq!(looks_within(28, 0), 1);
        assert_eq!(looks_within(28 + 2 * 30, 30), 1);
        assert_eq!(looks_within(250, 0), 4);
        assert_eq!(looks_within(400, 30), 4);
        assert!(looks_within(60_000, 30) < 70, "one a second, then");
    }
}
