//! DescribeNetworkInterfaces, and interfaces as an instance's description tells them;
//! AssignIpv6Addresses and UnassignIpv6Addresses.

use std::net::Ipv6Addr;

use super::{Listing, answer, second, tag_set};
use crate::region::call::{Call, ServiceError};
use crate::region::ec2::interface::{Attachment, NetworkInterface};
use crate::region::ec2::{Ec2, Ipv6Wish, errors};
use crate::region::params::Params;
use crate::region::state::State;
use crate::region::xml::Element;

const FILTERS: &[&str] = &[
    "addresses.private-ip-address",
    "attachment.attachment-id",
    "attachment.device-index",
    "attachment.instance-id",
    "attachment.status",
    "availability-zone",
    "description",
    "group-id",
    "ipv6-addresses.ipv6-address",
    "mac-address",
    "network-interface-id",
    "owner-id",
    "private-dns-name",
    "private-ip-address",
    "source-dest-check",
    "status",
    "subnet-id",
    "vpc-id",
];

pub fn describe(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let ec2 = &state.ec2;
    let listing = Listing::of(call.params, "NetworkInterfaceId", FILTERS)?;
    listing.ids.iter().try_for_each(|id| ec2.interface(id).map(|_| ()))?;
    let named = ec2.interfaces.values().filter(|held| listing.names(&held.id));
    let found = named
        .filter(|held| listing.filters.want(ec2.tags_of(&held.id), |name| values(ec2, held, name)));
    Ok(answer(
        "networkInterfaceSet",
        listing.page.cut(found.map(|held| (held.id.clone(), whole(ec2, held)))),
    ))
}

/// Exactly one of `Ipv6AddressCount` and `Ipv6Addresses.N`.
pub fn assign_ipv6(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let id = call.params.required("NetworkInterfaceId")?;
    let wish =
        Ipv6Wish::either(call.params.number("Ipv6AddressCount")?, named_addresses(call.params)?)?;
    if wish.is_open() {
        let one_of = "Either ipv6AddressCount or ipv6Addresses must be specified.";
        return Err(ServiceError::client("MissingParameter", one_of));
    }
    let assigned = state.ec2.assign_ipv6_addresses(&mut state.ids, id, &wish)?;
    let items = assigned.iter().map(|address| Element::text("item", address));
    Ok(Element::answer().field("networkInterfaceId", id).list("assignedIpv6Addresses", items))
}

pub fn unassign_ipv6(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let id = call.params.required("NetworkInterfaceId")?;
    let addresses = named_addresses(call.params)?;
    if addresses.is_empty() {
        return Err(ServiceError::missing_parameter("Ipv6Addresses"));
    }
    state.ec2.unassign_ipv6_addresses(id, &addresses)?;
    let items = addresses.iter().map(|address| Element::text("item", address));
    Ok(Element::answer().field("networkInterfaceId", id).list("unassignedIpv6Addresses", items))
}

fn named_addresses(params: &Params) -> Result<Vec<Ipv6Addr>, ServiceError> {
    let address = |text: &&str| {
        let parsed = text.parse();
        parsed.map_err(|_| errors::bad_value(text, "ipv6Addresses", "It is no IPv6 address."))
    };
    params.list("Ipv6Addresses").iter().map(address).collect()
}

/// The interface inside an instance: the attachment does not name the instance again.
pub fn of_instance(ec2: &Ec2, held: &NetworkInterface) -> Element {
    held.attachment.iter().map(attachment_item).fold(common(ec2, held), Element::with)
}

pub fn group_set(ec2: &Ec2, held: &NetworkInterface) -> Vec<Element> {
    let groups = held.groups.iter().filter_map(|id| ec2.security_groups.get(id));
    groups
        .map(|group| {
            Element::new("item").field("groupId", &group.id).field("groupName", &group.name)
        })
        .collect()
}

fn whole(ec2: &Ec2, held: &NetworkInterface) -> Element {
    let with_instance = |with: &Attachment| {
        attachment_item(with)
            .field("instanceId", &with.instance)
            .field("instanceOwnerId", &ec2.account)
    };
    let item = held.attachment.iter().map(with_instance).fold(common(ec2, held), Element::with);
    item.field("availabilityZone", &held.zone)
        .field("requesterManaged", false)
        .list("tagSet", tag_set(ec2.tags_of(&held.id)))
}

fn common(ec2: &Ec2, held: &NetworkInterface) -> Element {
    let addresses = held.addresses.iter().enumerate().map(|(place, address)| {
        Element::new("item")
            .field("privateIpAddress", address)
            .field("privateDnsName", ec2.private_dns_name(*address))
            .field("primary", place == 0)
    });
    let ipv6 = held.ipv6.iter().map(|address| {
        Element::new("item").field("ipv6Address", address).field("isPrimaryIpv6", false)
    });
    Element::new("item")
        .field("networkInterfaceId", &held.id)
        .field("subnetId", &held.subnet)
        .field("vpcId", &held.vpc)
        .field("description", &held.description)
        .field("ownerId", &ec2.account)
        .field("status", status(held))
        .field("macAddress", &held.mac)
        .field("privateIpAddress", held.address())
        .field("privateDnsName", ec2.private_dns_name(held.address()))
        .field("sourceDestCheck", held.source_dest_check)
        .field("interfaceType", "interface")
        .list("groupSet", group_set(ec2, held))
        .list("ipv6AddressesSet", ipv6)
        .list("privateIpAddressesSet", addresses)
}

fn attachment_item(with: &Attachment) -> Element {
    Element::new("attachment")
        .field("attachmentId", &with.id)
        .field("deviceIndex", with.device_index)
        .field("networkCardIndex", 0)
        .field("status", "attached")
        .field("attachTime", second(with.attached_at))
        .field("deleteOnTermination", with.delete_on_termination)
}

fn status(held: &NetworkInterface) -> &'static str {
    if held.attachment.is_some() { "in-use" } else { "available" }
}

fn values(ec2: &Ec2, held: &NetworkInterface, name: &str) -> Vec<String> {
    let attachment = held.attachment.iter();
    let one = match name {
        "addresses.private-ip-address" => {
            return held.addresses.iter().map(ToString::to_string).collect();
        }
        "ipv6-addresses.ipv6-address" => {
            return held.ipv6.iter().map(ToString::to_string).collect();
        }
        "attachment.attachment-id" => return attachment.map(|with| with.id.clone()).collect(),
        "attachment.device-index" => {
            return attachment.map(|with| with.device_index.to_string()).collect();
        }
        "attachment.instance-id" => return attachment.map(|with| with.instance.clone()).collect(),
        "attachment.status" => return attachment.map(|_| "attached".to_owned()).collect(),
        "availability-zone" => held.zone.clone(),
        "description" => held.description.clone(),
        "group-id" => return held.groups.clone(),
        "mac-address" => held.mac.clone(),
        "network-interface-id" => held.id.clone(),
        "owner-id" => ec2.account.clone(),
        "private-dns-name" => ec2.private_dns_name(held.address()),
        "private-ip-address" => held.address().to_string(),
        "source-dest-check" => held.source_dest_check.to_string(),
        "status" => status(held).to_owned(),
        "subnet-id" => held.subnet.clone(),
        "vpc-id" => held.vpc.clone(),
        _ => return Vec::new(),
    };
    vec![one]
}
