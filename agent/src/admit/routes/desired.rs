//! What the route tables should say, from leases and what EC2 says of their holders. Pure.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use time::OffsetDateTime;

use crate::admit::lease::{Ending, Leases};
use crate::client::ec2::{Instance, Route, RouteTable, State, Target};
use crate::exchange::InstanceId;

/// What every table should say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Who holds what, in the order in which they are served: the longest wait first.
    pub holders: Vec<Holder>,
    /// Pod CIDRs whose routes shall be gone.
    pub gone: BTreeSet<IpNet>,
    /// What else routes may lead to and be ours: interfaces and instances of the cluster.
    ours: Ours,
    /// Pod CIDRs that are leased or ending.
    written: BTreeSet<IpNet>,
}

/// An instance that packets for its pods shall reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub instance: InstanceId,
    /// Its primary one, `eni-…`.
    pub interface: String,
    pub pod_cidrs: Vec<IpNet>,
    /// The interface still drops what is not for itself.
    pub source_dest_check: bool,
    /// EC2 refuses routes to it as long as it is pending.
    pub pending: bool,
}

/// Whose routes are ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ours {
    interfaces: BTreeSet<String>,
    instances: BTreeSet<InstanceId>,
}

impl Desired {
    /// By `leases` as they were read and `instances` as EC2 listed them last: pending and running
    /// ones. A lease whose holder is not among them is left as it is until it ends.
    pub fn of<'a>(
        leases: &Leases,
        instances: impl IntoIterator<Item = &'a Instance>,
        now: OffsetDateTime,
    ) -> Self {
        let known: BTreeMap<_, _> = instances.into_iter().map(|it| (&it.id, it)).collect();
        let mut held: BTreeMap<&InstanceId, (OffsetDateTime, Vec<IpNet>)> = BTreeMap::new();
        for (cidr, lease) in &leases.leases {
            let (since, cidrs) = held.entry(&lease.instance).or_insert((lease.since, Vec::new()));
            *since = lease.since.min(*since);
            cidrs.push(*cidr);
        }
        let mut holders: Vec<_> = held
            .into_iter()
            .filter_map(|(id, (since, pod_cidrs))| {
                let instance = known.get(id)?;
                let interface = instance.network_interface.clone()?;
                let holder = Holder {
                    instance: id.clone(),
                    interface,
                    pod_cidrs,
                    source_dest_check: instance.source_dest_check,
                    pending: instance.state == State::Pending,
                };
                Some((since, holder))
            })
            .collect();
        holders.sort_by(|(a_since, a), (b_since, b)| {
            (a_since, &a.pod_cidrs).cmp(&(b_since, &b.pod_cidrs))
        });
        Self {
            holders: holders.into_iter().map(|(_, holder)| holder).collect(),
            gone: leases.to_delete(now).copied().collect(),
            ours: Ours::of(leases, &known),
            written: leases.leases.keys().chain(leases.ending.keys()).copied().collect(),
        }
    }

    /// Only what concerns `instance`, and nothing that is to be gone.
    pub fn only(mut self, instance: &InstanceId) -> Self {
        self.holders.retain(|holder| holder.instance == *instance);
        Self { gone: BTreeSet::new(), ..self }
    }

    /// Whether a route may be changed: it leads, or led, to an instance of the cluster, or to an
    /// interface that is attached to nothing any more. (A route to somebody's instance that is stopped
    /// is a blackhole, too, and names the instance.)
    pub fn is_ours(&self, route: &Route) -> bool {
        match &route.target {
            Target::Interface { instance: None, .. } if route.blackhole => true,
            target => self.ours.have(target),
        }
    }

    /// Whether a route to `destination` is no hindrance to whom that is leased next: it is accounted
    /// for by a lease, or leads nowhere. Should leases ever be lost, a living node's CIDR is not
    /// leased to another.
    pub fn may_be_taken(&self, destination: &IpNet, route: &Route) -> bool {
        self.is_ours(route) && (route.blackhole || self.written.contains(destination))
    }

    /// Blackholes within the pod network that no lease accounts for. A route that leads to a living
    /// instance is none: should leases ever be lost, its pods keep their way.
    pub fn strays(
        &self,
        tables: &[RouteTable],
        pods: &[IpNet],
        now: OffsetDateTime,
    ) -> BTreeMap<IpNet, Ending> {
        let routes = tables.iter().flat_map(|table| &table.routes);
        let strays = routes.filter_map(|(destination, route)| {
            let Target::Interface { id, instance: None } = &route.target else { return None };
            let stray = route.blackhole
                && pods.iter().any(|pods| pods.contains(destination))
                && !self.written.contains(destination);
            let ending = Ending { since: now, network_interface: Some(id.clone()) };
            stray.then_some((*destination, ending))
        });
        strays.collect()
    }
}

impl Ours {
    fn of(leases: &Leases, known: &BTreeMap<&InstanceId, &Instance>) -> Self {
        let held = leases.leases.values().map(|lease| &lease.network_interface);
        let ending = leases.ending.values().map(|ending| &ending.network_interface);
        let seen = known.values().map(|it| &it.network_interface);
        let holders = leases.leases.values().map(|lease| &lease.instance);
        Self {
            interfaces: held.chain(ending).chain(seen).flatten().cloned().collect(),
            instances: holders.chain(known.keys().copied()).cloned().collect(),
        }
    }

    fn have(&self, target: &Target) -> bool {
        match target {
            Target::Interface { id, instance } => {
                self.interfaces.contains(id)
                    || instance.as_ref().is_some_and(|it| self.instances.contains(it))
            }
            Target::Local | Target::Other(_) => false,
        }
    }
}
