//! Looks for the requests of those few who are expected under their very keys, many times a second:
//! that costs less than to list the inbox as often, and the look that finds a request has read it.
//! It finds nobody whom a listing would not find a moment later.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::inbox::{Asking, LARGE_BYTES};
use super::pace::{Crowd, Lead};
use super::{Admitter, pace};
use crate::client::ec2::Instance;
use crate::config::{NodeConfig, Role};
use crate::exchange::UserId;

impl Admitter {
    /// Who of the few expected may have put a request; while nobody is expected, who of those who
    /// rest in warm pools. Only the leader looks for them.
    pub(super) fn awaited(&self, crowd: Crowd, under_way: &BTreeSet<UserId>) -> Vec<UserId> {
        let now = self.now();
        let mut awaited = match (self.lead(), crowd) {
            (Lead::Leader, Crowd::Few) => self.expected(|expected| {
                self.who_may_ask(&mut expected.filter(|it| now - it.launched < pace::PUNCTUAL))
            }),
            // A listing finds them, too.
            (Lead::Leader, Crowd::Nobody) => self.resting(|resting| self.who_may_ask(resting)),
            _ => return Vec::new(),
        };
        awaited.retain(|user| self.is_described(user) && !under_way.contains(user));
        match crowd {
            Crowd::Nobody => in_turn(awaited.into_iter().collect(), now.unix_timestamp()),
            _ if awaited.len() <= pace::DOORS => awaited.into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// By the roles of the groups whose instance profile they have.
    fn who_may_ask(&self, instances: &mut dyn Iterator<Item = &Instance>) -> BTreeSet<UserId> {
        let groups = self.configs.all();
        let mut all = BTreeSet::new();
        for Instance { id, instance_profile, .. } in instances {
            // Control-plane nodes put no request: they sign for themselves.
            let may_ask = |group: &&Arc<NodeConfig>| {
                group.node.role == Role::Worker
                    && instance_profile.as_ref() == Some(&group.admission.instance_profile)
            };
            let groups = groups.iter().filter(may_ask);
            let roles = groups.flat_map(|group| &group.admission.role_ids);
            let user = |role: &String| UserId { role_id: role.clone(), instance: id.clone() };
            all.extend(roles.map(user));
        }
        all
    }

    /// How long until the next look for them.
    pub(super) fn patience(&self, awaited: &[UserId]) -> Duration {
        let (seen, now) = (self.seen.lock().expect("what was seen"), self.now());
        let started = awaited.iter().filter_map(|user| seen.instance(&user.instance, now));
        let ages = started.map(|it| (now - it.launched).try_into().unwrap_or(Duration::ZERO));
        pace::doorstep(ages.min().unwrap_or(pace::PUNCTUAL))
    }

    /// Those of `awaited` whose request is there, with what it says.
    pub(super) async fn look_for(&self, awaited: &[UserId]) -> Vec<Asking> {
        let look = async |user: &UserId| {
            let key = self.keys.request(user);
            let look = timeout(pace::LOOK, self.store.get_at_most(&key, LARGE_BYTES)).await;
            // What cannot be read so is found by the next listing.
            let object = look.ok()?.ok()??;
            Some(Asking { user: user.clone(), object: Some(object), unknown: None })
        };
        join_all(awaited.iter().map(look)).await.into_iter().flatten().collect()
    }
}

/// As many as are looked for together, others each second.
fn in_turn(all: Vec<UserId>, second: i64) -> Vec<UserId> {
    let rounds = all.len().div_ceil(pace::DOORS).max(1);
    let round = usize::try_from(second).unwrap_or_default() % rounds;
    all.into_iter().skip(round * pace::DOORS).take(pace::DOORS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(count: u32) -> Vec<UserId> {
        let user = |number| format!("AROAWORKER:i-{number:017x}").parse().expect("a user id");
        (0..count).map(user).collect()
    }

    #[test]
    fn everybody_who_rests_is_looked_for_in_turn() {
        assert_eq!(in_turn(users(0), 7), []);
        assert_eq!(in_turn(users(3), 7), users(3));
        let all = users(14);
        let looked: Vec<_> = (7..10).flat_map(|second| in_turn(all.clone(), second)).collect();
        let each: BTreeSet<_> = looked.iter().cloned().collect();
        assert_eq!((looked.len(), each.into_iter().collect::<Vec<_>>()), (14, all));
    }
}
