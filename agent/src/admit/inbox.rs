//! Finds requests in the inbox and answers each once: a grant or a denial, an audit object, and the
//! request is gone. Several at a time, so that one slow answer holds up nobody.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::refusal::Refusal;
use super::{Admitter, pace};
use crate::client::s3::Error;
use crate::exchange::{Request, UserId};

/// Answers that are worked at together.
const TOGETHER: usize = 64;

/// A request is some 1.5 KiB; what is larger is none.
const LARGE_BYTES: u64 = 64 << 10;

/// Requests that are being answered.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<UserId>,
    users: BTreeSet<UserId>,
}

impl Admitter {
    pub(super) async fn answer_inbox(self: Arc<Self>) {
        let mut under_way = UnderWay::default();
        loop {
            under_way.forget_answered();
            let waiting = match self.take_requests(&mut under_way).await {
                Ok(waiting) => waiting,
                Err(error) => {
                    tracing::warn!("could not read the inbox: {error:#}");
                    false
                }
            };
            let anybody = waiting || !self.expected().is_empty();
            tokio::select! {
                biased;
                () = self.somebody_came.notified() => {}
                () = tokio::time::sleep(pace::inbox(self.lead(), anybody)) => {}
            }
        }
    }

    /// Starts to answer what is in the inbox. Says whether any request waits for EC2 to know its
    /// instance.
    async fn take_requests(self: &Arc<Self>, under_way: &mut UnderWay) -> anyhow::Result<bool> {
        let keys = self.store.list(&self.keys.inbox()).await?;
        let asking: BTreeSet<_> = keys.iter().filter_map(|key| UserId::in_key(key)).collect();
        self.look_up(&asking).await?;
        let mut anybody_waits = false;
        for user in asking {
            if under_way.users.contains(&user) || under_way.users.len() >= TOGETHER {
                continue;
            }
            let (instance, unknown_for) = {
                let (seen, now) = (self.seen.lock().expect("what was seen"), self.now());
                (seen.instance(&user.instance, now), seen.unknown_for(&user.instance))
            };
            let too_long = unknown_for.filter(|waited| *waited >= pace::EC2_LAG);
            if instance.is_none() && too_long.is_none() {
                anybody_waits = true;
                continue;
            }
            let unknown = too_long
                .filter(|_| instance.is_none())
                .map(|waited| Refusal::InstanceUnknown { instance: user.instance.clone(), waited });
            under_way.users.insert(user.clone());
            under_way.tasks.spawn(self.clone().answer(user, unknown));
        }
        Ok(anybody_waits)
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

    async fn answer(self: Arc<Self>, user: UserId, unknown: Option<Refusal>) -> UserId {
        if let Err(error) = self.answer_request(&user, unknown).await {
            self.counters.count("failed");
            tracing::warn!("the request of {user} has to wait: {error:#}");
            // It counts as being answered meanwhile, so that an outage is not asked ten times a
            // second whether it is over.
            tokio::time::sleep(pace::AFTER_FAILURE).await;
        }
        user
    }

    async fn answer_request(&self, user: &UserId, unknown: Option<Refusal>) -> anyhow::Result<()> {
        let key = self.keys.request(user);
        let object = match self.store.get_at_most(&key, LARGE_BYTES).await {
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
            (Ok(request), Some(refusal)) => (Some(request), Err(refusal)),
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
