//! Internet gateways: create, attach, detach, describe.

use super::{Listing, answer, done, renamed, tag_set};
use crate::region::call::{Call, ServiceError};
use crate::region::ec2::gateway::InternetGateway;
use crate::region::ec2::{Ec2, errors, tags};
use crate::region::state::State;
use crate::region::xml::Element;

const FILTERS: &[&str] =
    &["attachment.state", "attachment.vpc-id", "internet-gateway-id", "owner-id"];

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let id = state.ec2.create_internet_gateway(&mut state.ids);
    state.ec2.tag(&id, &tags::specified(call.params, "internet-gateway"))?;
    let held = &state.ec2.gateways[&id];
    Ok(Element::answer().with(renamed("internetGateway", whole(&state.ec2, held))))
}

pub fn attach(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let (id, vpc) = (call.params.required("InternetGatewayId")?, call.params.required("VpcId")?);
    state.ec2.attach_internet_gateway(id, vpc)?;
    Ok(done())
}

pub fn detach(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let (id, vpc) = (call.params.required("InternetGatewayId")?, call.params.required("VpcId")?);
    state.ec2.detach_internet_gateway(id, vpc)?;
    Ok(done())
}

pub fn describe(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let ec2 = &state.ec2;
    let listing = Listing::of(call.params, "InternetGatewayId", FILTERS)?;
    if let Some(missing) = listing.ids.iter().find(|id| !ec2.gateways.contains_key(**id)) {
        return Err(errors::no_internet_gateway(missing));
    }
    let named = ec2.gateways.values().filter(|held| listing.names(&held.id));
    let found = named
        .filter(|held| listing.filters.want(ec2.tags_of(&held.id), |name| values(ec2, held, name)));
    Ok(answer(
        "internetGatewaySet",
        listing.page.cut(found.map(|held| (held.id.clone(), whole(ec2, held)))),
    ))
}

fn whole(ec2: &Ec2, held: &InternetGateway) -> Element {
    let attachment = |vpc| Element::new("item").field("vpcId", vpc).field("state", "available");
    Element::new("item")
        .field("internetGatewayId", &held.id)
        .field("ownerId", &ec2.account)
        .list("attachmentSet", held.vpc.iter().map(attachment))
        .list("tagSet", tag_set(ec2.tags_of(&held.id)))
}

fn values(ec2: &Ec2, held: &InternetGateway, name: &str) -> Vec<String> {
    match name {
        "attachment.state" => held.vpc.iter().map(|_| "available".to_owned()).collect(),
        "attachment.vpc-id" => held.vpc.iter().cloned().collect(),
        "owner-id" => vec![ec2.account.clone()],
        _ => vec![held.id.clone()],
    }
}
