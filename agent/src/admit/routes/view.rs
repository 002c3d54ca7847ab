//! The route tables as they are, as far as this admitter knows: EC2's latest description, and its
//! own changes since, which a description may lag behind.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::desired::Desired;
use super::diff::{Place, What};
use crate::client::ec2::{Route, RouteTable, Target};

/// By how much EC2's descriptions lag behind its changes at most, "eventual consistency" in the
/// Amazon EC2 API Reference's words. An own change is believed for so long.
const LAG: Duration = Duration::from_secs(20);

/// What is known of the VPC's routing.
#[derive(Debug, Default)]
pub struct View {
    tables: Vec<RouteTable>,
    read: Option<Instant>,
    /// Somebody else has changed something, or what a change of ours did is not known.
    doubted: bool,
    own: BTreeMap<Place, (Instant, Option<String>)>,
    unchecked: BTreeMap<String, Instant>,
}

impl View {
    /// The tables; none, if EC2 was never asked.
    pub fn tables(&self) -> Option<&[RouteTable]> {
        self.read.map(|_| self.tables.as_slice())
    }

    /// How old the description is; none, if there is none or something speaks against it.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        if self.doubted { None } else { Some(now - self.read?) }
    }

    /// The next look has to ask EC2 again.
    pub fn doubt(&mut self) {
        self.doubted = true;
    }

    /// EC2's description, as asked for at `now`. What was changed here less than [`LAG`] before is
    /// taken to be as it was changed.
    pub fn described(&mut self, tables: Vec<RouteTable>, now: Instant) {
        self.tables = tables;
        (self.read, self.doubted) = (Some(now), false);
        self.own.retain(|_, (at, _)| now - *at < LAG);
        self.unchecked.retain(|_, at| now - *at < LAG);
        for (place, (_, interface)) in self.own.clone() {
            self.set(&place, interface);
        }
    }

    /// EC2 has taken a change.
    pub fn changed(&mut self, what: &What, now: Instant) {
        let (place, interface) = match what {
            What::NoSourceDestCheck(interface) => {
                self.unchecked.insert(interface.clone(), now);
                return;
            }
            What::Created(place, to) | What::Replaced(place, to) => (place, Some(to.clone())),
            What::Deleted(place) => (place, None),
        };
        self.set(place, interface.clone());
        self.own.insert(place.clone(), (now, interface));
    }

    /// What is desired, with what was changed of interfaces since EC2 listed them.
    pub fn correct(&self, desired: &mut Desired) {
        for holder in &mut desired.holders {
            holder.source_dest_check &= !self.unchecked.contains_key(&holder.interface);
        }
    }

    fn set(&mut self, place: &Place, interface: Option<String>) {
        let mut tables = self.tables.iter_mut();
        let Some(table) = tables.find(|table| table.id == place.table) else { return };
        match interface {
            Some(id) => {
                let target = Target::Interface { id, instance: None };
                table.routes.insert(place.destination, Route { target, blackhole: false });
            }
            None => drop(table.routes.remove(&place.destination)),
        }
    }
}
