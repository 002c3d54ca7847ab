//! Subnets: create, give an IPv6 block, change, describe.

use super::vpcs::{ipv6_block_item, ipv6_block_value};
use super::{Listing, answer, done, renamed, tag_set};
use crate::region::call::{Call, ServiceError};
use crate::region::ec2::subnet::Subnet;
use crate::region::ec2::{Ec2, errors, tags};
use crate::region::state::State;
use crate::region::xml::Element;

const FILTERS: &[&str] = &[
    "availability-zone",
    "availability-zone-id",
    "available-ip-address-count",
    "cidr-block",
    "ipv6-cidr-block-association.association-id",
    "ipv6-cidr-block-association.ipv6-cidr-block",
    "ipv6-cidr-block-association.state",
    "owner-id",
    "state",
    "subnet-arn",
    "subnet-id",
    "vpc-id",
];

/// Attributes of EC2's that the region leaves as they are.
const LEFT: [&str; 3] = ["EnableDns64", "EnableLniAtDeviceIndex", "MapPublicIpOnLaunch"];

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let (vpc, cidr) = (call.params.required("VpcId")?, call.params.required("CidrBlock")?);
    let by_id =
        call.params.get("AvailabilityZoneId").map(|id| zone_of(&state.ec2, id)).transpose()?;
    let zone = call.params.get("AvailabilityZone").or(by_id.as_deref());
    let id = state.ec2.create_subnet(&mut state.ids, vpc, zone, cidr)?;
    if let Some(ipv6) = call.params.get("Ipv6CidrBlock")
        && let Err(refused) = state.ec2.add_subnet_ipv6_block(&mut state.ids, &id, ipv6)
    {
        state.ec2.subnets.remove(&id);
        return Err(refused);
    }
    state.ec2.tag(&id, &tags::specified(call.params, "subnet"))?;
    Ok(Element::answer().with(renamed("subnet", whole(&state.ec2, state.ec2.subnet(&id)?))))
}

pub fn associate_block(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let (id, cidr) = (call.params.required("SubnetId")?, call.params.required("Ipv6CidrBlock")?);
    let block = state.ec2.add_subnet_ipv6_block(&mut state.ids, id, cidr)?;
    Ok(Element::answer()
        .with(renamed("ipv6CidrBlockAssociation", ipv6_block_item(&block, "associating")))
        .field("subnetId", id))
}

/// "You can only modify one attribute at a time."
pub fn modify(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let id = call.params.required("SubnetId")?;
    let assigns = call.params.flag("AssignIpv6AddressOnCreation.Value")?;
    let other = LEFT.into_iter().find(|name| call.params.get(&format!("{name}.Value")).is_some());
    let refuse = |why: &str| Err(ServiceError::client("InvalidParameterCombination", why));
    match (assigns, other) {
        (Some(on), None) => state.ec2.assign_ipv6_on_creation(id, on)?,
        (Some(_), Some(_)) => {
            return refuse("Only one subnet attribute can be modified at a time");
        }
        (None, Some(name)) => {
            let why = "The region changes assignIpv6AddressOnCreation only.";
            return Err(errors::bad_value(name, "attribute", why));
        }
        (None, None) => return refuse("No attributes specified."),
    }
    Ok(done())
}

pub fn describe(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let ec2 = &state.ec2;
    let listing = Listing::of(call.params, "SubnetId", FILTERS)?;
    listing.ids.iter().try_for_each(|id| ec2.subnet(id).map(|_| ()))?;
    let named = ec2.subnets.values().filter(|held| listing.names(&held.id));
    let found = named
        .filter(|held| listing.filters.want(ec2.tags_of(&held.id), |name| values(ec2, held, name)));
    Ok(answer("subnetSet", listing.page.cut(found.map(|held| (held.id.clone(), whole(ec2, held))))))
}

fn whole(ec2: &Ec2, held: &Subnet) -> Element {
    Element::new("item")
        .field("subnetId", &held.id)
        .field("subnetArn", ec2.arn("subnet", &held.id))
        .field("state", "available")
        .field("ownerId", &ec2.account)
        .field("vpcId", &held.vpc)
        .field("cidrBlock", held.cidr)
        .list(
            "ipv6CidrBlockAssociationSet",
            held.ipv6_block.iter().map(|block| ipv6_block_item(block, "associated")),
        )
        .field("availableIpAddressCount", ec2.free_addresses(held))
        .field("availabilityZone", &held.zone)
        .field("availabilityZoneId", ec2.zone_id(&held.zone))
        .field("defaultForAz", false)
        .field("mapPublicIpOnLaunch", false)
        .field("assignIpv6AddressOnCreation", held.assigns_ipv6)
        .list("tagSet", tag_set(ec2.tags_of(&held.id)))
}

fn values(ec2: &Ec2, held: &Subnet, name: &str) -> Vec<String> {
    if let Some(name) = name.strip_prefix("ipv6-cidr-block-association.") {
        return held.ipv6_block.iter().map(|block| ipv6_block_value(block, name)).collect();
    }
    vec![match name {
        "availability-zone" => held.zone.clone(),
        "availability-zone-id" => ec2.zone_id(&held.zone),
        "available-ip-address-count" => ec2.free_addresses(held).to_string(),
        "cidr-block" => held.cidr.to_string(),
        "owner-id" => ec2.account.clone(),
        "state" => "available".to_owned(),
        "subnet-arn" => ec2.arn("subnet", &held.id),
        "subnet-id" => held.id.clone(),
        _ => held.vpc.clone(),
    }]
}

fn zone_of(ec2: &Ec2, zone_id: &str) -> Result<String, ServiceError> {
    ec2.zones()
        .into_iter()
        .find(|zone| ec2.zone_id(zone) == zone_id)
        .ok_or_else(|| errors::bad_value(zone_id, "availabilityZoneId", "There is no such zone."))
}
