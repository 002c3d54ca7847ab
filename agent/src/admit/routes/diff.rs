//! What is between the route tables as they are and as they should be. Pure: a second diff, after
//! the first was carried out, is empty.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;

use super::desired::{Desired, Holder};
use crate::client::ec2::{Route, RouteTable, Target};
use crate::exchange::InstanceId;

/// What is to be done, and what is in the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// In the order in which they are to be done: a holder's together, the longest wait first, and
    /// deletions last.
    pub changes: Vec<Change>,
    /// By the holder whose packets they take.
    pub foreign: BTreeMap<InstanceId, BTreeSet<Foreign>>,
}

/// One request to EC2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub what: What,
    /// Whom it is for; nobody, where a route is deleted.
    pub holder: Option<InstanceId>,
    /// EC2 refuses it until the holder runs.
    pub pending: bool,
}

/// What a change leaves true.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// The interface, `eni-…`, carries what is not for itself.
    NoSourceDestCheck(String),
    /// There is a route where none was.
    Created(Place, String),
    /// The route leads to this interface and not to another one, or nowhere.
    Replaced(Place, String),
    Deleted(Place),
}

/// Where a route is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// `rtb-…`
    pub table: String,
    pub destination: IpNet,
}

/// Somebody else's route where ours should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Foreign {
    pub place: Place,
    /// What it leads to.
    pub target: String,
}

impl Diff {
    /// From `tables` to `desired`.
    pub fn between(tables: &[RouteTable], desired: &Desired) -> Self {
        let mut diff = Self::default();
        for holder in &desired.holders {
            if holder.source_dest_check {
                diff.push(Some(holder), What::NoSourceDestCheck(holder.interface.clone()));
            }
            for table in tables {
                for cidr in &holder.pod_cidrs {
                    diff.lead(table, *cidr, holder, desired);
                }
            }
        }
        for table in tables {
            let gone = desired.gone.iter();
            let gone = gone.filter(|it| table.routes.get(it).is_some_and(|it| desired.is_ours(it)));
            for cidr in gone {
                diff.push(None, What::Deleted(Place::of(table, *cidr)));
            }
        }
        diff
    }

    /// `cidr` shall lead to `holder` in `table`.
    fn lead(&mut self, table: &RouteTable, cidr: IpNet, holder: &Holder, desired: &Desired) {
        for (within, route) in table.routes.range(cidr..).take_while(|(it, _)| cidr.contains(*it)) {
            if *within != cidr && !desired.is_ours(route) {
                self.meets(holder, Place::of(table, *within), route);
            }
        }
        let place = || Place::of(table, cidr);
        match table.routes.get(&cidr) {
            None => self.push(Some(holder), What::Created(place(), holder.interface.clone())),
            Some(route) if leads_to(route, &holder.interface) => {}
            Some(route) if desired.is_ours(route) => {
                self.push(Some(holder), What::Replaced(place(), holder.interface.clone()));
            }
            Some(route) => self.meets(holder, place(), route),
        }
    }

    /// Somebody else's takes packets of the holder's pods.
    fn meets(&mut self, holder: &Holder, place: Place, route: &Route) {
        let foreign = Foreign { place, target: route.target.to_string() };
        self.foreign.entry(holder.instance.clone()).or_default().insert(foreign);
    }

    fn push(&mut self, holder: Option<&Holder>, what: What) {
        let pending = holder.is_some_and(|holder| holder.pending);
        let holder = holder.map(|holder| holder.instance.clone());
        self.changes.push(Change { what, holder, pending });
    }
}

impl What {
    /// The action of EC2's that it takes.
    pub fn action(&self) -> &'static str {
        match self {
            Self::NoSourceDestCheck(_) => "ModifyNetworkInterfaceAttribute",
            Self::Created(..) => "CreateRoute",
            Self::Replaced(..) => "ReplaceRoute",
            Self::Deleted(_) => "DeleteRoute",
        }
    }

    /// What it changes: an interface, or a destination in a table.
    pub fn thing(&self) -> (&str, Option<IpNet>) {
        match self {
            Self::NoSourceDestCheck(interface) => (interface, None),
            Self::Created(place, _) | Self::Replaced(place, _) | Self::Deleted(place) => {
                (&place.table, Some(place.destination))
            }
        }
    }
}

impl Place {
    fn of(table: &RouteTable, destination: IpNet) -> Self {
        Self { table: table.id.clone(), destination }
    }
}

/// Also where EC2 calls it a blackhole, as it does while the instance is stopped.
fn leads_to(route: &Route, interface: &str) -> bool {
    matches!(&route.target, Target::Interface { id, .. } if id == interface)
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSourceDestCheck(interface) => {
                write!(f, "{interface} without source/destination check")
            }
            Self::Created(place, interface) => write!(f, "a route {place} to {interface}"),
            Self::Replaced(place, interface) => write!(f, "the route {place} to {interface}"),
            Self::Deleted(place) => write!(f, "no route {place}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "for {} in {}", self.destination, self.table)
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, target } = self;
        write!(f, "the route {place} leads to {target}, which is not of this cluster")
    }
}
