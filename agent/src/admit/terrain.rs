//! What the VPC's route tables leave for leases: destinations that somebody else's routes are in
//! the way of, and how many routes a table takes. Pure, as of the latest look at the tables.

use ipnet::IpNet;

use super::lease::Leases;
use crate::client::ec2::{Route, RouteTable, Target};
use crate::config::overlap;

/// From this share of its quota on a table is complained of.
const NEARLY_FULL_PERCENT: usize = 90;

/// The tables, as leases see them. The default is a VPC without any.
#[derive(Clone, Debug, Default)]
pub struct Terrain {
    obstacles: Vec<(IpNet, String)>,
    tables: Vec<RouteTable>,
    routes_per_table: usize,
}

/// A lease more would be a route more than a table takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("route table {} has {} of {} {} routes, those of leases included\n{RAISE}", .0.table, .0.found, .0.quota, .0.family)]
pub struct QuotaReached(Fill);

const RAISE: &str = "hint: ask AWS to raise the quota \"Routes per route table\" and set \
                     `network.routes_per_table`, or let ended nodes go";

/// How full a table is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fill {
    table: String,
    found: usize,
    quota: usize,
    family: &'static str,
}

impl Terrain {
    /// By the cluster's `tables`, in which `may_be_taken` says which routes are not in the way.
    pub fn of(
        tables: &[RouteTable],
        pods: &[IpNet],
        routes_per_table: u32,
        may_be_taken: impl Fn(&IpNet, &Route) -> bool,
    ) -> Self {
        let mut obstacles = Vec::new();
        for table in tables {
            for (destination, route) in &table.routes {
                // A route that covers the whole pod network, as the default route does, is less
                // specific than ours: packets for pods do not take it. But nothing may be more
                // specific than the VPC's own CIDRs.
                let carved = pods.iter().any(|pods| pods.contains(destination))
                    || route.target == Target::Local;
                if carved && !may_be_taken(destination, route) {
                    let what = format!("the route to {destination} in {}", table.id);
                    obstacles
                        .push((*destination, format!("{what}, which leads to {}", route.target)));
                }
            }
        }
        Self {
            obstacles,
            tables: tables.to_vec(),
            routes_per_table: usize::try_from(routes_per_table).unwrap_or(usize::MAX),
        }
    }

    /// What leaves nothing of `pods`.
    pub fn covers(&self, pods: &IpNet) -> Option<&str> {
        let covers = self.obstacles.iter().find(|(obstacle, _)| obstacle.contains(pods));
        covers.map(|(_, what)| what.as_str())
    }

    /// What a lease of `cidr` would meet.
    pub fn obstacle(&self, cidr: &IpNet) -> Option<&str> {
        let met = self.obstacles.iter().find(|(obstacle, _)| overlap(obstacle, cidr));
        met.map(|(_, what)| what.as_str())
    }

    /// Every table takes the routes that `leases` want and one more, to `cidr`.
    pub fn has_room(&self, leases: &Leases, cidr: &IpNet) -> Result<(), QuotaReached> {
        let full = self.fill(leases, cidr).find(|fill| fill.found >= fill.quota);
        full.map_or(Ok(()), |fill| Err(QuotaReached(fill)))
    }

    /// The tables that are nearly full, as a person is told: without the number, which is another one
    /// with each lease.
    pub fn nearly_full(&self, leases: &Leases, pods: &[IpNet]) -> Vec<String> {
        let nearly = |fill: &Fill| fill.found * 100 >= fill.quota * NEARLY_FULL_PERCENT;
        let fills = pods.iter().flat_map(|pods| self.fill(leases, pods)).filter(nearly);
        let said = |Fill { table, quota, family, .. }| {
            format!(
                "route table {table} has {NEARLY_FULL_PERCENT} % or more of its {quota} {family} \
                 routes, those of leases included\n{RAISE}"
            )
        };
        fills.map(said).collect()
    }

    /// For each table how many routes of the family of `of` there are, with those that are to come.
    ///
    /// Source: "Amazon VPC quotas": the quota is enforced separately for IPv4 and IPv6.
    fn fill(&self, leases: &Leases, of: &IpNet) -> impl Iterator<Item = Fill> {
        let is_ipv4 = of.addr().is_ipv4();
        let same = move |cidr: &&IpNet| cidr.addr().is_ipv4() == is_ipv4;
        let wanted: Vec<_> = leases.leases.keys().filter(same).collect();
        let family = if is_ipv4 { "IPv4" } else { "IPv6" };
        self.tables.iter().map(move |table| {
            let there = table.routes.keys().filter(same).count();
            let missing = wanted.iter().filter(|it| !table.routes.contains_key(**it)).count();
            let (found, quota) = (there + missing, self.routes_per_table);
            Fill { table: table.id.clone(), found, quota, family }
        })
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::admit::lease::{Holder, NoLease};
    use crate::admit::testing::{config, instance, table};

    fn cidr(text: &str) -> IpNet {
        text.parse().expect("a CIDR")
    }

    fn lease(leases: &mut Leases, number: u8, terrain: &Terrain) -> Result<Vec<IpNet>, NoLease> {
        let holder = Holder::of(&instance(number));
        leases.lease(&holder, &config().network, terrain, datetime!(2026-11-25 12:00 UTC))
    }

    fn terrain(routes: &[(&str, &str)], quota: u32) -> Terrain {
        let is_ours = |_: &IpNet, route: &Route| route.target.to_string() == "eni-ours";
        Terrain::of(&[table("rtb-1", routes)], &config().network.pods, quota, is_ours)
    }

    #[test]
    fn a_lease_goes_round_what_somebody_else_has_routed_or_the_vpc_has() {
        let terrain = terrain(
            &[
                ("0.0.0.0/0", "igw-1"),
                ("10.128.0.0/9", "tgw-1"),
                ("10.128.0.128/25", "pcx-1"),
                ("10.128.1.0/24", "eni-ours"),
                ("10.128.2.0/23", "local"),
            ],
            500,
        );
        let leased = lease(&mut Leases::default(), 1, &terrain);
        assert_eq!(leased, Ok(vec![cidr("10.128.1.0/24")]));
        let mut leases = Leases::default();
        lease(&mut leases, 1, &terrain).expect("a lease");
        assert_eq!(lease(&mut leases, 2, &terrain), Ok(vec![cidr("10.128.4.0/24")]));
        let met = "the route to 10.128.0.128/25 in rtb-1, which leads to pcx-1";
        assert_eq!(terrain.obstacle(&cidr("10.128.0.0/24")), Some(met));
    }

    #[test]
    fn a_vpc_that_covers_the_pod_network_leaves_nothing_and_is_named() {
        let terrain = terrain(&[("10.0.0.0/8", "local")], 500);
        let said = "all 256 pod CIDRs of /24 in 10.128.0.0/16 are leased, or in the way of the route \
                    to 10.0.0.0/8 in rtb-1, which leads to the VPC itself\n\
                    hint: take a larger pod network, or a longer node mask";
        let error = lease(&mut Leases::default(), 1, &terrain).expect_err("nothing is free");
        assert_eq!(error.to_string(), said);
    }

    #[test]
    fn a_table_at_its_quota_takes_no_lease_and_one_near_it_is_told_of() {
        let terrain = terrain(&[("10.0.0.0/16", "local"), ("2001:db8::/32", "igw-1")], 3);
        let (mut leases, pods) = (Leases::default(), config().network.pods);
        lease(&mut leases, 1, &terrain).expect("the second of three");
        assert_eq!(terrain.nearly_full(&leases, &pods), Vec::<String>::new());
        lease(&mut leases, 2, &terrain).expect("the third of three");
        let said = "route table rtb-1 has 3 of 3 IPv4 routes, those of leases included\n\
                    hint: ask AWS to raise the quota \"Routes per route table\" and set \
                    `network.routes_per_table`, or let ended nodes go";
        assert_eq!(lease(&mut leases, 3, &terrain).expect_err("no room").to_string(), said);
        let nearly = "route table rtb-1 has 90 % or more of its 3 IPv4 routes, those of leases included\n\
                      hint: ask AWS to raise the quota \"Routes per route table\" and set \
                      `network.routes_per_table`, or let ended nodes go";
        assert_eq!(terrain.nearly_full(&leases, &pods), [nearly]);
        assert_eq!(leases.leases.len(), 2, "nothing was leased");
    }
}
