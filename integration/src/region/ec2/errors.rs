//! EC2's refusals that several actions share: EC2 API Reference, "Error codes for the Amazon EC2
//! API".

use std::net::IpAddr;

use ipnet::IpNet;

use crate::region::call::ServiceError;

pub fn no_vpc(id: &str) -> ServiceError {
    ServiceError::client("InvalidVpcID.NotFound", format!("The vpc ID '{id}' does not exist"))
}

pub fn too_many_blocks(vpc: &str, allowed: usize) -> ServiceError {
    ServiceError::client(
        "CidrLimitExceeded",
        format!("This network '{vpc}' has met its maximum number of allowed CIDRs: {allowed}"),
    )
}

pub fn no_subnet(id: &str) -> ServiceError {
    ServiceError::client("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist"))
}

pub fn no_security_group(id: &str) -> ServiceError {
    ServiceError::client(
        "InvalidGroup.NotFound",
        format!("The security group '{id}' does not exist"),
    )
}

pub fn no_route_table(id: &str) -> ServiceError {
    ServiceError::client(
        "InvalidRouteTableID.NotFound",
        format!("The routeTable ID '{id}' does not exist"),
    )
}

pub fn no_route(table: &str, destination: IpNet) -> ServiceError {
    let family = match destination {
        IpNet::V4(_) => "destination-cidr-block",
        IpNet::V6(_) => "destination-ipv6-cidr-block",
    };
    ServiceError::client(
        "InvalidRoute.NotFound",
        format!("no route with {family} {destination} in route table {table}"),
    )
}

pub fn address_in_use(address: IpAddr) -> ServiceError {
    ServiceError::client("InvalidIPAddress.InUse", format!("Address {address} is in use."))
}

/// As a route's target.
pub fn no_gateway(id: &str) -> ServiceError {
    ServiceError::client(
        "InvalidGatewayID.NotFound",
        format!("The gateway ID '{id}' does not exist"),
    )
}

pub fn no_internet_gateway(id: &str) -> ServiceError {
    ServiceError::client(
        "InvalidInternetGatewayID.NotFound",
        format!("The internetGateway ID '{id}' does not exist"),
    )
}

pub fn different_networks(table: &str, target: &str) -> ServiceError {
    let kind = if target.starts_with("eni-") { "interface" } else { "network gateway" };
    ServiceError::client(
        "InvalidParameterValue",
        format!("route table {table} and {kind} {target} belong to different networks"),
    )
}

pub fn no_attachment(id: &str) -> ServiceError {
    ServiceError::client(
        "InvalidAttachmentID.NotFound",
        format!("The networkInterface attachment ID '{id}' does not exist"),
    )
}

pub fn no_association(id: &str) -> ServiceError {
    ServiceError::client(
        "InvalidAssociationID.NotFound",
        format!("The association ID '{id}' does not exist"),
    )
}

pub fn no_interface(id: &str) -> ServiceError {
    ServiceError::client(
        "InvalidNetworkInterfaceID.NotFound",
        format!("The networkInterface ID '{id}' does not exist"),
    )
}

pub fn no_image(id: &str) -> ServiceError {
    ServiceError::client("InvalidAMIID.NotFound", format!("The image id '[{id}]' does not exist"))
}

/// One or several that are unknown, or not known yet.
pub fn no_instances(ids: &[&str]) -> ServiceError {
    let message = match ids {
        [one] => format!("The instance ID '{one}' does not exist"),
        several => format!("The instance IDs '{}' do not exist", several.join(", ")),
    };
    ServiceError::client("InvalidInstanceID.NotFound", message)
}

pub fn wrong_state(id: &str, wish: &str) -> ServiceError {
    ServiceError::client(
        "IncorrectInstanceState",
        format!("The instance '{id}' is not in a state from which it can be {wish}."),
    )
}

pub fn no_spot_instance(id: &str, wish: &str) -> ServiceError {
    ServiceError::client(
        "UnsupportedOperation",
        format!("The instance '{id}' is not a Spot Instance, so it cannot be {wish}."),
    )
}

pub fn malformed_instance(id: &str) -> ServiceError {
    ServiceError::client("InvalidInstanceID.Malformed", format!("Invalid id: \"{id}\""))
}

pub fn bad_value(value: &str, parameter: &str, why: &str) -> ServiceError {
    ServiceError::client(
        "InvalidParameterValue",
        format!("Value ({value}) for parameter {parameter} is invalid. {why}"),
    )
}
