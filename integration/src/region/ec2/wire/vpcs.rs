//! VPCs and security groups.

use ipnet::{Ipv4Net, Ipv6Net};

use super::{Listing, answer, renamed, tag_set};
use crate::region::call::{Call, ServiceError};
use crate::region::ec2::vpc::{Block, SecurityGroup, Vpc};
use crate::region::ec2::{Ec2, errors, tags};
use crate::region::state::State;
use crate::region::xml::Element;

/// Where Amazon-provided blocks come from.
const AMAZON_POOL: &str = "Amazon";

const VPC_FILTERS: &[&str] = &[
    "cidr",
    "cidr-block-association.association-id",
    "cidr-block-association.cidr-block",
    "ipv6-cidr-block-association.association-id",
    "ipv6-cidr-block-association.ipv6-cidr-block",
    "ipv6-cidr-block-association.ipv6-pool",
    "ipv6-cidr-block-association.state",
    "is-default",
    "owner-id",
    "state",
    "vpc-id",
];
const GROUP_FILTERS: &[&str] = &["description", "group-id", "group-name", "owner-id", "vpc-id"];

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let with_ipv6 = call.params.flag("AmazonProvidedIpv6CidrBlock")? == Some(true);
    let id = state.ec2.create_vpc(&mut state.ids, call.params.required("CidrBlock")?)?;
    if with_ipv6 {
        state.ec2.add_ipv6_block(&mut state.ids, &id)?;
    }
    state.ec2.tag(&id, &tags::specified(call.params, "vpc"))?;
    Ok(Element::answer().with(renamed("vpc", vpc_item(&state.ec2, state.ec2.vpc(&id)?))))
}

/// "You must specify one of the following in the request: an IPv4 CIDR block, an IPv6 pool, or an
/// Amazon-provided IPv6 CIDR block."
pub fn associate_block(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let vpc = call.params.required("VpcId")?;
    let amazon = call.params.flag("AmazonProvidedIpv6CidrBlock")? == Some(true);
    let one_of = "Exactly one of cidrBlock and amazonProvidedIpv6CidrBlock must be specified.";
    let told = match (call.params.get("CidrBlock"), amazon) {
        (Some(cidr), false) => {
            let block = state.ec2.add_block(&mut state.ids, vpc, cidr)?;
            renamed("cidrBlockAssociation", block_item(&block, "associating"))
        }
        (None, true) => {
            let block = state.ec2.add_ipv6_block(&mut state.ids, vpc)?;
            let item = provided_item(&state.ec2, &block, "associating");
            renamed("ipv6CidrBlockAssociation", item)
        }
        (None, false) => return Err(ServiceError::client("MissingParameter", one_of)),
        (Some(_), true) => return Err(ServiceError::client("InvalidParameterCombination", one_of)),
    };
    Ok(Element::answer().with(told).field("vpcId", vpc))
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
        .list(
            "cidrBlockAssociationSet",
            held.blocks.iter().map(|block| block_item(block, "associated")),
        )
        .list(
            "ipv6CidrBlockAssociationSet",
            held.ipv6_blocks.iter().map(|block| provided_item(ec2, block, "associated")),
        )
        .field("instanceTenancy", "default")
        .field("isDefault", false)
        .list("tagSet", tag_set(ec2.tags_of(&held.id)))
}

fn block_item(block: &Block<Ipv4Net>, state: &str) -> Element {
    Element::new("item")
        .field("associationId", &block.association)
        .field("cidrBlock", block.cidr)
        .with(Element::new("cidrBlockState").field("state", state))
}

fn provided_item(ec2: &Ec2, block: &Block<Ipv6Net>, state: &str) -> Element {
    ipv6_block_item(block, state)
        .field("networkBorderGroup", &ec2.region)
        .field("ipv6Pool", AMAZON_POOL)
}

/// An IPv6 block of a VPC or of a subnet.
pub fn ipv6_block_item(block: &Block<Ipv6Net>, state: &str) -> Element {
    Element::new("item")
        .field("associationId", &block.association)
        .field("ipv6CidrBlock", block.cidr)
        .with(Element::new("ipv6CidrBlockState").field("state", state))
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
    if let Some(name) = name.strip_prefix("ipv6-cidr-block-association.") {
        return held.ipv6_blocks.iter().map(|block| ipv6_block_value(block, name)).collect();
    }
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

/// What an IPv6 block has under the last part of a filter's name.
pub fn ipv6_block_value(block: &Block<Ipv6Net>, name: &str) -> String {
    match name {
        "association-id" => block.association.clone(),
        "ipv6-cidr-block" => block.cidr.to_string(),
        "ipv6-pool" => AMAZON_POOL.to_owned(),
        _ => "associated".to_owned(),
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
