//! What EC2's state says about packets, and nothing else of it: which table a network interface
//! follows, where the table's routes lead, and which addresses an interface may use.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::region::ec2::{Ec2, NetworkInterface, RouteState, Target};

/// One moment of EC2's network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Routes by route table.
    pub tables: BTreeMap<String, Vec<(IpNet, Hop)>>,
    /// The primary interfaces of instances, by instance.
    pub interfaces: BTreeMap<String, Interface>,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hop {
    /// To whichever interface has the address.
    Local,
    /// To the primary interface of this instance.
    Instance(String),
    /// Out of the VPC.
    InternetGateway,
    /// The target is not there, or is nothing that a lab has a wire for.
    Blackhole,
}

/// What the network knows of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The route table that its subnet follows.
    pub table: String,
    pub addresses: Vec<IpAddr>,
    /// Whether packets must be from and for one of the addresses.
    pub source_dest_check: bool,
}

impl Network {
    pub fn of(ec2: &Ec2) -> Self {
        let routes = |table: &crate::region::ec2::RouteTable| {
            table.routes.iter().map(|route| (route.destination, hop(ec2, route))).collect()
        };
        let primaries = ec2.instances().filter_map(|instance| {
            let interface = *ec2.interfaces_of(&instance.id).first()?;
            Some((instance.id.clone(), of_interface(ec2, interface)?))
        });
        Self {
            tables: ec2.route_tables().map(|table| (table.id.clone(), routes(table))).collect(),
            interfaces: primaries.collect(),
        }
    }
}

fn hop(ec2: &Ec2, route: &crate::region::ec2::Route) -> Hop {
    match (&route.target, ec2.state_of_route(route)) {
        (Target::Local, _) => Hop::Local,
        (_, RouteState::Blackhole) => Hop::Blackhole,
        (Target::Gateway(_), RouteState::Active) => Hop::InternetGateway,
        // A machine of a lab has a wire for its primary interface only.
        (Target::Interface(id), RouteState::Active) => match ec2.holder_of(id) {
            Some(holder) if holder.interfaces.first() == Some(id) => {
                Hop::Instance(holder.id.clone())
            }
            _ => Hop::Blackhole,
        },
    }
}

fn of_interface(ec2: &Ec2, interface: &NetworkInterface) -> Option<Interface> {
    let ipv4 = interface.addresses.iter().copied().map(IpAddr::V4);
    let ipv6 = interface.ipv6.iter().copied().map(IpAddr::V6);
    Some(Interface {
        table: ec2.table_of_subnet(&interface.subnet)?.id.clone(),
        addresses: ipv4.chain(ipv6).collect(),
        source_dest_check: interface.source_dest_check,
    })
}
