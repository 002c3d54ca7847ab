//! Whatever the tables say and whoever holds what: carried out, a diff leaves nothing to do and
//! nothing of somebody else's changed.

use std::collections::BTreeSet;

use fastrand::Rng;
use ipnet::IpNet;
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::time::Instant;

use super::desired::Desired;
use super::diff::{Diff, Foreign, Place, What};
use super::view::View;
use crate::admit::lease::{Holder, Leases};
use crate::admit::terrain::Terrain;
use crate::admit::testing::{config, instance, table};
use crate::client::ec2::{Instance, Route, RouteTable, State, Target};

const NOW: OffsetDateTime = datetime!(2026-11-25 12:00 UTC);
const POOL: [&str; 5] =
    ["10.128.0.0/24", "10.128.1.0/24", "10.128.2.0/24", "10.128.3.0/24", "10.0.0.0/16"];

fn interface(number: u8) -> String {
    instance(number).network_interface.expect("an interface")
}

fn leased(numbers: impl IntoIterator<Item = u8>) -> Leases {
    let mut leases = Leases::default();
    for number in numbers {
        let holder = Holder::of(&instance(number));
        leases.lease(&holder, &config().network, &Terrain::default(), NOW).expect("a lease");
    }
    leases
}

fn any_route(rng: &mut Rng) -> Route {
    let target = match rng.u8(..8) {
        0 => Target::Local,
        1 => Target::Other("tgw-1".to_owned()),
        2 => Target::Interface { id: "eni-foreign".to_owned(), instance: None },
        number => Target::Interface { id: interface(number % 5), instance: None },
    };
    Route { target, blackhole: rng.u8(..4) == 0 }
}

fn any_tables(rng: &mut Rng) -> Vec<RouteTable> {
    let tables = (0..rng.u8(1..4)).map(|number| {
        let mut table = table(&format!("rtb-{number}"), &[]);
        for destination in POOL {
            if rng.bool() {
                table.routes.insert(destination.parse().expect("a CIDR"), any_route(rng));
            }
        }
        table
    });
    tables.collect()
}

fn any_desired(rng: &mut Rng) -> Desired {
    let numbers: Vec<u8> = (1..=4).filter(|_| rng.bool()).collect();
    let mut leases = leased(numbers.clone());
    for number in &numbers {
        if rng.u8(..4) == 0 {
            leases.end(&instance(*number).id, NOW);
        }
    }
    let instances: Vec<_> = numbers.into_iter().filter(|_| rng.u8(..5) > 0).map(instance).collect();
    Desired::of(&leases, &instances, NOW)
}

/// What is not ours, and where.
fn foreign(tables: &[RouteTable], desired: &Desired) -> BTreeSet<String> {
    let routes = tables.iter().flat_map(|it| it.routes.iter().map(move |route| (&it.id, route)));
    let foreign = routes.filter(|(_, (_, route))| !desired.is_ours(route));
    foreign.map(|(table, route)| format!("{table} {route:?}")).collect()
}

#[test]
fn a_second_diff_is_empty_and_nothing_of_others_is_touched() {
    for seed in 0..2000 {
        let rng = &mut Rng::with_seed(seed);
        let (tables, desired) = (any_tables(rng), any_desired(rng));
        let now = Instant::now();
        let mut view = View::default();
        view.described(tables.clone(), now);
        let first = Diff::between(&tables, &desired);
        for change in &first.changes {
            view.changed(&change.what, now);
        }
        let after = view.tables().expect("described");
        let second = Diff::between(after, &desired);
        assert_eq!(second.changes, [], "seed {seed}: {tables:?} {desired:?}");
        assert_eq!(second.foreign, first.foreign, "seed {seed}");
        assert_eq!(foreign(after, &desired), foreign(&tables, &desired), "seed {seed}");
        for holder in &desired.holders {
            for (table, cidr) in
                after.iter().flat_map(|it| holder.pod_cidrs.iter().map(move |cidr| (it, cidr)))
            {
                let place = Place { table: table.id.clone(), destination: *cidr };
                let others = second.foreign.get(&holder.instance);
                let theirs = others.is_some_and(|all| all.iter().any(|it| it.place == place));
                let route = &table.routes[cidr];
                let leads = matches!(&route.target, Target::Interface { id, .. } if *id == holder.interface);
                assert!(leads || theirs, "seed {seed}: {place:?} is {route:?}");
            }
        }
    }
}

#[test]
fn each_kind_of_route_is_met_as_it_should_be() {
    let own = &interface(1);
    let cidr: IpNet = "10.128.0.0/24".parse().expect("a CIDR");
    let place = || Place { table: "rtb-1".to_owned(), destination: cidr };
    let desired =
        Desired::of(&leased([1, 2]), &[instance(1), instance(2)], NOW).only(&instance(1).id);
    let whats = |found: Option<Route>| {
        let mut tables = [table("rtb-1", &[])];
        tables[0].routes.extend(found.map(|route| (cidr, route)));
        let diff = Diff::between(&tables, &desired);
        let whats: Vec<_> = diff.changes.into_iter().map(|change| change.what).collect();
        (whats, diff.foreign.into_values().flatten().collect::<Vec<_>>())
    };
    let eni = |id: &str, blackhole| {
        Some(Route { target: Target::Interface { id: id.to_owned(), instance: None }, blackhole })
    };
    let (nothing, nobody) = (Vec::new, Vec::new);
    assert_eq!(whats(None), (vec![What::Created(place(), own.clone())], nobody()));
    assert_eq!(whats(eni(own, false)), (nothing(), nobody()));
    assert_eq!(whats(eni(own, true)), (nothing(), nobody()), "the instance is stopped");
    let stopped =
        Target::Interface { id: "eni-foreign".to_owned(), instance: Some(instance(9).id) };
    let stopped = Some(Route { target: stopped, blackhole: true });
    let replaced = || (vec![What::Replaced(place(), own.clone())], nobody());
    assert_eq!(whats(eni(&interface(2), false)), replaced(), "ours, with another target");
    assert_eq!(whats(eni("eni-gone", true)), replaced(), "a blackhole");
    for (route, target) in [
        (eni("eni-foreign", false), "eni-foreign"),
        (stopped, "eni-foreign of i-00000000000000009"),
        (Some(Route { target: Target::Other("tgw-1".to_owned()), blackhole: true }), "tgw-1"),
        (Some(Route { target: Target::Local, blackhole: false }), "the VPC itself"),
    ] {
        let foreign = Foreign { place: place(), target: target.to_owned() };
        assert_eq!(whats(route), (nothing(), vec![foreign]));
    }
}

#[test]
fn the_longest_wait_comes_first_and_a_holders_changes_together() {
    let mut leases = Leases::default();
    let network = config().network;
    for (number, seconds) in [(1, 2), (2, 1)] {
        let since = NOW + time::Duration::seconds(seconds);
        let holder = Holder::of(&instance(number));
        leases.lease(&holder, &network, &Terrain::default(), since).expect("a lease");
    }
    leases.end(&instance(3).id, NOW);
    let first = Instance { source_dest_check: true, state: State::Pending, ..instance(1) };
    let desired = Desired::of(&leases, &[first, instance(2)], NOW);
    let tables = [table("rtb-1", &[]), table("rtb-2", &[])];
    let changes = Diff::between(&tables, &desired).changes;
    let said: Vec<_> = changes.iter().map(|it| (it.what.to_string(), it.pending)).collect();
    let (one, two) = (interface(1), interface(2));
    let wanted = [
        (format!("a route for 10.128.1.0/24 in rtb-1 to {two}"), false),
        (format!("a route for 10.128.1.0/24 in rtb-2 to {two}"), false),
        (format!("{one} without source/destination check"), true),
        (format!("a route for 10.128.0.0/24 in rtb-1 to {one}"), true),
        (format!("a route for 10.128.0.0/24 in rtb-2 to {one}"), true),
    ];
    assert_eq!(said, wanted);
}

#[test]
fn a_foreign_route_to_some_of_a_holders_pods_is_his_trouble_too() {
    let desired = Desired::of(&leased([1]), &[instance(1)], NOW);
    let tables = [table(
        "rtb-1",
        &[
            ("10.128.0.0/24", &interface(1)),
            ("10.128.0.128/25", "pcx-1"),
            ("10.128.1.0/25", "pcx-2"),
        ],
    )];
    let diff = Diff::between(&tables, &desired);
    let destination = "10.128.0.128/25".parse().expect("a CIDR");
    let place = Place { table: "rtb-1".to_owned(), destination };
    let foreign = BTreeSet::from([Foreign { place, target: "pcx-1".to_owned() }]);
    assert_eq!(diff, Diff { changes: vec![], foreign: [(instance(1).id, foreign)].into() });
}

/// Leases lost, a table full of routes: those of the living stay, only what leads nowhere goes.
#[test]
fn lost_leases_take_no_living_pod_its_way() {
    let mut found =
        table("rtb-1", &[("10.128.0.0/24", &interface(1)), ("10.128.1.0/24", "eni-gone")]);
    let gone: IpNet = "10.128.1.0/24".parse().expect("a CIDR");
    found.routes.get_mut(&gone).expect("a route").blackhole = true;
    let desired = Desired::of(&Leases::default(), &[instance(1)], NOW);
    assert_eq!(Diff::between(std::slice::from_ref(&found), &desired), Diff::default());
    let pods = config().network.pods;
    let strays = desired.strays(std::slice::from_ref(&found), &pods, NOW);
    assert_eq!(strays.into_keys().collect::<Vec<_>>(), [gone]);
    // And a newcomer is not leased what a living one has.
    let may_be_taken = |to: &IpNet, route: &Route| desired.may_be_taken(to, route);
    let terrain = Terrain::of(&[found], &pods, 500, may_be_taken);
    let mut leases = Leases::default();
    let leased = leases.lease(&Holder::of(&instance(2)), &config().network, &terrain, NOW);
    assert_eq!(leased, Ok(vec![gone]));
}
