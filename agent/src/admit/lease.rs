//! Which instance holds which pod CIDR: the content of `leases.json` and the allocator, pure.
//!
//! The CIDR is the key, so that two holders of one CIDR cannot even be written down.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::config::Network;
use crate::exchange::InstanceId;

/// Every pod CIDR that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leases {
    /// The layout of this object; 1.
    pub version: u32,
    pub leases: BTreeMap<IpNet, Lease>,
}

/// Who holds a pod CIDR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    pub instance: InstanceId,
    /// The primary network interface, `eni-…`, to which the VPC routes lead.
    pub network_interface: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// An instance that needs pod CIDRs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub instance: InstanceId,
    pub network_interface: Option<String>,
}

/// No CIDR of a family is free.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all {size} pod CIDRs of /{mask} in {pods} are leased")]
pub struct Full {
    pods: IpNet,
    mask: u8,
    size: u128,
}

impl Default for Leases {
    fn default() -> Self {
        Self { version: 1, leases: BTreeMap::new() }
    }
}

impl Leases {
    /// Leases what `holder` lacks: for each address family of the pod network the lowest CIDR that
    /// overlaps no other lease. Returns all that it holds then; unchanged, if it lacked nothing.
    pub fn lease(
        &mut self,
        holder: &Holder,
        network: &Network,
        now: OffsetDateTime,
    ) -> Result<Vec<IpNet>, Full> {
        for pods in &network.pods {
            if self.held_by(&holder.instance).iter().any(|held| same_family(held, pods)) {
                continue;
            }
            let free = self.lowest_free(pods, mask(network, pods))?;
            let lease = Lease {
                instance: holder.instance.clone(),
                network_interface: holder.network_interface.clone(),
                since: now,
            };
            self.leases.insert(free, lease);
        }
        Ok(self.held_by(&holder.instance))
    }

    /// The CIDRs of one instance, IPv4 first.
    pub fn held_by(&self, instance: &InstanceId) -> Vec<IpNet> {
        let held = self.leases.iter().filter(|(_, lease)| lease.instance == *instance);
        held.map(|(cidr, _)| *cidr).collect()
    }

    /// Whether `instance` has a CIDR of every family of the pod network.
    pub fn is_complete(&self, instance: &InstanceId, network: &Network) -> bool {
        let held = self.held_by(instance);
        network.pods.iter().all(|pods| held.iter().any(|cidr| same_family(cidr, pods)))
    }

    /// Ends every lease of `instance`. Says whether there was any.
    pub fn release(&mut self, instance: &InstanceId) -> bool {
        let before = self.leases.len();
        self.leases.retain(|_, lease| lease.instance != *instance);
        self.leases.len() < before
    }

    fn lowest_free(&self, pods: &IpNet, mask: u8) -> Result<IpNet, Full> {
        let size = 1u128 << mask.saturating_sub(pods.prefix_len());
        let full = Full { pods: *pods, mask, size };
        let mut candidates = pods.subnets(mask).map_err(|_| full.clone())?;
        candidates.find(|candidate| !self.overlaps(candidate)).ok_or(full)
    }

    /// Leases never overlap one another, so only the neighbours in the order of addresses can
    /// overlap a candidate: the next one at or above it, and the one below.
    fn overlaps(&self, candidate: &IpNet) -> bool {
        let overlap = |held: &IpNet| held.contains(candidate) || candidate.contains(held);
        self.leases.range(candidate..).next().is_some_and(|(held, _)| overlap(held))
            || self.leases.range(..candidate).next_back().is_some_and(|(held, _)| overlap(held))
    }
}

fn same_family(a: &IpNet, b: &IpNet) -> bool {
    a.addr().is_ipv4() == b.addr().is_ipv4()
}

fn mask(network: &Network, pods: &IpNet) -> u8 {
    if pods.addr().is_ipv4() { network.node_mask_ipv4 } else { network.node_mask_ipv6 }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    fn network(pods: &[&str]) -> Network {
        Network {
            pods: pods.iter().map(|cidr| cidr.parse().expect("a CIDR")).collect(),
            node_mask_ipv4: 24,
            node_mask_ipv6: 64,
            services: Vec::new(),
            dns: Vec::new(),
            domain: "cluster.local".to_owned(),
        }
    }

    fn holder(number: u32) -> Holder {
        let instance = format!("i-{number:017x}").parse().expect("an instance id");
        Holder { instance, network_interface: Some(format!("eni-{number:017x}")) }
    }

    fn lease(leases: &mut Leases, number: u32, network: &Network) -> Vec<String> {
        let cidrs = leases.lease(&holder(number), network, NOW).expect("a lease");
        cidrs.iter().map(IpNet::to_string).collect()
    }

    #[test]
    fn the_lowest_free_cidr_is_leased_and_leasing_again_changes_nothing() {
        let (mut leases, network) = (Leases::default(), network(&["10.128.0.0/16"]));
        assert_eq!(lease(&mut leases, 1, &network), ["10.128.0.0/24"]);
        assert_eq!(lease(&mut leases, 2, &network), ["10.128.1.0/24"]);
        assert_eq!(lease(&mut leases, 3, &network), ["10.128.2.0/24"]);
        assert!(leases.release(&holder(2).instance));
        assert!(!leases.release(&holder(2).instance));
        let before = leases.clone();
        assert_eq!(lease(&mut leases, 3, &network), ["10.128.2.0/24"]);
        assert_eq!(leases, before);
        assert_eq!(lease(&mut leases, 4, &network), ["10.128.1.0/24"]);
    }

    #[test]
    fn each_family_is_leased_and_the_missing_one_is_added() {
        let mut leases = Leases::default();
        assert_eq!(lease(&mut leases, 1, &network(&["10.128.0.0/16"])), ["10.128.0.0/24"]);
        let dual = network(&["10.128.0.0/16", "fd00:10::/56"]);
        assert!(!leases.is_complete(&holder(1).instance, &dual));
        assert_eq!(lease(&mut leases, 1, &dual), ["10.128.0.0/24", "fd00:10::/64"]);
        assert_eq!(lease(&mut leases, 2, &dual), ["10.128.1.0/24", "fd00:10:0:1::/64"]);
        assert!(leases.is_complete(&holder(1).instance, &dual));
    }

    #[test]
    fn a_full_pod_network_is_named() {
        let (mut leases, network) = (Leases::default(), network(&["10.128.0.0/23"]));
        lease(&mut leases, 1, &network);
        lease(&mut leases, 2, &network);
        let error = leases.lease(&holder(3), &network, NOW).expect_err("full");
        assert_eq!(error.to_string(), "all 2 pod CIDRs of /24 in 10.128.0.0/23 are leased");
    }

    #[test]
    fn leases_of_another_size_are_not_overlapped() {
        let mut leases = Leases::default();
        let coarse = Network { node_mask_ipv4: 23, ..network(&["10.128.0.0/16"]) };
        assert_eq!(lease(&mut leases, 1, &coarse), ["10.128.0.0/23"]);
        assert_eq!(lease(&mut leases, 2, &network(&["10.128.0.0/16"])), ["10.128.2.0/24"]);
        assert_eq!(lease(&mut leases, 3, &coarse), ["10.128.4.0/23"]);
        assert_eq!(lease(&mut leases, 4, &network(&["10.128.0.0/16"])), ["10.128.3.0/24"]);
    }

    /// Random leases and releases with changing sizes: no two leases ever overlap.
    #[test]
    fn no_two_leases_ever_overlap() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut leases = Leases::default();
            for _ in 0..60 {
                let number = random.u32(0..20);
                let mask = random.u8(22..27);
                let network = Network { node_mask_ipv4: mask, ..network(&["10.128.0.0/18"]) };
                if random.bool() {
                    leases.lease(&holder(number), &network, NOW).expect("there is room");
                } else {
                    leases.release(&holder(number).instance);
                }
                let cidrs: Vec<_> = leases.leases.keys().collect();
                for (index, a) in cidrs.iter().enumerate() {
                    for b in &cidrs[index + 1..] {
                        assert!(!a.contains(*b) && !b.contains(*a), "seed {seed}: {a} and {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_written_form_is_readable_and_reads_back() {
        let mut leases = Leases::default();
        lease(&mut leases, 1, &network(&["10.128.0.0/16"]));
        let text = serde_json::to_string(&leases).expect("JSON");
        assert_eq!(
            text,
            r#"{"version":1,"leases":{"10.128.0.0/24":{"instance":"i-00000000000000001","network_interface":"eni-00000000000000001","since":"2026-11-22T12:00:00Z"}}}"#
        );
        assert_eq!(serde_json::from_str::<Leases>(&text).expect("leases"), leases);
    }
}
