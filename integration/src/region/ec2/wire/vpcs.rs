//! VPCs, subnets and security groups.

use super::{Listing, answer, renamed, tag_set};
use crate::region::call::{Call, ServiceError};
use crate::region::ec2::subnet::Subnet;
use crate::region::ec2::vpc::{Block, SecurityGroup, Vpc};
use crate::region::ec2::{Ec2, errors, tags};
use crate::region::state::State;
use crate::region::xml::Element;

const VPC_FILTERS: &[&str] = &[
    "cidr",
    "cidr-block-association.association-id",
    "cidr-block-association.cidr-block",
    "is-default",
    "owner-id",
    "state",
    "vpc-id",
];
const SUBNET_FILTERS: &[&str] = &[
    "availability-zone",
    "availability-zone-id",
    "available-ip-address-count",
    "cidr-block",
    "owner-id",
    "state",
    "subnet-arn",
    "subnet-id",
    "vpc-id",
];
const GROUP_FILTERS: &[&str] = &["description", "group-id", "group-name", "owner-id", "vpc-id"];

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let id = state.ec2.create_vpc(&mut state.ids, call.params.required("CidrBlock")?)?;
    state.ec2.tag(&id, &tags::specified(call.params, "vpc"))?;
    Ok(Element::answer().with(renamed("vpc", vpc_item(&state.ec2, state.ec2.vpc(&id)?))))
}

pub fn associate_block(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let (vpc, cidr) = (call.params.required("VpcId")?, call.params.required("CidrBlock")?);
    let block = state.ec2.add_block(&mut state.ids, vpc, cidr)?;
    Ok(Element::answer()
        .with(renamed("cidrBlockAssociation", block_item(&block)))
        .field("vpcId", vpc))
}

pub fn describe(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let ec2 = &state.ec2;
    let listing = Listing::of(call.params, "VpcId", VPC_FILTERS)?;
    listing.ids.iter().try_for_each(|id| ec2.vpc(id).map(|_| ()))?;
    let named = ec2.vpcs.values().filter(|held| listing.names(&held.id));
    let found = named.filter(|held| {
        listing.filters.want(ec2.tags_of(&held.id), |name| vpc_values(ec2, held, name))
    });
    Ok(answer("vpcSet", listing.page.cut(found.map(|held| (held.id.clone(), vpc_item(ec2, held))))))
}

pub fn create_subnet(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let (vpc, cidr) = (call.params.required("VpcId")?, call.params.required("CidrBlock")?);
    let by_id =
        call.params.get("AvailabilityZoneId").map(|id| zone_of(&state.ec2, id)).transpose()?;
    let zone = call.params.get("AvailabilityZone").or(by_id.as_deref());
    let id = state.ec2.create_subnet(&mut state.ids, vpc, zone, cidr)?;
    state.ec2.tag(&id, &tags::specified(call.params, "subnet"))?;
    Ok(Element::answer().with(renamed("subnet", subnet_item(&state.ec2, state.ec2.subnet(&id)?))))
}

pub fn describe_subnets(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let ec2 = &state.ec2;
    let listing = Listing::of(call.params, "SubnetId", SUBNET_FILTERS)?;
    listing.ids.iter().try_for_each(|id| ec2.subnet(id).map(|_| ()))?;
    let named = ec2.subnets.values().filter(|held| listing.names(&held.id));
    let found = named.filter(|held| {
        listing.filters.want(ec2.tags_of(&held.id), |name| vec![subnet_value(ec2, held, name)])
    });
    Ok(answer(
        "subnetSet",
        listing.page.cut(found.map(|held| (held.id.clone(), subnet_item(ec2, held)))),
    ))
}

pub fn create_group(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let (vpc, name) = (call.params.required("VpcId")?, call.params.required("GroupName")?);
    let description = call.params.required("GroupDescription")?;
    let id = state.ec2.create_security_group(&mut state.ids, vpc, name, description)?;
    state.ec2.tag(&id, &tags::specified(call.params, "security-group"))?;
    Ok(Element::answer()
        .field("return", true)
        .field("groupId", &id)
        .list("tagSet", tag_set(state.ec2.tags_of(&id))))
}

pub fn describe_groups(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let ec2 = &state.ec2;
    let listing = Listing::of(call.params, "GroupId", GROUP_FILTERS)?;
    if let Some(missing) = listing.ids.iter().find(|id| !ec2.security_groups.contains_key(**id)) {
        return Err(errors::no_security_group(missing));
    }
    let named = ec2.security_groups.values().filter(|held| listing.names(&held.id));
    let found = named.filter(|held| {
        listing.filters.want(ec2.tags_of(&held.id), |name| vec![group_value(ec2, held, name)])
    });
    Ok(answer(
        "securityGroupInfo",
        listing.page.cut(found.map(|held| (held.id.clone(), group_item(ec2, held)))),
    ))
}

fn vpc_item(ec2: &Ec2, held: &Vpc) -> Element {
    Element::new("item")
        .field("vpcId", &held.id)
        .field("ownerId", &ec2.account)
        .field("state", "available")
        .field("cidrBlock", held.primary())
        .list("cidrBlockAssociationSet", held.blocks.iter().map(block_item))
        .list("ipv6CidrBlockAssociationSet", [])
        .field("instanceTenancy", "default")
        .field("isDefault", false)
        .list("tagSet", tag_set(ec2.tags_of(&held.id)))
}

fn block_item(block: &Block) -> Element {
    Element::new("item")
        .field("associationId", &block.association)
        .field("cidrBlock", block.cidr)
        .with(Element::new("cidrBlockState").field("state", "associated"))
}

fn subnet_item(ec2: &Ec2, held: &Subnet) -> Element {
    Element::new("item")
        .field("subnetId", &held.id)
        .field("subnetArn", ec2.arn("subnet", &held.id))
        .field("state", "available")
        .field("ownerId", &ec2.account)
        .field("vpcId", &held.vpc)
        .field("cidrBlock", held.cidr)
        .list("ipv6CidrBlockAssociationSet", [])
        .field("availableIpAddressCount", ec2.free_addresses(held))
        .field("availabilityZone", &held.zone)
        .field("availabilityZoneId", ec2.zone_id(&held.zone))
        .field("defaultForAz", false)
        .field("mapPublicIpOnLaunch", false)
        .field("assignIpv6AddressOnCreation", false)
        .list("tagSet", tag_set(ec2.tags_of(&held.id)))
}

fn group_item(ec2: &Ec2, held: &SecurityGroup) -> Element {
    Element::new("item")
        .field("groupId", &held.id)
        .field("groupName", &held.name)
        .field("groupDescription", &held.description)
        .field("ownerId", &ec2.account)
        .field("vpcId", &held.vpc)
        .list("ipPermissions", [])
        .list("ipPermissionsEgress", [])
        .list("tagSet", tag_set(ec2.tags_of(&held.id)))
}

fn vpc_values(ec2: &Ec2, held: &Vpc, name: &str) -> Vec<String> {
    let one = match name {
        "cidr" => held.primary().to_string(),
        "cidr-block-association.association-id" => {
            return held.blocks.iter().map(|block| block.association.clone()).collect();
        }
        "cidr-block-association.cidr-block" => {
            return held.blocks.iter().map(|block| block.cidr.to_string()).collect();
        }
        "is-default" => "false".to_owned(),
        "owner-id" => ec2.account.clone(),
        "state" => "available".to_owned(),
        _ => held.id.clone(),
    };
    vec![one]
}

fn subnet_value(ec2: &Ec2, held: &Subnet, name: &str) -> String {
    match name {
        "availability-zone" => held.zone.clone(),
        "availability-zone-id" => ec2.zone_id(&held.zone),
        "available-ip-address-count" => ec2.free_addresses(held).to_string(),
        "cidr-block" => held.cidr.to_string(),
        "owner-id" => ec2.account.clone(),
        "state" => "available".to_owned(),
        "subnet-arn" => ec2.arn("subnet", &held.id),
        "subnet-id" => held.id.clone(),
        _ => held.vpc.clone(),
    }
}

fn group_value(ec2: &Ec2, held: &SecurityGroup, name: &str) -> String {
    match name {
        "description" => held.description.clone(),
        "group-id" => held.id.clone(),
        "group-name" => held.name.clone(),
        "owner-id" => ec2.account.clone(),
        _ => held.vpc.clone(),
    }
}

fn zone_of(ec2: &Ec2, zone_id: &str) -> Result<String, ServiceError> {
    ec2.zones()
        .into_iter()
        .find(|zone| ec2.zone_id(zone) == zone_id)
        .ok_or_else(|| errors::bad_value(zone_id, "availabilityZoneId", "There is no such zone."))
}
