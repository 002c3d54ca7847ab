//! The target group: who is in it, who is next, and what became of all requests.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

use super::counts::{Counts, Outcome};
use super::status::{Failure, Status, TargetStatus};
use super::target::Target;
use super::wanted::Front;

/// How many failures are kept: a load balancer without targets has one for each request.
const KEPT_FAILURES: usize = 20;

/// By Node. Clones are the same group.
#[derive(Clone, Debug, Default)]
pub struct Targets(Arc<Mutex<Group>>);

#[derive(Debug, Default)]
struct Group {
    targets: BTreeMap<String, Target>,
    /// How many requests were sent anywhere.
    turn: usize,
    /// Of all requests, also those of targets that are gone.
    counts: Counts,
    failures: VecDeque<Failure>,
}

/// A target whose health is to be checked from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    pub node: String,
    pub address: Ipv4Addr,
    pub registration: u64,
}

/// What a registration changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub joined: Vec<Registered>,
    pub left: Vec<String>,
}

/// Where a request goes.
#[derive(Debug)]
pub struct Chosen {
    pub address: Ipv4Addr,
    /// It ends when the target is gone.
    pub life: watch::Receiver<()>,
}

/// A request that is counted when it ends. Where nobody says how, its client went away.
#[derive(Debug)]
pub struct UnderWay {
    targets: Targets,
    came: Instant,
    node: Option<String>,
    outcome: Outcome,
    /// Why it failed, if it does.
    why: String,
}

impl Targets {
    /// From now on these are wanted, and no others.
    pub fn register(&self, wanted: &BTreeMap<String, Ipv4Addr>, now: Instant) -> Changes {
        let mut group = self.group();
        let mut changes = Changes::default();
        for (node, target) in &mut group.targets {
            if !wanted.contains_key(node) && !target.is_leaving() {
                target.leave(now);
                changes.left.push(node.clone());
            }
        }
        for (node, address) in wanted {
            let target = match group.targets.entry(node.clone()) {
                Entry::Vacant(free) => free.insert(Target::registered(*address)),
                Entry::Occupied(known) if !known.get().is_leaving() => continue,
                Entry::Occupied(leaving) => {
                    let back = leaving.into_mut();
                    back.register_again();
                    back
                }
            };
            let (address, registration) = (target.address, target.registration);
            changes.joined.push(Registered { node: node.clone(), address, registration });
        }
        changes
    }

    /// A target was checked. False: nobody has to check it any more.
    pub fn checked(&self, of: &Registered, passed: bool) -> bool {
        let mut group = self.group();
        let target = group.targets.get_mut(&of.node);
        let target = target.filter(|it| it.registration == of.registration && !it.is_leaving());
        let is_there = target.is_some();
        if let Some(target) = target {
            target.checked(passed);
        }
        is_there
    }

    /// Counts a request and says where it goes, one target after the other (ALB's "round robin");
    /// nowhere, if none is healthy.
    pub fn choose(&self, now: Instant) -> (Option<Chosen>, UnderWay) {
        let mut group = self.group();
        let Group { targets, turn, counts, .. } = &mut *group;
        counts.requests += 1;
        let mut open: Vec<_> =
            targets.iter_mut().filter(|(_, target)| target.takes_requests(now)).collect();
        let mut under_way = UnderWay {
            targets: self.clone(),
            came: now,
            node: None,
            outcome: Outcome::Abandoned,
            why: "its client went away".to_owned(),
        };
        if open.is_empty() {
            return (None, under_way);
        }
        *turn += 1;
        let (node, target) = open.swap_remove(*turn % open.len());
        target.counts.requests += 1;
        under_way.node = Some(node.clone());
        (Some(Chosen { address: target.address, life: target.life() }), under_way)
    }

    /// Forgets a target whose time is over; what it has under way is cut.
    pub fn forget(&self, node: &str, now: Instant) {
        let mut group = self.group();
        if group.targets.get(node).is_some_and(|target| target.is_gone(now)) {
            group.targets.remove(node);
        }
    }

    pub fn status(&self, front: &Front, now: Instant) -> Status {
        let group = self.group();
        let of = |(node, target): (&String, &Target)| TargetStatus {
            node: node.clone(),
            address: target.address.to_string(),
            state: target.state().name().to_owned(),
            draining_ms: target.leaves_since().map(|since| (now - since).as_millis() as u64),
            counts: target.counts,
        };
        Status {
            address: Some(front.address().to_string()),
            service: Some(front.to_string()),
            targets: group.targets.iter().map(of).collect(),
            counts: group.counts,
            failures: group.failures.iter().cloned().collect(),
        }
    }

    fn group(&self) -> MutexGuard<'_, Group> {
        self.0.lock().expect("the target group")
    }
}

impl UnderWay {
    pub fn answered(mut self) {
        self.outcome = Outcome::Answered;
    }

    pub fn failed(mut self, outcome: Outcome, why: impl fmt::Display) {
        (self.outcome, self.why) = (outcome, why.to_string());
    }

    fn failure(&mut self) -> Failure {
        let took = self.came.elapsed();
        Failure {
            at: OffsetDateTime::now_utc() - took,
            after_ms: took.as_millis() as u64,
            node: self.node.clone(),
            why: std::mem::take(&mut self.why),
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let failure = (self.outcome != Outcome::Answered).then(|| self.failure());
        let mut group = self.targets.group();
        group.counts.ended(self.outcome);
        let node = self.node.as_ref();
        if let Some(target) = node.and_then(|node| group.targets.get_mut(node)) {
            target.counts.ended(self.outcome);
        }
        if let Some(failure) = failure {
            if group.failures.len() == KEPT_FAILURES {
                group.failures.pop_front();
            }
            group.failures.push_back(failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DEREGISTRATION_DELAY, PROPAGATION};
    use super::*;

    fn wanted(nodes: &[u8]) -> BTreeMap<String, Ipv4Addr> {
        let node = |number: &u8| (format!("i-{number}"), Ipv4Addr::new(10, 0, 1, *number));
        nodes.iter().map(node).collect()
    }

    /// A group of these, all healthy.
    fn healthy(nodes: &[u8], now: Instant) -> Targets {
        let targets = Targets::default();
        for joined in targets.register(&wanted(nodes), now).joined {
            assert!(targets.checked(&joined, true));
        }
        targets
    }

    /// Who gets the next so many requests, which are all answered.
    fn next(targets: &Targets, count: usize, now: Instant) -> Vec<Option<u8>> {
        let one = |_| {
            let (chosen, under_way) = targets.choose(now);
            match chosen {
                Some(_) => under_way.answered(),
                None => under_way.failed(Outcome::NoTarget, "nobody there"),
            }
            chosen.map(|chosen| chosen.address.octets()[3])
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn requests_go_round_among_the_healthy() {
        let now = Instant::now();
        let targets = healthy(&[1, 2], now);
        assert_eq!(next(&targets, 4, now), [Some(2), Some(1), Some(2), Some(1)]);
        let joined = targets.register(&wanted(&[1, 2, 3]), now).joined;
        assert_eq!(next(&targets, 2, now), [Some(2), Some(1)], "the third is not checked yet");
        targets.checked(&joined[0], true);
        assert!(next(&targets, 3, now).contains(&Some(3)));
        assert_eq!(next(&Targets::default(), 1, now), [None]);
    }

    #[test]
    fn who_is_not_wanted_any_more_gets_nothing_new_once_that_has_spread() {
        let now = Instant::now();
        let targets = healthy(&[1, 2], now);
        assert_eq!(targets.register(&wanted(&[2]), now).left, ["i-1"]);
        assert_eq!(targets.register(&wanted(&[2]), now), Changes::default(), "said once");
        assert!(next(&targets, 2, now).contains(&Some(1)));
        assert_eq!(next(&targets, 3, now + PROPAGATION), [Some(2); 3]);
    }

    #[test]
    fn what_is_under_way_is_cut_when_the_delay_is_over_and_not_before() {
        let now = Instant::now();
        let targets = healthy(&[1], now);
        let (chosen, under_way) = targets.choose(now);
        let life = chosen.unwrap().life;
        targets.register(&wanted(&[]), now);
        targets.forget("i-1", now + PROPAGATION);
        assert!(life.has_changed().is_ok());
        targets.forget("i-1", now + DEREGISTRATION_DELAY);
        assert!(life.has_changed().is_err());
        under_way.failed(Outcome::Cut, "it is gone");
        let counts = targets.group().counts;
        assert_eq!((counts.requests, counts.cut), (1, 1));
    }

    #[test]
    fn a_check_of_an_earlier_registration_counts_no_more() {
        let now = Instant::now();
        let targets = Targets::default();
        let first = targets.register(&wanted(&[1]), now).joined.remove(0);
        targets.register(&wanted(&[]), now);
        assert!(!targets.checked(&first, true));
        let second = targets.register(&wanted(&[1]), now).joined.remove(0);
        assert!(!targets.checked(&first, true));
        assert_eq!(next(&targets, 1, now), [None]);
        assert!(targets.checked(&second, true));
        assert_eq!(next(&targets, 1, now), [Some(1)]);
    }

    #[test]
    fn the_latest_failures_are_kept_with_their_reasons() {
        let now = Instant::now();
        let targets = healthy(&[1], now);
        for number in 0..=KEPT_FAILURES {
            targets.choose(now).1.failed(Outcome::Cut, number);
            targets.choose(now).1.answered();
        }
        let group = targets.group();
        let why: Vec<_> = group.failures.iter().map(|failure| failure.why.clone()).collect();
        let latest: Vec<_> = (1..=KEPT_FAILURES).map(|number| number.to_string()).collect();
        assert_eq!(why, latest);
        assert!(group.failures.iter().all(|failure| failure.node.as_deref() == Some("i-1")));
    }

    #[test]
    fn a_request_whose_client_goes_away_has_failed() {
        let now = Instant::now();
        let targets = healthy(&[1], now);
        drop(targets.choose(now));
        let status = targets.group();
        assert_eq!(status.counts.abandoned, 1);
        assert_eq!(status.targets["i-1"].counts, status.counts);
    }
}
