//! Carries changes out, as many as AWS' throttle lets through, and remembers which ones have to
//! wait and why. A request that EC2 does not answer holds up no other.

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::bucket::Buckets;
use super::diff::{Change, What};
use super::view::View;
use crate::client::ec2::{Ec2, NotChanged};
use crate::exchange::InstanceId;

/// Requests that are underway at once. With EC2's usual latency that is more than its throttle lets
/// through.
const TOGETHER: usize = 16;

/// Before a change is asked for again: EC2 takes routes to an instance from a moment after it calls
/// it running.
const EARLY: Duration = Duration::from_millis(500);

/// Before a change is asked for again that may have been made, or that somebody else has made: a
/// look at the tables says so before.
const UNSURE: Duration = Duration::from_secs(2);

/// Before a change is asked for again that EC2 refused.
const REFUSED: Duration = Duration::from_secs(5);

/// A refusal counts when it stands for so long: a role's policy, a tag, a table may have been made a
/// moment ago ("Changes that I make are not always immediately visible", IAM User Guide).
pub const STANDS: Duration = Duration::from_secs(15);

/// Routes to instances that are pending are asked for only while so many tokens are left: EC2 mostly
/// refuses them, and they cost as much as those that it takes.
const SPARE: f64 = 25.0;

/// What is on the way.
#[derive(Debug, Default)]
pub struct Work {
    buckets: Buckets,
    held: BTreeMap<What, Held>,
    requests: JoinSet<Answer>,
    /// What the requests are for.
    under_way: Vec<What>,
    /// What EC2 said and nobody has looked at yet.
    answers: Vec<Answer>,
}

/// A change that was asked for, and what EC2 said.
type Answer = (Change, Result<(), NotChanged>);

/// A change that waits.
#[derive(Clone, Debug)]
struct Held {
    until: Instant,
    holder: Option<InstanceId>,
    /// Since when EC2 refuses it, and what somebody has to put right.
    refused: Option<(Instant, String)>,
}

impl Work {
    /// Asks for those of `changes` that may be asked for now. A place that is free is taken at once,
    /// whatever the others wait for.
    pub fn begin(&mut self, ec2: &Ec2, changes: &[Change]) {
        for change in self.choose(changes, Instant::now()) {
            let (ec2, change) = (ec2.clone(), change.clone());
            self.under_way.push(change.what.clone());
            self.requests.spawn(async move {
                let answer = ask(&ec2, &change.what).await;
                (change, answer)
            });
        }
    }

    /// Waits for one answer more, for ever if nothing is under way.
    pub async fn answered(&mut self) {
        match self.requests.join_next().await {
            Some(Ok(answer)) => self.answers.push(answer),
            Some(Err(broken)) => std::panic::resume_unwind(broken.into_panic()),
            None => pending().await,
        }
    }

    /// Waits for all answers that come within a round.
    pub async fn mostly_answered(&mut self, round: Duration) {
        let all = async {
            while !self.requests.is_empty() {
                self.answered().await;
            }
        };
        // Those that are late are no reason to wait.
        if timeout(round, all).await.is_err() {
            tracing::debug!("EC2 has not answered {} requests yet", self.requests.len());
        }
    }

    /// Tells `view` what EC2 has answered. Leaves what was done.
    pub fn take_in(&mut self, view: &mut View) -> Vec<What> {
        let mut done = Vec::new();
        for (change, answer) in std::mem::take(&mut self.answers) {
            let now = Instant::now();
            self.under_way.retain(|what| *what != change.what);
            match answer {
                Ok(()) => {
                    tracing::info!("{}", change.what);
                    self.held.remove(&change.what);
                    view.changed(&change.what, now);
                    done.push(change.what);
                }
                Err(error) => {
                    tracing::debug!("not yet {}: {error}", change.what);
                    self.hold(&change, &error, view, now);
                }
            }
        }
        done
    }

    /// How long until one of `changes` may be asked for; none, if there is none, or all places are
    /// taken: then an answer is what is to be waited for.
    pub fn wait(&mut self, changes: &[Change], now: Instant) -> Option<Duration> {
        if self.under_way.len() >= TOGETHER {
            return None;
        }
        let Self { buckets, held, under_way, .. } = self;
        let left = changes.iter().filter(|change| !meets(under_way, &change.what));
        let waits = left.map(|change| {
            let held = held.get(&change.what).map_or(Duration::ZERO, |it| it.until - now);
            held.max(buckets.wait(change.what.action(), spare(change), now))
        });
        waits.min()
    }

    /// How long EC2's throttle makes those of `changes` take that somebody waits for.
    pub fn backlog(&mut self, changes: &[Change], now: Instant) -> Duration {
        let mut requests = BTreeMap::<_, u32>::new();
        let left = changes.iter().filter(|it| !self.under_way.contains(&it.what));
        let awaited = left.filter(|it| it.holder.is_some());
        awaited.for_each(|it| *requests.entry(it.what.action()).or_default() += 1);
        let each =
            requests.into_iter().map(|(action, count)| self.buckets.backlog(action, count, now));
        each.max().unwrap_or_default()
    }

    /// Why the routes of `instance` do not become real, where somebody has to put that right.
    pub fn stuck(&self, instance: &InstanceId, now: Instant) -> Option<String> {
        let mut held = self.held.values().filter(|it| it.holder.as_ref() == Some(instance));
        held.find_map(|held| held.stands(now))
    }

    /// Everything that somebody has to put right.
    pub fn complaints(&self, now: Instant) -> impl Iterator<Item = String> {
        self.held.values().filter_map(move |held| held.stands(now))
    }

    /// Forgets what is not wanted any more.
    pub fn keep_only(&mut self, changes: &[Change]) {
        self.held.retain(|what, _| changes.iter().any(|change| change.what == *what));
    }

    fn choose<'a>(&mut self, changes: &'a [Change], now: Instant) -> Vec<&'a Change> {
        let places = TOGETHER.saturating_sub(self.under_way.len());
        let mut chosen = Vec::new();
        for change in changes {
            if chosen.len() == places {
                break;
            }
            let waits = self.held.get(&change.what).is_some_and(|held| now < held.until)
                || meets(&self.under_way, &change.what);
            if !waits && self.buckets.take(change.what.action(), spare(change), now) {
                chosen.push(change);
            }
        }
        chosen
    }

    fn hold(&mut self, change: &Change, error: &NotChanged, view: &mut View, now: Instant) {
        let why = || Some(format!("EC2 refuses {}: {error}", change.what));
        let (pause, why) = match error {
            NotChanged::Throttled => {
                self.buckets.throttled(change.what.action(), now);
                (Duration::ZERO, None)
            }
            NotChanged::TooEarly => (EARLY, None),
            NotChanged::Exists | NotChanged::Gone(_) | NotChanged::Unknown(_) => {
                view.doubt();
                (UNSURE, None)
            }
            NotChanged::Denied(_) => {
                let hint = "hint: compare with `windlass cluster policy control-plane`; route \
                            tables and network interfaces need the cluster's tag";
                (REFUSED, why().map(|why| format!("{why}\n{hint}")))
            }
            NotChanged::Full(_) | NotChanged::Refused(_) => (REFUSED, why()),
        };
        let before = self.held.get(&change.what).and_then(|held| held.refused.as_ref());
        let since = before.map_or(now, |(since, _)| *since);
        let refused = why.map(|why| (since, why));
        let held = Held { until: now + pause, holder: change.holder.clone(), refused };
        self.held.insert(change.what.clone(), held);
    }
}

impl Held {
    fn stands(&self, now: Instant) -> Option<String> {
        let (since, why) = self.refused.as_ref()?;
        (now - *since >= STANDS).then(|| why.clone())
    }
}

/// Whether what is `under_way` changes the same thing: which of the two would be the last is not
/// known.
fn meets(under_way: &[What], what: &What) -> bool {
    under_way.iter().any(|other| other.thing() == what.thing())
}

/// How many tokens a change leaves to others.
fn spare(change: &Change) -> f64 {
    if change.pending { SPARE } else { 0.0 }
}

async fn ask(ec2: &Ec2, what: &What) -> Result<(), NotChanged> {
    match what {
        What::NoSourceDestCheck(interface) => ec2.end_source_dest_check(interface).await,
        What::Created(place, interface) => {
            ec2.create_route(&place.table, place.destination, interface).await
        }
        What::Replaced(place, interface) => {
            ec2.replace_route(&place.table, place.destination, interface).await
        }
        What::Deleted(place) => match ec2.delete_route(&place.table, place.destination).await {
            Err(NotChanged::Gone(_)) => Ok(()),
            other => other,
        },
    }
}
