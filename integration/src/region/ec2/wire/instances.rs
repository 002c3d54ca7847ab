//! DescribeInstances: which instances are meant.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::instance_item::whole;
use super::{Listing, answer, second};
use crate::region::call::{Call, ServiceError};
use crate::region::ec2::instance::{Instance, InstanceState, Market, well_formed};
use crate::region::ec2::page::Cut;
use crate::region::ec2::{Ec2, errors};
use crate::region::state::State;
use crate::region::xml::Element;

const FILTERS: &[&str] = &[
    "architecture",
    "availability-zone",
    "availability-zone-id",
    "client-token",
    "iam-instance-profile.arn",
    "iam-instance-profile.id",
    "image-id",
    "instance-id",
    "instance-lifecycle",
    "instance-state-code",
    "instance-state-name",
    "instance-type",
    "instance.group-id",
    "instance.group-name",
    "ipv6-address",
    "key-name",
    "launch-time",
    "metadata-options.http-endpoint",
    "metadata-options.http-put-response-hop-limit",
    "metadata-options.http-tokens",
    "metadata-options.instance-metadata-tags",
    "network-interface.addresses.private-ip-address",
    "network-interface.ipv6-addresses.ipv6-address",
    "network-interface.network-interface-id",
    "network-interface.source-dest-check",
    "network-interface.subnet-id",
    "network-interface.vpc-id",
    "owner-id",
    "private-dns-name",
    "private-ip-address",
    "reservation-id",
    "source-dest-check",
    "state-reason-code",
    "subnet-id",
    "vpc-id",
];

pub fn describe(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let ec2 = &state.ec2;
    let listing = Listing::of(call.params, "InstanceId", FILTERS)?;
    let cut = listing.page.cut(wanted(ec2, &listing, call.now)?);
    let mut reservations: BTreeMap<&str, Vec<Element>> = BTreeMap::new();
    for instance in cut.items {
        reservations.entry(&instance.reservation).or_default().push(whole(ec2, instance));
    }
    let items =
        reservations.into_iter().map(|(id, instances)| reservation(ec2, id, instances)).collect();
    Ok(answer("reservationSet", Cut { items, next_token: cut.next_token }))
}

/// A reservation with those of its instances that are told.
pub fn reservation(ec2: &Ec2, id: &str, instances: Vec<Element>) -> Element {
    Element::new("item")
        .field("reservationId", id)
        .field("ownerId", &ec2.account)
        .list("groupSet", [])
        .list("instancesSet", instances)
}

/// The instances asked for, by ID, of which filters see what `values` says.
fn wanted<'a>(
    ec2: &'a Ec2,
    listing: &Listing<'_>,
    now: OffsetDateTime,
) -> Result<Vec<(String, &'a Instance)>, ServiceError> {
    let found = visible(ec2, listing, now)?.into_iter();
    let found = found
        .filter(|held| listing.filters.want(ec2.tags_of(&held.id), |name| values(ec2, held, name)));
    Ok(found.map(|held| (held.id.clone(), held)).collect())
}

/// Those that are named, or all. A named one that is unknown, or too new to be known, is an error:
/// EC2 API Reference, "Eventual consistency".
pub fn visible<'a>(
    ec2: &'a Ec2,
    listing: &Listing<'_>,
    now: OffsetDateTime,
) -> Result<Vec<&'a Instance>, ServiceError> {
    if let Some(bad) = listing.ids.iter().find(|id| !well_formed(id)) {
        return Err(errors::malformed_instance(bad));
    }
    let known = |id: &str| ec2.instances.get(id).is_some_and(|held| held.visible_at <= now);
    let missing: Vec<&str> = listing.ids.iter().copied().filter(|id| !known(id)).collect();
    if !missing.is_empty() {
        return Err(errors::no_instances(&missing));
    }
    let named = ec2.instances.values().filter(|held| known(&held.id) && listing.names(&held.id));
    Ok(named.collect())
}

/// What an instance has under a filter's name. A terminated one has no network any more.
fn values(ec2: &Ec2, held: &Instance, name: &str) -> Vec<String> {
    let there = !matches!(held.state, InstanceState::Terminated { .. });
    let one = match name {
        "architecture" => held.architecture.to_owned(),
        "availability-zone" => held.zone.clone(),
        "availability-zone-id" => ec2.zone_id(&held.zone),
        "client-token" => return held.client_token.iter().cloned().collect(),
        "iam-instance-profile.arn" => {
            return held.profile.iter().map(|profile| profile.arn.clone()).collect();
        }
        "iam-instance-profile.id" => {
            return held.profile.iter().map(|profile| profile.id.clone()).collect();
        }
        "image-id" => held.image.clone(),
        "instance-id" => held.id.clone(),
        "instance-lifecycle" if held.market == Market::Spot => "spot".to_owned(),
        "instance-lifecycle" => return Vec::new(),
        "instance-state-code" => held.state.code().to_string(),
        "instance-state-name" => held.state.name().to_owned(),
        "instance-type" => held.instance_type.clone(),
        "key-name" => return held.key_name.iter().cloned().collect(),
        "launch-time" => second(held.launched_at),
        "owner-id" => ec2.account.clone(),
        "reservation-id" => held.reservation.clone(),
        "state-reason-code" => {
            return held.reason.iter().map(|reason| reason.code.to_owned()).collect();
        }
        "private-dns-name" if there => held.private_dns_name.clone(),
        "private-ip-address" if there => held.address.to_string(),
        "subnet-id" if there => held.subnet.clone(),
        "vpc-id" if there => held.vpc.clone(),
        _ => match name.strip_prefix("metadata-options.") {
            Some(option) => metadata_value(held, option),
            None => return interface_values(ec2, held, name),
        },
    };
    vec![one]
}

fn metadata_value(held: &Instance, option: &str) -> String {
    let (on, off) =
        if option == "http-tokens" { ("required", "optional") } else { ("enabled", "disabled") };
    let set = match option {
        "http-put-response-hop-limit" => {
            return held.metadata.http_put_response_hop_limit.to_string();
        }
        "http-tokens" => held.metadata.tokens_required,
        "http-endpoint" => held.metadata.endpoint_enabled,
        _ => held.metadata.instance_tags_enabled,
    };
    if set { on } else { off }.to_owned()
}

fn interface_values(ec2: &Ec2, held: &Instance, name: &str) -> Vec<String> {
    let all = ec2.interfaces_of(&held.id);
    let interfaces = all.iter();
    match name {
        "instance.group-id" => interfaces.flat_map(|held| held.groups.clone()).collect(),
        "instance.group-name" => interfaces
            .flat_map(|held| &held.groups)
            .filter_map(|id| Some(ec2.security_groups.get(id)?.name.clone()))
            .collect(),
        "network-interface.addresses.private-ip-address" => {
            interfaces.flat_map(|held| &held.addresses).map(ToString::to_string).collect()
        }
        "ipv6-address" => interfaces
            .take(1)
            .filter_map(|held| held.ipv6.first())
            .map(ToString::to_string)
            .collect(),
        "network-interface.ipv6-addresses.ipv6-address" => {
            interfaces.flat_map(|held| &held.ipv6).map(ToString::to_string).collect()
        }
        "network-interface.network-interface-id" => {
            interfaces.map(|held| held.id.clone()).collect()
        }
        "network-interface.source-dest-check" => {
            interfaces.map(|held| held.source_dest_check.to_string()).collect()
        }
        "network-interface.subnet-id" => interfaces.map(|held| held.subnet.clone()).collect(),
        "network-interface.vpc-id" => interfaces.map(|held| held.vpc.clone()).collect(),
        "source-dest-check" => {
            interfaces.take(1).map(|held| held.source_dest_check.to_string()).collect()
        }
        _ => Vec::new(),
    }
}
