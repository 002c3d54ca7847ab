//! What the region offers: instance types, images, zones, itself.

use super::{Listing, answer};
use crate::region::call::{Call, ServiceError};
use crate::region::ec2::errors;
use crate::region::ec2::instance_type::{self, InstanceType};
use crate::region::ec2::page::Page;
use crate::region::ec2::tags::Tags;
use crate::region::state::State;
use crate::region::xml::Element;

const TYPE_FILTERS: &[&str] = &[
    "bare-metal",
    "instance-type",
    "memory-info.size-in-mib",
    "network-info.ipv4-addresses-per-interface",
    "network-info.maximum-network-interfaces",
    "processor-info.supported-architecture",
    "vcpu-info.default-vcpus",
];

pub fn types(_: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let mut listing = Listing::of(call.params, "InstanceType", TYPE_FILTERS)?;
    listing.page = Page::of(call.params, 5..=100)?;
    let unknown: Vec<&str> =
        listing.ids.iter().copied().filter(|name| instance_type::named(name).is_err()).collect();
    if !unknown.is_empty() {
        return Err(ServiceError::client(
            "InvalidInstanceType",
            format!("The following supplied instance types do not exist: [{}]", unknown.join(", ")),
        ));
    }
    let named = instance_type::all().filter(|offered| listing.names(offered.name));
    let found = named.filter(|offered| {
        listing.filters.want(&Tags::new(), |name| vec![type_value(offered, name)])
    });
    Ok(answer(
        "instanceTypeSet",
        listing.page.cut(found.map(|offered| (offered.name.to_owned(), type_item(offered)))),
    ))
}

pub fn images(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let ec2 = &state.ec2;
    let listing = Listing::of(call.params, "ImageId", &["architecture", "image-id", "state"])?;
    if let Some(missing) = listing.ids.iter().find(|id| !ec2.images.contains_key(**id)) {
        return Err(errors::no_image(missing));
    }
    let mut found = Vec::new();
    for (id, architecture) in &ec2.images {
        let under = |name: &str| match name {
            "architecture" => vec![architecture.to_string()],
            "image-id" => vec![id.clone()],
            _ => vec!["available".to_owned()],
        };
        if listing.names(id) && listing.filters.want(ec2.tags_of(id), under) {
            let item = Element::new("item")
                .field("imageId", id)
                .field("imageState", "available")
                .field("imageOwnerId", &ec2.account)
                .field("isPublic", false)
                .field("architecture", architecture)
                .field("imageType", "machine")
                .field("rootDeviceType", "ebs")
                .field("rootDeviceName", "/dev/xvda")
                .field("virtualizationType", "hvm")
                .field("hypervisor", "xen");
            found.push((id.clone(), item));
        }
    }
    Ok(answer("imagesSet", listing.page.cut(found)))
}

pub fn zones(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let ec2 = &state.ec2;
    let listing =
        Listing::of(call.params, "ZoneName", &["region-name", "state", "zone-id", "zone-name"])?;
    let zones = ec2.zones();
    if let Some(missing) = listing.ids.iter().find(|name| !zones.iter().any(|zone| zone == *name)) {
        return Err(ServiceError::client(
            "InvalidParameterValue",
            format!("Invalid availability zone: [{missing}]"),
        ));
    }
    let wanted = zones.iter().filter(|zone| {
        let under = |name: &str| match name {
            "region-name" => vec![ec2.region.clone()],
            "zone-id" => vec![ec2.zone_id(zone)],
            "zone-name" => vec![zone.to_string()],
            _ => vec!["available".to_owned()],
        };
        listing.names(zone) && listing.filters.want(&Tags::new(), under)
    });
    let items = wanted.map(|zone| {
        Element::new("item")
            .field("zoneName", zone)
            .field("zoneId", ec2.zone_id(zone))
            .field("zoneState", "available")
            .field("regionName", &ec2.region)
            .field("groupName", &ec2.region)
            .field("networkBorderGroup", &ec2.region)
            .field("optInStatus", "opt-in-not-required")
            .field("zoneType", "availability-zone")
            .list("messageSet", [])
    });
    Ok(Element::answer().list("availabilityZoneInfo", items))
}

/// There is one region.
pub fn regions(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let region = &state.ec2.region;
    if let Some(missing) = call.params.list("RegionName").into_iter().find(|name| name != region) {
        return Err(ServiceError::client(
            "InvalidParameterValue",
            format!("Invalid region name: [{missing}]"),
        ));
    }
    let item = Element::new("item")
        .field("regionName", region)
        .field("regionEndpoint", format!("ec2.{region}.amazonaws.com"))
        .field("optInStatus", "opt-in-not-required");
    Ok(Element::answer().list("regionInfo", [item]))
}

fn type_item(offered: &InstanceType) -> Element {
    let card = Element::new("item")
        .field("networkCardIndex", 0)
        .field("maximumNetworkInterfaces", offered.interfaces);
    let architecture = Element::text("item", offered.architecture);
    let network = Element::new("networkInfo")
        .field("maximumNetworkInterfaces", offered.interfaces)
        .field("maximumNetworkCards", 1)
        .field("defaultNetworkCardIndex", 0)
        .list("networkCards", [card])
        .field("ipv4AddressesPerInterface", offered.ipv4_per_interface)
        .field("ipv6AddressesPerInterface", offered.ipv4_per_interface)
        .field("ipv6Supported", true);
    Element::new("item")
        .field("instanceType", offered.name)
        .field("bareMetal", is_metal(offered))
        .with(Element::new("processorInfo").list("supportedArchitectures", [architecture]))
        .with(Element::new("vCpuInfo").field("defaultVCpus", offered.vcpus))
        .with(Element::new("memoryInfo").field("sizeInMiB", offered.memory_mib))
        .with(network)
}

fn type_value(offered: &InstanceType, name: &str) -> String {
    match name {
        "bare-metal" => is_metal(offered).to_string(),
        "instance-type" => offered.name.to_owned(),
        "memory-info.size-in-mib" => offered.memory_mib.to_string(),
        "network-info.ipv4-addresses-per-interface" => offered.ipv4_per_interface.to_string(),
        "network-info.maximum-network-interfaces" => offered.interfaces.to_string(),
        "processor-info.supported-architecture" => offered.architecture.to_owned(),
        _ => offered.vcpus.to_string(),
    }
}

fn is_metal(offered: &InstanceType) -> bool {
    offered.name.contains(".metal")
}
