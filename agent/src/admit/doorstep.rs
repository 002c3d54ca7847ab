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
    /// Who of the few expected may have put a request, by the roles of the groups whose instance
    /// profile they have. Only the leader looks for them.
    pub(super) fn awaited(&self, crowd: Crowd, under_way: &BTreeSet<UserId>) -> Vec<UserId> {
        if (self.lead(), crowd) != (Lead::Leader, Crowd::Few) {
            return Vec::new();
        }
        let groups = self.configs.all();
        let mut awaited = BTreeSet::new();
        let now = self.now();
        self.expected(|expected| {
            let punctual = expected.filter(|it| now - it.launched < pace::PUNCTUAL);
            for Instance { id, instance_profile, .. } in punctual {
                // Control-plane nodes put no request: they sign for themselves.
                let may_ask = |group: &&Arc<NodeConfig>| {
                    group.node.role == Role::Worker
                        && instance_profile.as_ref() == Some(&group.admission.instance_profile)
                };
                let groups = groups.iter().filter(may_ask);
                let roles = groups.flat_map(|group| &group.admission.role_ids);
                let user = |role: &String| UserId { role_id: role.clone(), instance: id.clone() };
                awaited.extend(roles.map(user));
            }
        });
        awaited.retain(|user| self.is_described(user) && !under_way.contains(user));
        if awaited.len() <= pace::DOORS { awaited.into_iter().collect() } else { Vec::new() }
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
