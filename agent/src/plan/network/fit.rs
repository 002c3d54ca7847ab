//! What only the instance can see to be wrong with the configured network.

use ipnet::IpNet;

use crate::config::{NodeConfig, Problem, Problems, overlap};
use crate::facts::Facts;

/// Refuses a network that does not fit the VPC, with all that does not.
pub(in crate::plan) fn fits_the_vpc(facts: &Facts, config: &NodeConfig) -> Result<(), Problems> {
    let mut problems = Problems::of("configuration");
    let (instance, network) = (&facts.instance, &config.network);
    if instance.region != config.cluster.region {
        let (found, wanted) = (&config.cluster.region, &instance.region);
        let message = format!("is `{found}`, but this instance is in `{wanted}`");
        problems.add(Problem::new("cluster.region", message));
    }
    let named = [("network.pods", &network.pods), ("network.services", &network.services)];
    for (key, cidr) in
        named.into_iter().flat_map(|(key, all)| all.iter().map(move |one| (key, one)))
    {
        for vpc in instance.vpc_cidrs().filter(|vpc| overlap(vpc, cidr)) {
            let message = format!("has `{cidr}`, which overlaps the VPC's `{vpc}`");
            let hint = "a VPC routes its own CIDRs by itself; take others";
            problems.add(Problem::new(key, message).hint(hint));
        }
    }
    let ipv6_pods = network.pods.iter().find(|pods| matches!(pods, IpNet::V6(_)));
    if let Some(pods) = ipv6_pods.filter(|_| instance.ipv6.is_none()) {
        let message = format!("has `{pods}`, but this instance has no IPv6 address");
        let hint = "assign IPv6 addresses in the subnet or the launch template";
        problems.add(Problem::new("network.pods", message).hint(hint));
    }
    problems.unless_any(Some(()))
}
