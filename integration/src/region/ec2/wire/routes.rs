//! CreateRoute, ReplaceRoute, DeleteRoute: which route is meant, and which target.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::done;
use crate::region::call::{Call, ServiceError};
use crate::region::ec2::{Towards, errors};
use crate::region::params::Params;
use crate::region::state::State;
use crate::region::xml::Element;

const DESTINATIONS: [&str; 3] =
    ["DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId"];

/// Targets of which the region has none, with EC2's code for one that it does not know and its
/// word for the kind.
const ABSENT: [(&str, &str, &str); 7] = [
    ("CarrierGatewayId", "InvalidCarrierGatewayID.NotFound", "carrierGateway"),
    ("EgressOnlyInternetGatewayId", "InvalidGatewayID.NotFound", "gateway"),
    ("LocalGatewayId", "InvalidLocalGatewayID.NotFound", "localGateway"),
    ("NatGatewayId", "InvalidNatGatewayID.NotFound", "natGateway"),
    ("TransitGatewayId", "InvalidTransitGatewayID.NotFound", "transitGateway"),
    ("VpcEndpointId", "InvalidVpcEndpointId.NotFound", "vpcEndpoint"),
    ("VpcPeeringConnectionId", "InvalidVpcPeeringConnectionID.NotFound", "vpcPeeringConnection"),
];

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let table = call.params.required("RouteTableId")?;
    let (destination, towards) = (destination(call.params)?, towards(call.params, false)?);
    state.ec2.create_route(table, destination, &towards, call.now)?;
    Ok(done())
}

pub fn replace(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let table = call.params.required("RouteTableId")?;
    let (destination, towards) = (destination(call.params)?, towards(call.params, true)?);
    state.ec2.replace_route(table, destination, &towards, call.now)?;
    Ok(done())
}

pub fn delete(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let table = call.params.required("RouteTableId")?;
    state.ec2.delete_route(table, destination(call.params)?)?;
    Ok(done())
}

fn destination(params: &Params) -> Result<IpNet, ServiceError> {
    let one_of = "The request must contain exactly one of: destinationCidrBlock, destinationIpv6CidrBlock, destinationPrefixListId";
    let (name, value) = exactly_one(params, &DESTINATIONS, one_of)?;
    let block = match name {
        "DestinationCidrBlock" => value.parse::<Ipv4Net>().ok().map(IpNet::V4),
        "DestinationIpv6CidrBlock" => value.parse::<Ipv6Net>().ok().map(IpNet::V6),
        _ => {
            return Err(ServiceError::client(
                "InvalidPrefixListID.NotFound",
                format!("The prefix list ID '{value}' does not exist"),
            ));
        }
    };
    let name = lower_first(name);
    block.ok_or_else(|| errors::bad_value(value, &name, "This is not a valid CIDR block."))
}

/// Exactly one target; only a replacement may name the local one.
fn towards(params: &Params, replacing: bool) -> Result<Towards, ServiceError> {
    let mut one_of = "The request must contain exactly one of gatewayId, localGatewayId, carrierGatewayId, natGatewayId, networkInterfaceId, vpcPeeringConnectionId, egressOnlyInternetGatewayId, transitGatewayId, vpcEndpointId, coreNetworkArn or instanceId".to_owned();
    let mut names = vec!["GatewayId", "InstanceId", "NetworkInterfaceId"];
    names.extend(ABSENT.map(|(name, ..)| name));
    if replacing {
        one_of.push_str(", or must have localTarget set to true");
        if params.flag("LocalTarget")? == Some(true) {
            names.push("LocalTarget");
        }
    }
    let (name, value) = exactly_one(params, &names, &one_of)?;
    match name {
        "GatewayId" => Ok(Towards::Gateway(value.to_owned())),
        "InstanceId" => Ok(Towards::Instance(value.to_owned())),
        "LocalTarget" => Ok(Towards::Local),
        "NetworkInterfaceId" => Ok(Towards::Interface(value.to_owned())),
        absent => {
            let known = ABSENT.iter().find(|(name, ..)| *name == absent);
            let (_, code, kind) = known.copied().unwrap_or(("", "InvalidParameterValue", "target"));
            Err(ServiceError::client(code, format!("The {kind} ID '{value}' does not exist")))
        }
    }
}

/// The only one of these parameters, or what EC2 says to none and to several.
fn exactly_one<'a>(
    params: &'a Params,
    names: &[&'a str],
    one_of: &str,
) -> Result<(&'a str, &'a str), ServiceError> {
    let mut given = names.iter().filter_map(|name| Some((*name, params.get(name)?)));
    match (given.next(), given.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(ServiceError::client("MissingParameter", one_of)),
        (Some(_), Some(_)) => Err(ServiceError::client("InvalidParameterCombination", one_of)),
    }
}

/// A parameter as messages name it.
fn lower_first(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_lowercase() + rest
}
