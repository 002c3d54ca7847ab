//! Links and routes, by rtnetlink: `/sys/class/net` and `/proc/net` do not follow a process into
//! its network namespace, netlink does.

use anyhow::Context;
use futures_util::TryStreamExt;
use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::LinkAttribute;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteType,
};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::{Effects, Machine, lock};
use crate::plan::{ROUTE_PROTOCOL, Route, RouteKind};

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub name: String,
    pub mtu_bytes: u32,
}

impl Machine {
    /// The interface with this MAC address, lowercase with colons.
    pub async fn link_with_mac(&self, mac: &str) -> anyhow::Result<Option<Link>> {
        if let Effects::Kept(_) = self.effects {
            return self.link_in_files(mac);
        }
        let handle = handle()?;
        let mut links = handle.link().get().execute();
        while let Some(link) = links.try_next().await.context("listing network interfaces")? {
            let (mut name, mut mtu_bytes, mut address) = (String::new(), 0, String::new());
            for attribute in link.attributes {
                match attribute {
                    LinkAttribute::IfName(it) => name = it,
                    LinkAttribute::Mtu(it) => mtu_bytes = it,
                    LinkAttribute::Address(it) => address = with_colons(&it),
                    _ => {}
                }
            }
            if address == mac {
                return Ok(Some(Link { name, mtu_bytes }));
            }
        }
        Ok(None)
    }

    /// In a folder `/sys/class/net` says what there is.
    fn link_in_files(&self, mac: &str) -> anyhow::Result<Option<Link>> {
        let Ok(links) = std::fs::read_dir(self.path("/sys/class/net")) else { return Ok(None) };
        for link in links {
            let name = link?.file_name().to_string_lossy().into_owned();
            let value = |what| self.read_text(format!("/sys/class/net/{name}/{what}"));
            if value("address")?.is_some_and(|address| address.trim() == mac) {
                let mtu_bytes = value("mtu")?.unwrap_or_default().trim().parse()?;
                return Ok(Some(Link { name, mtu_bytes }));
            }
        }
        Ok(None)
    }

    /// Whether the kernel has exactly this route.
    pub async fn has_route(&self, route: &Route) -> anyhow::Result<bool> {
        if let Effects::Kept(folder) = &self.effects {
            return Ok(lock(folder).routes.contains(route));
        }
        let mut ours = RouteMessage::default();
        ours.header.address_family = family(&route.destination);
        let handle = handle()?;
        let mut routes = handle.route().get(ours).execute();
        while let Some(found) = routes.try_next().await.context("listing the kernel's routes")? {
            if is(&found, route) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds the route; one to the same destination with the same metric is replaced.
    pub async fn put_route(&self, route: &Route) -> anyhow::Result<()> {
        if let Effects::Kept(folder) = &self.effects {
            let mut folder = lock(folder);
            folder.log.push(format!("ip route replace blackhole {}", route.destination));
            folder.routes.insert(route.clone());
            return Ok(());
        }
        let request = handle()?.route().add(message(route)).replace();
        request
            .execute()
            .await
            .with_context(|| format!("adding the route to {}", route.destination))
    }
}

/// Keep it until the last answer has come: the connection ends with its last handle, and a listing
/// that it was still reading then looks complete.
fn handle() -> anyhow::Result<Handle> {
    let (connection, handle, _) =
        rtnetlink::new_connection().context("opening a netlink socket")?;
    tokio::spawn(connection);
    Ok(handle)
}

fn message(route: &Route) -> RouteMessage {
    let kind = match route.kind {
        RouteKind::Blackhole => RouteType::BlackHole,
    };
    let builder = RouteMessageBuilder::<std::net::IpAddr>::new()
        .destination_prefix(route.destination.network(), route.destination.prefix_len())
        .expect("a prefix length of an IpNet is one of its address family")
        .table_id(route.table)
        .priority(route.metric)
        .protocol(RouteProtocol::Other(route.protocol))
        .kind(kind);
    builder.build()
}

fn is(found: &RouteMessage, route: &Route) -> bool {
    let mut destination = None;
    let (mut metric, mut table) = (0, u32::from(found.header.table));
    for attribute in &found.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(ip)) => destination = Some((*ip).into()),
            RouteAttribute::Destination(RouteAddress::Inet6(ip)) => {
                destination = Some((*ip).into())
            }
            RouteAttribute::Priority(it) => metric = *it,
            RouteAttribute::Table(it) => table = *it,
            _ => {}
        }
    }
    let destination =
        destination.and_then(|ip| IpNet::new(ip, found.header.destination_prefix_length).ok());
    let kind = match found.header.kind {
        RouteType::BlackHole => Some(RouteKind::Blackhole),
        _ => None,
    };
    destination == Some(route.destination)
        && kind == Some(route.kind)
        && table == route.table
        && metric == route.metric
        && u8::from(found.header.protocol) == ROUTE_PROTOCOL
}

fn family(net: &IpNet) -> AddressFamily {
    match net {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    }
}

fn with_colons(address: &[u8]) -> String {
    let bytes: Vec<String> = address.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}
