//! Finds requests in the inbox and answers each once: a grant or a denial, an audit object, and the
//! request is gone. Several at a time, so that one slow answer holds up nobody.
//!
//! A listing finds everybody; [`doorstep`](super::doorstep) finds those few who are expected sooner.

use std::collections::BTreeSet;
use std::sync::Arc;

use time::OffsetDateTime;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::grant::Answered;
use super::pace::Crowd;
use super::refusal::Refusal;
use super::rounds::Round;
use super::routes::NotYet;
use super::{Admitter, pace};
use crate::client::s3::{Error, Object};
use crate::exchange::{Request, UserId};

/// Answers that are worked at together. In a storm nearly all of them wait for a route, which costs
/// some KiB each.
const TOGETHER: usize = 1024;

/// A request is some 1.5 KiB; what is larger is none.
pub(super) const LARGE_BYTES: u64 = 64 << 10;

/// Requests that are being answered.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<UserId>,
    users: BTreeSet<UserId>,
}

/// Somebody whose request is to be answered.
pub(super) struct Asking {
    pub(super) user: UserId,
    /// The request, where it was read already.
    pub(super) object: Option<Object>,
    /// Why the answer is a no, whatever the request says.
    pub(super) unknown: Option<Refusal>,
}

/// Whether there were more than are worked at together.
enum LeftOut {
    Nobody,
    Somebody,
}

/// What a listing of the inbox found.
#[derive(Default)]
struct Listed {
    asking: Vec<Asking>,
    /// Whether any request waits for EC2 to know its instance.
    anybody_waits: bool,
}

impl Admitter {
    pub(super) async fn answer_inbox(self: Arc<Self>) {
        let mut under_way = UnderWay::default();
        let mut listed = None;
        loop {
            under_way.forget_answered();
            let now = Instant::now();
            let crowd = self.crowd(&under_way);
            let awaited = self.awaited(crowd, &under_way.users);
            let met = self.look_for(&awaited).await;
            self.answer_all(met, &mut under_way);
            if self.listing_due(listed, crowd).is_none_or(|due| due <= now) {
                listed = Some((now, self.answer_listed(&mut under_way).await));
            }
            self.round_ended(Round::Inbox);
            // Some of the crowd may have been found just now: then the next turn knows, and waits.
            let due = self.listing_due(listed, crowd).unwrap_or(now);
            let next = if awaited.is_empty() { due } else { now + self.patience(&awaited) };
            tokio::select! {
                biased;
                () = self.somebody_came.notified() => listed = None,
                () = under_way.one_less() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// Of those who are expected and whose request is not being answered.
    fn crowd(&self, under_way: &UnderWay) -> Crowd {
        let answering: BTreeSet<_> = under_way.users.iter().map(|user| &user.instance).collect();
        self.expected(|expected| {
            Crowd::of(expected.filter(|instance| !answering.contains(&instance.id)))
        })
    }

    /// When the inbox is listed again that was `listed` then, with so many left in it, while a `crowd`
    /// is expected; none: at once.
    fn listing_due(
        &self,
        listed: Option<(Instant, Option<Crowd>)>,
        crowd: Crowd,
    ) -> Option<Instant> {
        let (at, left) = listed?;
        let pause = match left {
            Some(left) => pace::inbox(self.lead(), left.max(crowd)),
            None => pace::AFTER_FAILURE,
        };
        Some(at + pause)
    }

    /// Lists the inbox and starts to answer; says how many are left, unless it could not be read.
    async fn answer_listed(self: &Arc<Self>, under_way: &mut UnderWay) -> Option<Crowd> {
        let Listed { asking, anybody_waits } = match self.list_requests().await {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!("could not read the inbox: {error:#}");
                return None;
            }
        };
        Some(match self.answer_all(asking, under_way) {
            LeftOut::Somebody => Crowd::Many,
            LeftOut::Nobody if anybody_waits => Crowd::Few,
            LeftOut::Nobody => Crowd::Nobody,
        })
    }

    /// Whose requests are in the inbox and can be answered now.
    async fn list_requests(&self) -> anyhow::Result<Listed> {
        let keys = self.store.list(&self.keys.inbox()).await?;
        let users: BTreeSet<_> = keys.iter().filter_map(|key| UserId::in_key(key)).collect();
        self.look_up(&users).await?;
        let mut listed = Listed::default();
        for user in users {
            let waited = self.seen.lock().expect("what was seen").unknown_for(&user.instance);
            let unknown = match waited {
                _ if self.is_described(&user) => None,
                Some(waited) if waited >= pace::EC2_LAG => {
                    Some(Refusal::InstanceUnknown { instance: user.instance.clone(), waited })
                }
                _ => {
                    listed.anybody_waits = true;
                    continue;
                }
            };
            listed.asking.push(Asking { user, object: None, unknown });
        }
        Ok(listed)
    }

    pub(super) fn is_described(&self, user: &UserId) -> bool {
        let seen = self.seen.lock().expect("what was seen");
        seen.instance(&user.instance, self.now()).is_some()
    }

    /// Starts to answer those whose answer is not under way, as many as are worked at together.
    fn answer_all(self: &Arc<Self>, all: Vec<Asking>, under_way: &mut UnderWay) -> LeftOut {
        let mut left_out = LeftOut::Nobody;
        for asking in all {
            if under_way.users.contains(&asking.user) {
                continue;
            }
            if under_way.users.len() >= TOGETHER {
                left_out = LeftOut::Somebody;
                continue;
            }
            under_way.users.insert(asking.user.clone());
            under_way.tasks.spawn(self.clone().answer(asking));
        }
        left_out
    }

    /// Asks EC2 by id for those who ask and were in no listing lately: a listing may lag, and it
    /// has no instances of other VPCs, for whom the reason shall be the right one.
    async fn look_up(&self, asking: &BTreeSet<UserId>) -> anyhow::Result<()> {
        let asking = asking.iter().map(|user| user.instance.clone()).collect();
        let wanted = {
            let mut seen = self.seen.lock().expect("what was seen");
            seen.due_for_look_up(&asking, pace::LOOK_UP, self.now())
        };
        if wanted.is_empty() {
            return Ok(());
        }
        let described = self.ec2.instances_by_id(&wanted).await?;
        self.seen.lock().expect("what was seen").looked_up(&wanted, described, self.now());
        Ok(())
    }

    async fn answer(self: Arc<Self>, asking: Asking) -> UserId {
        let user = asking.user.clone();
        if let Err(error) = self.answer_request(asking).await {
            if error.is::<Answered>() || error.is::<NotYet>() {
                return user;
            }
            self.counters.count("failed");
            tracing::warn!("the request of {user} has to wait: {error:#}");
            // It counts as being answered meanwhile, so that an outage is not asked ten times a
            // second whether it is over.
            tokio::time::sleep(pace::AFTER_FAILURE).await;
        }
        user
    }

    async fn answer_request(&self, asking: Asking) -> anyhow::Result<()> {
        let Asking { user, object, unknown } = &asking;
        let key = self.keys.request(user);
        let object = match object {
            Some(object) => Ok(Some(object.clone())),
            None => self.store.get_at_most(&key, LARGE_BYTES).await,
        };
        let object = match object {
            Ok(Some(object)) => object,
            // Another admitter was faster. (As S3 says it to who may list, and to who may not.)
            Ok(None) | Err(Error::Denied { .. }) => return Ok(()),
            Err(too_large @ Error::TooLarge { .. }) => {
                let refusal = Refusal::Malformed { why: too_large.to_string() };
                self.write_denial(user, None, &refusal).await?;
                return Ok(self.store.delete(&key).await?);
            }
            Err(error) => return Err(error.into()),
        };
        let (request, decided) = match (Request::read(&object.bytes), unknown) {
            (Ok(request), Some(refusal)) => (Some(request), Err(refusal.clone())),
            (Ok(request), None) => {
                let asked = self.asked_at(&object);
                let decided = self.decide(user, &request, asked).await?;
                (Some(request), decided)
            }
            (Err(refusal), _) => (None, Err(refusal)),
        };
        match decided {
            Ok((decision, grant)) => self.write_decision(user, decision, &grant).await?,
            Err(refusal) => self.write_denial(user, request.as_ref(), &refusal).await?,
        }
        self.store.delete_unchanged(&key, &object.etag).await?;
        Ok(())
    }

    /// When a request came, by S3's word. It is the same for every admitter, also for one that came
    /// after the storm began; and like EC2's LaunchTime, against which it is held, it is AWS' clock
    /// and neither ours nor the instance's.
    ///
    /// S3 dates a multipart upload by its begin ("Object metadata"). Who begins one within the window
    /// and ends it later gets nothing that he could not have asked for then: a second key is refused.
    fn asked_at(&self, request: &Object) -> OffsetDateTime {
        request.modified.unwrap_or_else(|| self.now())
    }
}

impl UnderWay {
    fn forget_answered(&mut self) {
        while let Some(answered) = self.tasks.try_join_next() {
            self.forget(answered);
        }
    }

    /// Until an answer is there, or could not be given.
    async fn one_less(&mut self) {
        match self.tasks.join_next().await {
            Some(answered) => self.forget(answered),
            None => std::future::pending().await,
        }
    }

    fn forget(&mut self, answered: Result<UserId, JoinError>) {
        match answered {
            Ok(user) => drop(self.users.remove(&user)),
            // One has panicked, and which is not said: to answer twice is harmless.
            Err(_) => self.users.clear(),
        }
    }
}

impl Request {
    fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let request: Self = serde_json::from_slice(bytes)
            .map_err(|error| Refusal::Malformed { why: error.to_string() })?;
        if request.version != 1 {
            let why = format!("version {}, wanted 1", request.version);
            return Err(Refusal::Malformed { why });
        }
        Ok(request)
    }
}
