//! What the kernel tells while it changes: links, addresses, routes, rules, forwarding, nftables.
//!
//! A message is read only as far as it takes to know that it is no business of ours: what the
//! kernel has is looked at anew anyway, and messages may be lost. When they are, the kernel says so
//! (`ENOBUFS` in netlink(7)), and that means: look at everything.

use std::io;

use anyhow::Context;
use netlink_packet_route::AddressFamily;
use nix::errno::Errno;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NLM_F_REPLACE, NetlinkBuffer, NlasIterator};
use rtnetlink::sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use super::netlink::is;
use super::{Effects, Machine};
use crate::plan::network::{PROTOCOL, TABLE};

/// What may be another now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stirred {
    /// Interfaces, routes, rules and what the kernel is told of them by settings.
    pub ways: bool,
    /// nftables' table of ours.
    pub filter: bool,
}

/// One word of the monitor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tidings {
    Stirred(Stirred),
    /// There were more than the socket could hold.
    Lost,
}

/// Listens.
pub struct Monitor {
    ways: Option<Listener>,
    /// `None` where the kernel has no nftables to tell of.
    filter: Option<Listener>,
}

const ROUTE_GROUPS: [MulticastGroup; 9] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv4Netconf,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv6Rule,
    MulticastGroup::Ipv6Netconf,
];

/// `NFNLGRP_NFTABLES` of linux/netfilter/nfnetlink.h.
const NFTABLES_GROUP: u32 = 7;

impl Machine {
    /// Listens from now on. `buffer_bytes` is how much may wait unread, where that is not to be
    /// what the kernel gives everybody (`net.core.rmem_default`).
    pub fn monitor(&self, buffer_bytes: Option<u32>) -> anyhow::Result<Monitor> {
        if let Effects::Kept(_) = self.effects {
            return Ok(Monitor { ways: None, filter: None });
        }
        let groups = ROUTE_GROUPS.map(|group| group as u32);
        let ways = Listener::new(NETLINK_ROUTE, &groups, buffer_bytes);
        let ways = ways.context("listening to what the kernel tells of routes")?;
        let filter = match Listener::new(NETLINK_NETFILTER, &[NFTABLES_GROUP], buffer_bytes) {
            Ok(filter) => Some(filter),
            Err(error) if is(&error, Errno::EPROTONOSUPPORT) => None,
            Err(error) => {
                return Err(error).context("listening to what the kernel tells of nftables");
            }
        };
        Ok(Monitor { ways: Some(ways), filter })
    }
}

impl Monitor {
    /// The next that may concern us. Nothing is lost when this is dropped.
    pub async fn next(&mut self) -> anyhow::Result<Tidings> {
        let ways = Stirred { ways: true, ..Stirred::NOTHING };
        let filter = Stirred { filter: true, ..Stirred::NOTHING };
        tokio::select! {
            heard = next(self.ways.as_mut(), concerns_ways) => tidings(heard, ways),
            heard = next(self.filter.as_mut(), concerns_filter) => tidings(heard, filter),
        }
    }
}

impl Stirred {
    pub const NOTHING: Self = Self { ways: false, filter: false };
    pub const EVERYTHING: Self = Self { ways: true, filter: true };

    pub fn and(self, other: Self) -> Self {
        Self { ways: self.ways || other.ways, filter: self.filter || other.filter }
    }
}

fn tidings(heard: io::Result<()>, stirred: Stirred) -> anyhow::Result<Tidings> {
    match heard {
        Ok(()) => Ok(Tidings::Stirred(stirred)),
        Err(error) if is(&error, Errno::ENOBUFS) => Ok(Tidings::Lost),
        Err(error) => Err(error).context("listening to the kernel"),
    }
}

async fn next(
    listener: Option<&mut Listener>,
    concerns: fn(&Message<'_>) -> bool,
) -> io::Result<()> {
    match listener {
        Some(listener) => listener.next(concerns).await,
        None => std::future::pending().await,
    }
}

pub(super) struct Listener {
    socket: TokioSocket,
    datagram: Vec<u8>,
}

pub(super) type Message<'a> = NetlinkBuffer<&'a [u8]>;

/// The kernel puts no more into one datagram (`NLMSG_GOODSIZE`), but for a set's elements, and what
/// those are of stands at their beginning.
const DATAGRAM_BYTES: usize = 32 << 10;

impl Listener {
    pub(super) fn new(
        protocol: isize,
        groups: &[u32],
        buffer_bytes: Option<u32>,
    ) -> io::Result<Self> {
        let mut socket = TokioSocket::new(protocol)?;
        let inner = socket.socket_mut();
        if let Some(bytes) = buffer_bytes {
            inner.set_rx_buf_sz(bytes)?;
        }
        inner.bind(&SocketAddr::new(0, 0))?;
        for group in groups {
            inner.add_membership(*group)?;
        }
        Ok(Self { socket, datagram: Vec::with_capacity(DATAGRAM_BYTES) })
    }

    /// Returns when there was a message that concerns us.
    pub(super) async fn next(&mut self, concerns: fn(&Message<'_>) -> bool) -> io::Result<()> {
        loop {
            self.datagram.clear();
            self.socket.recv(&mut self.datagram).await?;
            if any(&self.datagram, concerns) {
                return Ok(());
            }
        }
    }
}

/// What cannot be read concerns us.
fn any(mut datagram: &[u8], concerns: fn(&Message<'_>) -> bool) -> bool {
    while !datagram.is_empty() {
        let Ok(message) = NetlinkBuffer::new_checked(datagram) else { return true };
        if concerns(&message) {
            return true;
        }
        // Each begins at a multiple of four bytes (netlink(7), `NLMSG_ALIGN`).
        let length = (message.length() as usize).next_multiple_of(4);
        datagram = datagram.get(length..).unwrap_or_default();
    }
    false
}

/// `RTM_NEWROUTE` and `RTM_DELROUTE` of rtnetlink(7).
const ROUTE_TYPES: [u16; 2] = [24, 25];

/// The internet's IPv6 addresses are 2000::/3: a route with a longer prefix is not the way there.
const INTERNET_PREFIX: u8 = 3;

/// Of routes, which there may be thousands of: ours, one that was put in another's place, which may
/// have been ours, and IPv6's way out, by which the VPC's router is known.
fn concerns_ways(message: &Message<'_>) -> bool {
    if !ROUTE_TYPES.contains(&message.message_type()) {
        return true;
    }
    // struct rtmsg
    let [family, prefix, _, _, _, protocol, ..] = *message.payload() else { return true };
    let way_out = family == u8::from(AddressFamily::Inet6) && prefix <= INTERNET_PREFIX;
    protocol == PROTOCOL || message.flags() & NLM_F_REPLACE != 0 || way_out
}

/// `NFT_MSG_NEWGEN` of linux/netfilter/nf_tables.h: a transaction is through. It names no table.
const NEW_GENERATION: u8 = 15;

/// In every message that names a table, it is this attribute: `NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE`,
/// `NFTA_RULE_TABLE`, and so on.
const TABLE_ATTRIBUTE: u16 = 1;

fn concerns_filter(message: &Message<'_>) -> bool {
    let [kind, _subsystem] = message.message_type().to_le_bytes();
    if kind == NEW_GENERATION {
        return false;
    }
    // After struct nfgenmsg.
    let Some(attributes) = message.payload().get(4..) else { return true };
    let mut attributes = NlasIterator::new(attributes).flatten();
    let table = attributes.find(|attribute| attribute.kind() == TABLE_ATTRIBUTE);
    let name = |value: &[u8]| value.strip_suffix(b"\0").unwrap_or(value) == TABLE[1].as_bytes();
    table.is_none_or(|table| name(table.value()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message as the kernel writes it.
    fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let length = 16 + payload.len();
        let mut bytes = u32::try_from(length).expect("short").to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(payload);
        bytes.resize(length.next_multiple_of(4), 0);
        bytes
    }

    fn route(kind: u16, flags: u16, family: u8, prefix: u8, protocol: u8) -> Vec<u8> {
        message(kind, flags, &[family, prefix, 0, 0, 254, protocol, 0, 1, 0, 0, 0, 0])
    }

    #[test]
    fn somebody_elses_routes_are_no_business_of_ours() {
        let (new, gone, ip, ip6) = (24, 25, 2, 10);
        let concern = |bytes: &[u8]| any(bytes, concerns_ways);
        assert!(!concern(&route(new, 0, ip, 24, 4)) && !concern(&route(gone, 0, ip, 0, 16)));
        assert!(!concern(&route(new, 0, ip6, 64, 2)));
        assert!(concern(&route(gone, 0, ip, 24, PROTOCOL)), "ours");
        assert!(concern(&route(new, NLM_F_REPLACE, ip, 24, 4)), "in the place of ours, maybe");
        assert!(concern(&route(new, 0, ip6, 0, 9)), "the router's advertisement");
        assert!(concern(&message(16, 0, &[0; 16])), "a link");
    }

    #[test]
    fn every_message_of_a_datagram_is_looked_at_and_what_cannot_be_read_concerns_us() {
        let theirs = route(24, 0, 2, 24, 4);
        let both = [theirs.clone(), route(25, 0, 2, 24, PROTOCOL)].concat();
        assert!(any(&both, concerns_ways));
        assert!(any(&[&theirs[..], &[1, 2, 3]].concat(), concerns_ways));
        assert!(any(&message(24, 0, &[2]), concerns_ways), "half a route");
        assert!(!any(&[], concerns_ways));
    }

    #[test]
    fn other_tables_of_nftables_are_no_business_of_ours() {
        let named = |kind: u8, name: &str| {
            let length = u16::try_from(4 + name.len() + 1).expect("short");
            let attribute = [&length.to_ne_bytes()[..], &[1, 0], name.as_bytes(), &[0]].concat();
            message(0x0a00 | u16::from(kind), 0, &[&[1, 0, 0, 0][..], &attribute].concat())
        };
        let (table_gone, rule) = (2, 6);
        assert!(any(&named(table_gone, "windlass"), concerns_filter));
        assert!(!any(&named(rule, "kube-proxy"), concerns_filter));
        assert!(!any(&named(rule, "windlass2"), concerns_filter));
        assert!(!any(&named(NEW_GENERATION, "\u{1}\u{2}\u{3}"), concerns_filter));
        assert!(any(&message(0x0a06, 0, &[1, 0, 0, 0]), concerns_filter), "of no table");
    }
}
