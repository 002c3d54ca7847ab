//! Which instance holds which pod CIDR: the content of `leases.json` and the allocator, pure.
//!
//! The CIDR is the key, so that two holders of one CIDR cannot even be written down. When a lease
//! ends, its CIDR is *ending* until its routes are gone, and for longer than any deletion of one of
//! them may still be on its way: so no deletion can hit the route of a later holder.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::terrain::{QuotaReached, Terrain};
use crate::config::{Network, overlap};
use crate::exchange::InstanceId;

/// For how long after a lease began to end its routes are deleted: whoever does that has read of it by
/// then ([`super::pace::ROUTES_DRIFT`]).
const DELETED_FOR: Duration = Duration::from_secs(120);

/// When an ending lease may be gone: no deletion that was begun in time is on its way any more
/// ([`crate::client::ec2::CHANGE_TIMEOUT`] and what clocks may differ).
const ENDED_AFTER: Duration = Duration::from_secs(150);

/// Every pod CIDR that is held, or was until a moment ago.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leases {
    /// The layout of this object; 1.
    pub version: u32,
    pub leases: BTreeMap<IpNet, Lease>,
    /// What nobody may have yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ending: BTreeMap<IpNet, Ending>,
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

/// A pod CIDR whose holder is gone and whose routes are being deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// Where its routes led, `eni-…`.
    pub network_interface: Option<String>,
}

/// An instance that needs pod CIDRs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub instance: InstanceId,
    pub network_interface: Option<String>,
}

/// Why there is nothing to lease.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoLease {
    #[error(
        "all {size} pod CIDRs of /{mask} in {pods} are leased{obstacle}\n\
         hint: take a larger pod network, or a longer node mask"
    )]
    Full { pods: IpNet, mask: u8, size: u128, obstacle: String },
    /// It passes by itself.
    #[error(
        "all pod CIDRs of /{mask} in {pods} are leased, {ending} of them for some minutes more"
    )]
    Ending { pods: IpNet, mask: u8, ending: usize },
    #[error(transparent)]
    Quota(#[from] QuotaReached),
}

impl Default for Leases {
    fn default() -> Self {
        Self { version: 1, leases: BTreeMap::new(), ending: BTreeMap::new() }
    }
}

impl Leases {
    /// Leases what `holder` lacks: for each address family of the pod network the lowest CIDR that
    /// overlaps no other lease and nothing of the VPC's. Returns all that it holds then; unchanged,
    /// if it lacked nothing.
    pub fn lease(
        &mut self,
        holder: &Holder,
        network: &Network,
        terrain: &Terrain,
        now: OffsetDateTime,
    ) -> Result<Vec<IpNet>, NoLease> {
        for pods in &network.pods {
            if self.held_by(&holder.instance).iter().any(|held| same_family(held, pods)) {
                continue;
            }
            let free = self.lowest_free(pods, mask(network, pods), terrain)?;
            if let Err(full) = terrain.has_room(self, &free) {
                return Err(self.ending_or(pods, mask(network, pods), full.into()));
            }
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

    /// Whose routes are to be deleted now.
    pub fn to_delete(&self, now: OffsetDateTime) -> impl Iterator<Item = &IpNet> {
        let due = move |ending: &Ending| now < ending.since + DELETED_FOR;
        self.ending.iter().filter(move |(_, ending)| due(ending)).map(|(cidr, _)| cidr)
    }

    /// Whether `instance` has a CIDR of every family of the pod network.
    pub fn is_complete(&self, instance: &InstanceId, network: &Network) -> bool {
        let held = self.held_by(instance);
        network.pods.iter().all(|pods| held.iter().any(|cidr| same_family(cidr, pods)))
    }

    /// Lets every lease of `instance` end.
    pub fn end(&mut self, instance: &InstanceId, now: OffsetDateTime) {
        for (cidr, lease) in self.leases.extract_if(.., |_, lease| lease.instance == *instance) {
            let network_interface = lease.network_interface;
            self.ending.insert(cidr, Ending { since: now, network_interface });
        }
    }

    /// What nobody holds and a route leads to all the same ends as a lease does: nobody gets it
    /// until the route is gone.
    pub fn end_stray(&mut self, cidr: IpNet, ending: Ending) {
        if !self.overlaps(&cidr) {
            self.ending.insert(cidr, ending);
        }
    }

    /// Forgets what has been ending for long enough. What still has a route of ours, `routed`,
    /// begins to end anew.
    pub fn settle(&mut self, routed: impl Fn(&IpNet) -> bool, now: OffsetDateTime) {
        self.ending.retain(|cidr, ending| {
            let over = now >= ending.since + ENDED_AFTER;
            if over && routed(cidr) {
                ending.since = now;
                return true;
            }
            !over
        });
    }

    fn lowest_free(&self, pods: &IpNet, mask: u8, terrain: &Terrain) -> Result<IpNet, NoLease> {
        let size = 1u128 << mask.saturating_sub(pods.prefix_len());
        let full = |obstacle: Option<&str>| {
            let obstacle =
                obstacle.map_or(String::new(), |met| format!(", or in the way of {met}"));
            NoLease::Full { pods: *pods, mask, size, obstacle }
        };
        // Of IPv6 there are more candidates than could be looked at.
        if let Some(covers) = terrain.covers(pods) {
            return Err(full(Some(covers)));
        }
        let (mut candidates, mut obstacle) = (pods.subnets(mask).into_iter().flatten(), None);
        let free = candidates.find(|candidate| {
            let met = terrain.obstacle(candidate);
            if obstacle.is_none() {
                obstacle = met;
            }
            met.is_none() && !self.overlaps(candidate)
        });
        free.ok_or_else(|| self.ending_or(pods, mask, full(obstacle)))
    }

    /// What is ending will be free by itself: that is waited for.
    fn ending_or(&self, pods: &IpNet, mask: u8, none: NoLease) -> NoLease {
        match self.ending.keys().filter(|cidr| pods.contains(*cidr)).count() {
            0 => none,
            ending => NoLease::Ending { pods: *pods, mask, ending },
        }
    }

    /// What is written down never overlaps, so only the neighbours in the order of addresses can
    /// overlap a candidate: the next one at or above it, and the one below.
    fn overlaps(&self, candidate: &IpNet) -> bool {
        meets(&self.leases, candidate) || meets(&self.ending, candidate)
    }
}

fn meets<T>(cidrs: &BTreeMap<IpNet, T>, candidate: &IpNet) -> bool {
    let next = cidrs.range(candidate..).next();
    let below = cidrs.range(..candidate).next_back();
    next.into_iter().chain(below).any(|(cidr, _)| overlap(cidr, candidate))
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
            routes_per_table: 500,
        }
    }

    fn holder(number: u32) -> Holder {
        let instance = format!("i-{number:017x}").parse().expect("an instance id");
        Holder { instance, network_interface: Some(format!("eni-{number:017x}")) }
    }

    fn lease(leases: &mut Leases, number: u32, network: &Network) -> Vec<String> {
        let cidrs = leases.lease(&holder(number), network, &Terrain::default(), NOW);
        let cidrs = cidrs.expect("a lease");
        cidrs.iter().map(IpNet::to_string).collect()
    }

    /// At once, as if the time had passed.
    fn release(leases: &mut Leases, number: u32) {
        leases.end(&holder(number).instance, NOW);
        leases.settle(|_| false, NOW + ENDED_AFTER);
    }

    #[test]
    fn the_lowest_free_cidr_is_leased_and_leasing_again_changes_nothing() {
        let (mut leases, network) = (Leases::default(), network(&["10.128.0.0/16"]));
        assert_eq!(lease(&mut leases, 1, &network), ["10.128.0.0/24"]);
        assert_eq!(lease(&mut leases, 2, &network), ["10.128.1.0/24"]);
        assert_eq!(lease(&mut leases, 3, &network), ["10.128.2.0/24"]);
        release(&mut leases, 2);
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
        let error = leases.lease(&holder(3), &network, &Terrain::default(), NOW);
        let said = "all 2 pod CIDRs of /24 in 10.128.0.0/23 are leased\n\
                    hint: take a larger pod network, or a longer node mask";
        assert_eq!(error.expect_err("full").to_string(), said);
    }

    #[test]
    fn an_ending_lease_is_nobodys_until_no_deletion_can_be_on_its_way() {
        let (mut leases, network) = (Leases::default(), network(&["10.128.0.0/23"]));
        lease(&mut leases, 1, &network);
        lease(&mut leases, 2, &network);
        leases.end(&holder(1).instance, NOW);
        assert_eq!(leases.held_by(&holder(1).instance), []);
        let error = leases.lease(&holder(3), &network, &Terrain::default(), NOW);
        assert!(matches!(error, Err(NoLease::Ending { ending: 1, .. })), "{error:?}");

        let own: IpNet = "10.128.0.0/24".parse().expect("a CIDR");
        let to_delete =
            |leases: &Leases, at| leases.to_delete(NOW + at).copied().collect::<Vec<_>>();
        assert_eq!(to_delete(&leases, Duration::ZERO), [own]);
        assert_eq!(to_delete(&leases, DELETED_FOR), [], "later, nothing is deleted any more");
        leases.settle(|_| false, NOW + ENDED_AFTER - Duration::from_secs(1));
        assert_eq!(leases.ending.len(), 1, "a deletion may still be on its way");
        leases.settle(|cidr| *cidr == own, NOW + ENDED_AFTER);
        assert_eq!(to_delete(&leases, ENDED_AFTER), [own], "a route is left: all over again");
        leases.settle(|_| false, NOW + 2 * ENDED_AFTER);
        assert_eq!(lease(&mut leases, 3, &network), ["10.128.0.0/24"]);
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
                    lease(&mut leases, number, &network);
                } else {
                    release(&mut leases, number);
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
