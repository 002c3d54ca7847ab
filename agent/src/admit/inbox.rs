//! Finds requests in the inbox and answers each once: a grant or a denial, an audit object, and the
//! request is gone. Several at a time, so that one slow answer holds up nobody.
//!
//! A listing finds everybody; [`doorstep`](super::doorstep) finds those few who are expected sooner.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::grant::Answered;
use super::pace::Crowd;
use super::refusal::Refusal;
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
        let mut listing_due = Instant::now();
        loop {
            under_way.forget_answered();
            let now = Instant::now();
            let crowd = Crowd::of(self.expected().len());
            let awaited = self.awaited(crowd, &under_way.users);
            let met = self.look_for(&awaited).await;
            self.answer_all(met, &mut under_way);
            if listing_due <= now {
                let pause = self.answer_listed(crowd, &mut under_way).await;
                listing_due = now + pause;
            }
            let next = if awaited.is_empty() { listing_due } else { now + self.patience(&awaited) };
            tokio::select! {
                biased;
                () = self.somebody_came.notified() => listing_due = Instant::now(),
                () = sleep_until(next) => {}
            }
        }
    }

    /// Lists the inbox and starts to answer; says how long until the next time.
    async fn answer_listed(self: &Arc<Self>, crowd: Crowd, under_way: &mut UnderWay) -> Duration {
        let Listed { asking, anybody_waits } = match self.list_requests().await {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!("could not read the inbox: {error:#}");
                return pace::AFTER_FAILURE;
            }
        };
        let crowd = match self.answer_all(asking, under_way) {
            LeftOut::Somebody => Crowd::Many,
            LeftOut::Nobody if anybody_waits => crowd.max(Crowd::Few),
            LeftOut::Nobody => crowd,
        };
        pace::inbox(self.lead(), crowd)
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
            if error.is::<Answered>() {
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
                let decided = self.decide(user, &request).await?;
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
}

impl UnderWay {
    fn forget_answered(&mut self) {
        while let Some(answered) = self.tasks.try_join_next() {
            match answered {
                Ok(user) => drop(self.users.remove(&user)),
                // One has panicked, and which is not said: to answer twice is harmless.
                Err(_) => self.users.clear(),
            }
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
