//! Route tables: create, associate, describe.

use ipnet::IpNet;

use super::{Listing, answer, done, renamed, tag_set};
use crate::region::call::{Call, ServiceError};
use crate::region::ec2::route_table::{Associated, Association, Route, RouteTable, Target};
use crate::region::ec2::{Ec2, tags};
use crate::region::state::State;
use crate::region::xml::Element;

const FILTERS: &[&str] = &[
    "association.gateway-id",
    "association.main",
    "association.route-table-association-id",
    "association.route-table-id",
    "association.subnet-id",
    "owner-id",
    "route-table-id",
    "route.destination-cidr-block",
    "route.destination-ipv6-cidr-block",
    "route.destination-prefix-list-id",
    "route.egress-only-internet-gateway-id",
    "route.gateway-id",
    "route.instance-id",
    "route.nat-gateway-id",
    "route.origin",
    "route.state",
    "route.transit-gateway-id",
    "route.vpc-peering-connection-id",
    "vpc-id",
];

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let id = state.ec2.create_route_table(&mut state.ids, call.params.required("VpcId")?)?;
    state.ec2.tag(&id, &tags::specified(call.params, "route-table"))?;
    Ok(Element::answer()
        .with(renamed("routeTable", whole(&state.ec2, state.ec2.route_table(&id)?))))
}

pub fn associate(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let (table, subnet) =
        (call.params.required("RouteTableId")?, call.params.required("SubnetId")?);
    let id = state.ec2.associate(&mut state.ids, table, subnet)?;
    Ok(Element::answer().field("associationId", id).with(associated()))
}

pub fn disassociate(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    state.ec2.disassociate(call.params.required("AssociationId")?)?;
    Ok(done())
}

pub fn describe(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let ec2 = &state.ec2;
    let listing = Listing::of_at_most(call.params, "RouteTableId", FILTERS, 100)?;
    listing.ids.iter().try_for_each(|id| ec2.route_table(id).map(|_| ()))?;
    let named = ec2.route_tables.values().filter(|held| listing.names(&held.id));
    let found = named
        .filter(|held| listing.filters.want(ec2.tags_of(&held.id), |name| values(ec2, held, name)));
    Ok(answer(
        "routeTableSet",
        listing.page.cut(found.map(|held| (held.id.clone(), whole(ec2, held)))),
    ))
}

fn whole(ec2: &Ec2, held: &RouteTable) -> Element {
    Element::new("item")
        .field("routeTableId", &held.id)
        .field("vpcId", &held.vpc)
        .field("ownerId", &ec2.account)
        .list("routeSet", held.routes.iter().map(|route| route_item(ec2, route)))
        .list("associationSet", held.associations.iter().map(|with| association_item(held, with)))
        .list("propagatingVgwSet", [])
        .list("tagSet", tag_set(ec2.tags_of(&held.id)))
}

fn route_item(ec2: &Ec2, route: &Route) -> Element {
    let family = match route.destination {
        IpNet::V4(_) => "destinationCidrBlock",
        IpNet::V6(_) => "destinationIpv6CidrBlock",
    };
    let item = Element::new("item").field(family, route.destination);
    let item = match &route.target {
        Target::Local => item.field("gatewayId", "local"),
        Target::Gateway(id) => item.field("gatewayId", id),
        Target::Interface(id) => {
            let instance = ec2.holder_of(id).map(|held| held.id.clone());
            let owner = instance.as_ref().map(|_| &ec2.account);
            item.optional("instanceId", instance.as_ref())
                .optional("instanceOwnerId", owner)
                .field("networkInterfaceId", id)
        }
    };
    item.field("state", ec2.state_of_route(route).name()).field("origin", route.origin.name())
}

fn association_item(table: &RouteTable, with: &Association) -> Element {
    let item = Element::new("item")
        .field("routeTableAssociationId", &with.id)
        .field("routeTableId", &table.id);
    let item = match &with.with {
        Associated::Main => item.field("main", true),
        Associated::Subnet(id) => item.field("subnetId", id).field("main", false),
    };
    item.with(associated())
}

fn associated() -> Element {
    Element::new("associationState").field("state", "associated")
}

fn values(ec2: &Ec2, held: &RouteTable, name: &str) -> Vec<String> {
    match (name, name.split_once('.')) {
        ("owner-id", _) => vec![ec2.account.clone()],
        ("route-table-id" | "association.route-table-id", _) => vec![held.id.clone()],
        ("vpc-id", _) => vec![held.vpc.clone()],
        (_, Some(("association", name))) => {
            held.associations.iter().filter_map(|with| association_value(with, name)).collect()
        }
        (_, Some(("route", name))) => {
            held.routes.iter().filter_map(|route| route_value(ec2, route, name)).collect()
        }
        _ => Vec::new(),
    }
}

fn association_value(with: &Association, name: &str) -> Option<String> {
    match (name, &with.with) {
        ("main", associated) => Some((*associated == Associated::Main).to_string()),
        ("route-table-association-id", _) => Some(with.id.clone()),
        ("subnet-id", Associated::Subnet(id)) => Some(id.clone()),
        _ => None,
    }
}

fn route_value(ec2: &Ec2, route: &Route, name: &str) -> Option<String> {
    match (name, &route.target) {
        ("destination-cidr-block", _) => {
            matches!(route.destination, IpNet::V4(_)).then(|| route.destination.to_string())
        }
        ("destination-ipv6-cidr-block", _) => {
            matches!(route.destination, IpNet::V6(_)).then(|| route.destination.to_string())
        }
        ("origin", _) => Some(route.origin.name().to_owned()),
        ("state", _) => Some(ec2.state_of_route(route).name().to_owned()),
        ("gateway-id", Target::Local) => Some("local".to_owned()),
        ("gateway-id", Target::Gateway(id)) => Some(id.clone()),
        ("instance-id", Target::Interface(id)) => ec2.holder_of(id).map(|held| held.id.clone()),
        _ => None,
    }
}
