//! Network interfaces and what is said on them, by rtnetlink: `/sys/class/net` and `/proc/net` do
//! not follow a process into its network namespace, netlink does.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use anyhow::Context;
use futures_util::TryStreamExt;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute};
use nix::errno::Errno;
use rtnetlink::{Handle, RouteMessageBuilder};

use super::netlink::{handle, is, reason};
use super::{Effects, Machine};

/// The instance's interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    pub primary: Link,
    /// The names of the other ENIs' interfaces.
    pub others: BTreeSet<String>,
    /// The router that IPv6 packets leave by over the primary interface, if the kernel knows one
    /// and has an address of the interface to send them from.
    pub ipv6_router: Option<Ipv6Addr>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub name: String,
    pub mtu_bytes: u32,
}

/// Any address of the internet's, to ask for the way to. Nothing is sent there.
///
/// Source: "IANA IPv6 Global Unicast Address Assignments".
const OUTSIDE: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1);

/// How the kernel says that it has no way there, or (`ipv6.disable=1`) no IPv6 at all.
const NO_IPV6: [Errno; 4] =
    [Errno::ENETUNREACH, Errno::EHOSTUNREACH, Errno::EOPNOTSUPP, Errno::EAFNOSUPPORT];

impl Machine {
    /// The interfaces, where the primary one has this MAC address, lowercase with colons. `None`
    /// where none has.
    pub async fn links(&self, mac: &str) -> anyhow::Result<Option<Links>> {
        if let Effects::Kept(_) = self.effects {
            return self.links_in_files(mac);
        }
        let handle = handle()?;
        let links = handle.link().get().execute();
        let seen: Vec<Seen> =
            links.map_ok(seen).try_collect().await.context("listing network interfaces")?;
        let Some(primary) = seen.iter().find(|link| link.mac == mac && !link.controlled) else {
            return Ok(None);
        };
        let others =
            seen.iter().filter(|link| link.index != primary.index && link.is_like(primary));
        Ok(Some(Links {
            primary: Link { name: primary.name.clone(), mtu_bytes: primary.mtu_bytes },
            others: others.map(|link| link.name.clone()).collect(),
            ipv6_router: ipv6_router(&handle, primary.index).await?,
        }))
    }

    /// In a folder `/sys/class/net` says what there is.
    fn links_in_files(&self, mac: &str) -> anyhow::Result<Option<Links>> {
        let Ok(links) = std::fs::read_dir(self.path("/sys/class/net")) else { return Ok(None) };
        for link in links {
            let name = link?.file_name().to_string_lossy().into_owned();
            let value = |what| self.read_text(format!("/sys/class/net/{name}/{what}"));
            if value("address")?.is_some_and(|address| address.trim() == mac) {
                let mtu_bytes = value("mtu")?.unwrap_or_default().trim().parse()?;
                let primary = Link { name, mtu_bytes };
                return Ok(Some(Links { primary, others: BTreeSet::new(), ipv6_router: None }));
            }
        }
        Ok(None)
    }
}

/// What tells one interface from another.
#[derive(Debug, Default)]
struct Seen {
    index: u32,
    name: String,
    mtu_bytes: u32,
    mac: String,
    /// `None` of a device that is one.
    kind: Option<InfoKind>,
    ethernet: bool,
    /// It is a port of a bridge or the like.
    controlled: bool,
}

impl Seen {
    /// ENIs are devices; bridges, tunnels and pods' ends of veths are of some kind. In a container
    /// an ENI is a veth itself, and pods' are ports of the bridge.
    fn is_like(&self, primary: &Self) -> bool {
        self.ethernet && !self.controlled && self.kind == primary.kind
    }
}

fn seen(link: LinkMessage) -> Seen {
    let mut seen = Seen {
        index: link.header.index,
        ethernet: link.header.link_layer_type == LinkLayerType::Ether,
        ..Seen::default()
    };
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(it) => seen.name = it,
            LinkAttribute::Mtu(it) => seen.mtu_bytes = it,
            LinkAttribute::Address(it) => seen.mac = with_colons(&it),
            LinkAttribute::Controller(_) => seen.controlled = true,
            LinkAttribute::LinkInfo(infos) => {
                seen.kind = infos.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    seen
}

/// One question to the kernel, whatever the number of its routes.
async fn ipv6_router(handle: &Handle, interface: u32) -> anyhow::Result<Option<Ipv6Addr>> {
    let question = RouteMessageBuilder::<Ipv6Addr>::new()
        .destination_prefix(OUTSIDE, 128)
        .output_interface(interface)
        .build();
    let mut question = question;
    // What a listing would be filtered by; a question for one way has none of it.
    question.header.table = 0;
    question.header.protocol = 0.into();
    question.header.kind = 0.into();
    let mut ways = handle.route().get(question).execute();
    let way = match ways.try_next().await.map_err(reason) {
        Ok(Some(way)) => way,
        Ok(None) => return Ok(None),
        Err(error) if NO_IPV6.iter().any(|errno| is(&error, *errno)) => return Ok(None),
        Err(error) => return Err(error).context("asking for the way to IPv6's internet"),
    };
    let (mut router, mut sender) = (None, None);
    for attribute in way.attributes {
        match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet6(it)) => router = Some(it),
            RouteAttribute::PrefSource(RouteAddress::Inet6(it)) => sender = Some(it),
            _ => {}
        }
    }
    Ok(router.filter(|_| sender.is_some_and(|sender| !sender.is_unicast_link_local())))
}

fn with_colons(address: &[u8]) -> String {
    let bytes: Vec<String> = address.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}
