//! Policy rules as the kernel has them. `FRA_PROTOCOL` says whose a rule is (since Linux 4.17).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context;
use futures_util::TryStreamExt;
use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Handle, IpVersion};

use super::ways::family;
use crate::plan::network::{PROTOCOL, Packets, Rule};

/// Every rule of an address family; there are a handful.
pub(super) async fn all(
    handle: &Handle,
    family: AddressFamily,
) -> Result<Vec<RuleMessage>, rtnetlink::Error> {
    let version = if family == AddressFamily::Inet { IpVersion::V4 } else { IpVersion::V6 };
    handle.rule().get(version).execute().try_collect().await
}

pub(super) fn is_ours(rule: &RuleMessage) -> bool {
    protocol(rule) == PROTOCOL
}

/// The protocol number of who has the very same rule.
pub(super) async fn holder(handle: &Handle, wanted: &Rule) -> anyhow::Result<u8> {
    let found = all(handle, family(&wanted.packets.cidr())).await;
    let found = found.context("listing the kernel's policy rules")?;
    let theirs = found.iter().find(|found| rule(found) == *wanted);
    Ok(theirs.map_or(RouteProtocol::Unspec.into(), protocol))
}

pub(super) async fn add(handle: &Handle, rule: &Rule) -> Result<(), rtnetlink::Error> {
    let mut request = handle.rule().add();
    *request.message_mut() = message(rule);
    request.execute().await
}

/// Removes one that is so and ours, by all that the kernel says of it: what names less could fit
/// another one too.
pub(super) async fn remove(handle: &Handle, wanted: &Rule) -> Result<(), rtnetlink::Error> {
    let found = all(handle, family(&wanted.packets.cidr())).await?;
    match found.into_iter().find(|found| is_ours(found) && rule(found) == *wanted) {
        Some(found) => handle.rule().del(found).execute().await,
        None => Ok(()),
    }
}

fn message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    let cidr = rule.packets.cidr();
    message.header.family = family(&cidr);
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Priority(rule.priority),
        RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)),
        RuleAttribute::Table(rule.table),
    ];
    match rule.packets {
        _ if cidr.prefix_len() == 0 => {}
        Packets::From(_) => {
            message.header.src_len = cidr.prefix_len();
            message.attributes.push(RuleAttribute::Source(cidr.network()));
        }
        Packets::To(_) => {
            message.header.dst_len = cidr.prefix_len();
            message.attributes.push(RuleAttribute::Destination(cidr.network()));
        }
    }
    message
}

/// Of a rule that looks nothing up, or that asks for more than we ever do.
const NO_TABLE: u32 = 0;

pub(super) fn rule(found: &RuleMessage) -> Rule {
    let everywhere: IpAddr = match found.header.family {
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    };
    let mut table = u32::from(found.header.table);
    let (mut priority, mut from, mut to, mut more) = (0, everywhere, everywhere, false);
    for attribute in &found.attributes {
        match attribute {
            RuleAttribute::Priority(it) => priority = *it,
            RuleAttribute::Table(it) => table = *it,
            RuleAttribute::Source(it) => from = *it,
            RuleAttribute::Destination(it) => to = *it,
            RuleAttribute::FwMark(_)
            | RuleAttribute::FwMask(_)
            | RuleAttribute::Iifname(_)
            | RuleAttribute::Oifname(_)
            | RuleAttribute::IpProtocol(_)
            | RuleAttribute::SourcePortRange(_)
            | RuleAttribute::DestinationPortRange(_)
            | RuleAttribute::UidRange(_) => more = true,
            _ => {}
        }
    }
    let header = &found.header;
    let both = header.src_len > 0 && header.dst_len > 0;
    if more || both || header.tos != 0 || header.action != RuleAction::ToTable {
        table = NO_TABLE;
    }
    let packets = match header.dst_len {
        0 => Packets::From(IpNet::new_assert(from, header.src_len)),
        length => Packets::To(IpNet::new_assert(to, length)),
    };
    Rule { priority, packets, table }
}

fn protocol(rule: &RuleMessage) -> u8 {
    let of = |attribute: &RuleAttribute| match attribute {
        RuleAttribute::Protocol(it) => Some(u8::from(*it)),
        _ => None,
    };
    rule.attributes.iter().find_map(of).unwrap_or_default()
}
