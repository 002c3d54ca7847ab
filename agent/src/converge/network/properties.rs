//! Whatever is found: the difference, applied, leaves the wanted, and no second difference.

use std::collections::BTreeSet;

use fastrand::Rng;
use ipnet::IpNet;

use super::Diff;
use crate::host::{Entry, Ways};
use crate::plan::network::{Packets, PodNetwork, Route, Rule, TRIES, Way};

const CIDRS: [&str; 4] = ["10.64.0.0/14", "10.64.3.0/24", "fd00:64::/56", "0.0.0.0/0"];

fn cidr(rng: &mut Rng) -> IpNet {
    CIDRS[rng.usize(..CIDRS.len())].parse().expect("a CIDR")
}

fn route(rng: &mut Rng, metrics: u32) -> Route {
    let way = match rng.bool() {
        true => Way::Blackhole,
        false => Way::Out {
            interface: ["ens5", "ens6"][rng.usize(..2)].to_owned(),
            gateway: None,
            source: None,
            mtu_bytes: [None, Some(1500), Some(9001)][rng.usize(..3)],
        },
    };
    let table = [254, 87][rng.usize(..2)];
    Route { destination: cidr(rng), table, way, metric: 512 + rng.u32(0..metrics) }
}

fn rule(rng: &mut Rng, priorities: u32) -> Rule {
    let packets = if rng.bool() { Packets::From(cidr(rng)) } else { Packets::To(cidr(rng)) };
    Rule { priority: 1087 + rng.u32(0..priorities), packets, table: [254, 87][rng.usize(..2)] }
}

/// As plans are: two of its routes to one destination have metrics far apart.
fn wanted(rng: &mut Rng) -> PodNetwork {
    let mut network = PodNetwork::default();
    for _ in 0..rng.usize(..6) {
        let new = route(rng, 1);
        let same = |it: &Route| (it.destination, it.table) == (new.destination, new.table);
        if !network.routes.iter().any(same) {
            network.routes.insert(new);
        }
        network.rules.insert(rule(rng, 1));
    }
    network
}

/// The kernel's rule: one route to a destination with a metric, one rule of a kind.
fn found(rng: &mut Rng) -> Ways {
    let mut ways = Ways::default();
    for _ in 0..rng.usize(..30) {
        let new = route(rng, TRIES + 2);
        let key = |it: &Route| (it.destination, it.table, it.metric);
        if ways.routes.iter().all(|it| key(it) != key(&new)) {
            ways.routes.push(new);
        }
        let new = rule(rng, TRIES + 2);
        if !ways.rules.contains(&new) {
            ways.rules.push(new);
        }
    }
    ways
}

fn applied(mut ways: Ways, diff: &Diff) -> Ways {
    for entry in &diff.remove {
        match entry {
            Entry::Route(route) => ways.routes.retain(|it| it != route),
            Entry::Rule(rule) => ways.rules.retain(|it| it != rule),
        }
    }
    for entry in &diff.add {
        match entry {
            Entry::Route(route) => ways.routes.push(route.clone()),
            Entry::Rule(rule) => ways.rules.push(rule.clone()),
        }
    }
    ways
}

#[test]
fn a_difference_that_was_applied_leaves_the_wanted_and_no_second_one() {
    for seed in 0..500 {
        let rng = &mut Rng::with_seed(seed);
        let (found, wanted) = (found(rng), wanted(rng));
        let diff = Diff::between(&found, &wanted);
        let after = applied(found, &diff);
        assert_eq!(Diff::between(&after, &wanted), Diff::default(), "seed {seed}");
        let ways: BTreeSet<_> = after.routes.iter().map(|it| (it.destination, &it.way)).collect();
        let planned: BTreeSet<_> =
            wanted.routes.iter().map(|it| (it.destination, &it.way)).collect();
        assert_eq!(ways, planned, "seed {seed}");
        assert_eq!(after.rules.len(), wanted.rules.len(), "seed {seed}");
    }
}

#[test]
fn a_way_that_changes_is_added_beside_the_old_one_before_that_goes() {
    let old = route(&mut Rng::with_seed(1), 1);
    let way = Way::Out { interface: "ens7".into(), gateway: None, source: None, mtu_bytes: None };
    let new = Route { way, ..old.clone() };
    let wanted = PodNetwork { routes: [new.clone()].into(), ..PodNetwork::default() };
    let found = Ways { routes: vec![old.clone()], ..Ways::default() };
    let beside = Route { metric: old.metric + 1, ..new };
    let diff = Diff { add: vec![Entry::Route(beside)], remove: vec![Entry::Route(old)] };
    assert_eq!(Diff::between(&found, &wanted), diff);
}
