//! An instance as DescribeInstances and RunInstances tell it.

use super::{second, tag_set};
use crate::region::ec2::Ec2;
use crate::region::ec2::instance::{Instance, InstanceState, Market};
use crate::region::imds::MetadataOptions;
use crate::region::xml::Element;

/// All of it. A terminated instance has no network any more.
pub fn whole(ec2: &Ec2, held: &Instance) -> Element {
    let there = !matches!(held.state, InstanceState::Terminated { .. });
    let reason = held.reason.as_ref();
    let item = Element::new("item")
        .field("instanceId", &held.id)
        .field("imageId", &held.image)
        .with(state_item("instanceState", held.state))
        .field("privateDnsName", if there { &held.private_dns_name } else { "" })
        .field("dnsName", "")
        .field("reason", reason.map_or("", |reason| &reason.transition))
        .optional("keyName", held.key_name.as_ref())
        .field("amiLaunchIndex", held.launch_index)
        .list("productCodes", [])
        .field("instanceType", &held.instance_type)
        .field("launchTime", second(held.launched_at))
        .with(placement(ec2, held))
        .with(Element::new("monitoring").field("state", "disabled"));
    let mut item = if there { with_network(ec2, held, item) } else { item };
    if let Some(reason) = reason {
        item.push(
            Element::new("stateReason").field("code", reason.code).field("message", reason.message),
        );
    }
    if let Some(profile) = &held.profile {
        item.push(
            Element::new("iamInstanceProfile").field("arn", &profile.arn).field("id", &profile.id),
        );
    }
    item.field("architecture", held.architecture)
        .field("rootDeviceType", "ebs")
        .field("rootDeviceName", "/dev/xvda")
        .list("blockDeviceMapping", [])
        .field("virtualizationType", "hvm")
        .field("clientToken", held.client_token.as_deref().unwrap_or_default())
        .optional("instanceLifecycle", (held.market == Market::Spot).then_some("spot"))
        .list("tagSet", tag_set(ec2.tags_of(&held.id)))
        .field("hypervisor", "xen")
        .field("ebsOptimized", false)
        .field("enaSupport", true)
        .with(metadata_options("metadataOptions", &held.metadata))
}

/// `NAME` with the state's code and name.
pub fn state_item(name: &str, state: InstanceState) -> Element {
    Element::new(name).field("code", state.code()).field("name", state.name())
}

pub fn metadata_options(name: &str, options: &MetadataOptions) -> Element {
    let switch = |on: bool| if on { "enabled" } else { "disabled" };
    Element::new(name)
        .field("state", "applied")
        .field("httpTokens", if options.tokens_required { "required" } else { "optional" })
        .field("httpPutResponseHopLimit", options.http_put_response_hop_limit)
        .field("httpEndpoint", switch(options.endpoint_enabled))
        .field("httpProtocolIpv6", "disabled")
        .field("instanceMetadataTags", switch(options.instance_tags_enabled))
}

fn placement(ec2: &Ec2, held: &Instance) -> Element {
    Element::new("placement")
        .field("availabilityZone", &held.zone)
        .field("availabilityZoneId", ec2.zone_id(&held.zone))
        .field("groupName", "")
        .field("tenancy", "default")
}

fn with_network(ec2: &Ec2, held: &Instance, item: Element) -> Element {
    let interfaces = ec2.interfaces_of(&held.id);
    let primary = interfaces.first();
    item.field("subnetId", &held.subnet)
        .field("vpcId", &held.vpc)
        .field("privateIpAddress", held.address)
        .optional("ipv6Address", primary.and_then(|held| held.ipv6.first()))
        .optional("sourceDestCheck", primary.map(|held| held.source_dest_check))
        .list(
            "groupSet",
            primary.map(|held| super::interfaces::group_set(ec2, held)).unwrap_or_default(),
        )
        .list(
            "networkInterfaceSet",
            interfaces.iter().map(|held| super::interfaces::of_instance(ec2, held)),
        )
}
