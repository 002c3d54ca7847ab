//! From whatever state: one pass reaches the plan and touches nothing of anybody else's.

use std::collections::BTreeSet;
use std::process::Command;

use netlink_tests::in_new_namespace;
use netlink_tests::node::{foreign, network, network_of_two, ours, planned, two_enis};
use windlass::converge::network::reconcile;
use windlass::host::Machine;
use windlass::plan::network::{PodNetwork, Route, Rule};

const STATES: u64 = 60;

/// A sequence of numbers by its seed (Marsaglia, "Xorshift RNGs").
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.below(all.len() as u64)).expect("small")]
    }
}

/// Routes and rules of anybody's, ours among them, near and on what is planned.
fn somewhere(numbers: &mut Numbers) -> String {
    let mut lines = String::new();
    for _ in 0..numbers.below(40) {
        let protocol = numbers.of(&["87", "87", "static", "dhcp", "99"]);
        let table = numbers.of(&["main", "main", "87", "100"]);
        let way = numbers.of(&["dev ens5", "dev ens6", "dev ens5 mtu 1500", "blackhole"]);
        let destination = numbers.of(&[
            "10.64.0.0/14",
            "10.64.3.0/24",
            "10.64.4.0/24",
            "fd00:64::/56",
            "fd00:64:0:3::/64",
            "192.0.2.0/24",
        ]);
        let metric = [512, 513, 4096, 4097, 7][usize::try_from(numbers.below(5)).expect("small")];
        let (kind, way) = if way == "blackhole" { ("blackhole ", "") } else { ("", way) };
        lines += &format!(
            "route add {kind}{destination} {way} metric {metric} table {table} proto {protocol}\n"
        );
        let priority = [1087, 1107, 1108, 2000][usize::try_from(numbers.below(4)).expect("small")];
        let packets = numbers.of(&[
            "from 10.64.3.0/24",
            "to 10.64.3.0/24",
            "from 10.0.1.5",
            "from 10.64.3.0/24 fwmark 1",
            "from all iif ens6",
        ]);
        lines +=
            &format!("rule add {packets} lookup {table} priority {priority} protocol {protocol}\n");
    }
    lines
}

#[test]
fn one_pass_from_any_state_reaches_the_plan_and_touches_nothing_foreign() {
    for seed in 1..=STATES {
        in_new_namespace(async move || {
            two_enis();
            let numbers = &mut Numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            // What the kernel takes of it: the same twice, it does not.
            for line in somewhere(numbers).lines() {
                let _ = Command::new("ip").args(line.split_whitespace()).output();
            }
            let before = foreign();
            let wanted = match numbers.below(3) {
                0 => network(),
                1 => network_of_two(),
                _ => PodNetwork::default(),
            };
            let machine = Machine::this();
            let first = reconcile(&machine, &wanted).await.expect("a kernel that answers");
            assert!(first.failed.is_empty(), "seed {seed}: {:?}", first.failed);
            let (routes, rules) = ours(&wanted).await;
            let (planned_routes, planned_rules) = planned(&wanted);
            let ways = |all: &[_]| all.iter().map(key).collect::<Vec<_>>();
            assert_eq!(ways(&routes), ways(&planned_routes), "seed {seed}");
            let looked_up = |all: &[_]| all.iter().map(rule).collect::<BTreeSet<_>>();
            assert_eq!(looked_up(&rules), looked_up(&planned_rules), "seed {seed}");
            assert_eq!(rules.len(), planned_rules.len(), "seed {seed}");
            let second = reconcile(&machine, &wanted).await.expect("a kernel that answers");
            assert_eq!(second.changes, [], "seed {seed}");
            assert_eq!(foreign(), before, "seed {seed}");
        });
    }
    println!("{STATES} states, seeds 1 to {STATES}");
}

/// All but the metric, which depends on who was there.
fn key(route: &Route) -> String {
    Route { metric: 0, ..route.clone() }.to_string()
}

fn rule(rule: &Rule) -> String {
    Rule { priority: 0, ..rule.clone() }.to_string()
}
