//! A VPC's route tables as EC2 describes them.

use std::collections::BTreeMap;
use std::fmt;

use aws_sdk_ec2::types::{Route as Described, RouteState, RouteTable as DescribedTable};
use ipnet::IpNet;

use super::{Ec2, Error, error, filter};
use crate::exchange::InstanceId;

/// The most that one page holds ("DescribeRouteTables", `MaxResults`).
const PAGE: i32 = 100;

/// A route table, `rtb-…`, and what it knows. A route to a prefix list is not among the routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTable {
    pub id: String,
    pub routes: BTreeMap<IpNet, Route>,
}

/// Where a destination's packets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub target: Target,
    /// The target is not there any more, or is not available.
    pub blackhole: bool,
}

/// What a route leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The VPC itself.
    Local,
    /// A network interface, `eni-…`, and the instance that it is attached to.
    Interface { id: String, instance: Option<InstanceId> },
    /// A gateway or the like, by its id.
    Other(String),
}

impl Ec2 {
    /// The route tables of `vpc` that are tagged `tag.0 = tag.1`, all pages or an error.
    pub async fn route_tables(
        &self,
        vpc: &str,
        tag: (&str, &str),
    ) -> Result<Vec<RouteTable>, Error> {
        let filters = vec![filter("vpc-id", [vpc]), filter(&format!("tag:{}", tag.0), [tag.1])];
        let request = self.client.describe_route_tables().set_filters(Some(filters));
        let mut pages = request.max_results(PAGE).into_paginator().send();
        let mut tables = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(error("ec2:DescribeRouteTables"))?;
            for described in page.route_tables() {
                tables.push(RouteTable::of(described)?);
            }
        }
        Ok(tables)
    }
}

impl RouteTable {
    fn of(described: &DescribedTable) -> Result<Self, Error> {
        let incomplete = Error::Incomplete { of: "a route table", what: "an id" };
        let id = described.route_table_id().ok_or(incomplete)?.to_owned();
        let routes = described.routes().iter().filter_map(|route| {
            let (v4, v6) = (route.destination_cidr_block(), route.destination_ipv6_cidr_block());
            Some((v4.or(v6)?.parse().ok()?, Route::of(route)))
        });
        Ok(Self { id, routes: routes.collect() })
    }
}

impl Route {
    fn of(described: &Described) -> Self {
        let target = match (described.network_interface_id(), described.gateway_id()) {
            (Some(id), _) => Target::Interface {
                id: id.to_owned(),
                instance: described.instance_id().and_then(|id| id.parse().ok()),
            },
            (None, Some("local")) => Target::Local,
            (None, gateway) => {
                let others = [
                    gateway,
                    described.nat_gateway_id(),
                    described.transit_gateway_id(),
                    described.vpc_peering_connection_id(),
                    described.egress_only_internet_gateway_id(),
                    described.local_gateway_id(),
                    described.carrier_gateway_id(),
                    described.core_network_arn(),
                    described.odb_network_arn(),
                    described.instance_id(),
                ];
                let id = others.into_iter().flatten().next();
                Target::Other(id.unwrap_or("an unknown target").to_owned())
            }
        };
        Self { target, blackhole: described.state() == Some(&RouteState::Blackhole) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("the VPC itself"),
            Self::Interface { id, instance: Some(instance) } => write!(f, "{id} of {instance}"),
            Self::Interface { id, instance: None } | Self::Other(id) => f.write_str(id),
        }
    }
}
