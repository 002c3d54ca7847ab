//! The kernel's routes and policy rules, by rtnetlink. Only those with our protocol number are ever
//! read for what they are or removed, and nothing is replaced: an addition that meets what is there
//! already is refused by the kernel, and says so.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use anyhow::Context;
use futures_util::TryStreamExt;
use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType,
};
use nix::errno::Errno;
use rtnetlink::{Handle, RouteMessageBuilder};

use super::netlink::{handle, is, reason};
use super::rules;
use super::{Effects, Machine, lock};
use crate::plan::network::{PROTOCOL, PodNetwork, Route, Rule, Way};

/// What the kernel has under our number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    pub routes: Vec<Route>,
    pub rules: Vec<Rule>,
    /// How many messages it took to know that.
    pub messages: usize,
}

/// A route or a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    Route(Route),
    Rule(Rule),
}

/// What came of adding one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    Done,
    /// There is one in its place, of whoever has this protocol number.
    Taken {
        by: u8,
    },
}

/// Why the kernel does not have it as wanted.
#[derive(Debug, thiserror::Error)]
pub enum WayError {
    #[error("there is no network interface `{0}`")]
    NoInterface(String),
    #[error("the kernel says: {0}")]
    Kernel(#[source] io::Error),
}

pub(super) const FAMILIES: [AddressFamily; 2] = [AddressFamily::Inet, AddressFamily::Inet6];

impl Machine {
    /// All that is ours. Interfaces are told by name where `wanted` names them.
    pub async fn ways(&self, wanted: &PodNetwork) -> anyhow::Result<Ways> {
        if let Effects::Kept(folder) = &self.effects {
            let folder = lock(folder);
            let (routes, rules) = (folder.routes.clone(), folder.rules.clone());
            return Ok(Ways { routes, rules, messages: 0 });
        }
        let handle = handle()?;
        let mut names = BTreeMap::new();
        for name in wanted.interfaces() {
            if let Some(index) = index(&handle, name).await.context("looking for an interface")? {
                names.insert(index, name);
            }
        }
        let mut ways = Ways { messages: names.len(), ..Ways::default() };
        for family in FAMILIES {
            let routes = ours(&handle, family).await.map_err(reason);
            let routes = routes.context("listing the kernel's routes")?;
            ways.messages += routes.len();
            // A kernel without IPv6 answers with what it has, IPv4's.
            let asked = |it: &AddressFamily| *it == family;
            let routes =
                routes.iter().filter(|route| asked(&route.header.address_family) && is_ours(route));
            ways.routes.extend(routes.map(|found| route(found, &names)));
            let found = rules::all(&handle, family).await.map_err(reason);
            let found = found.context("listing the kernel's policy rules")?;
            ways.messages += found.len();
            let found = found.iter().filter(|it| asked(&it.header.family) && rules::is_ours(it));
            ways.rules.extend(found.map(rules::rule));
        }
        Ok(ways)
    }

    /// Adds it where nothing is in its place.
    pub async fn add(&self, entry: &Entry) -> anyhow::Result<Result<Added, WayError>> {
        if let Effects::Kept(folder) = &self.effects {
            let mut folder = lock(folder);
            folder.log.push(match entry {
                Entry::Route(route) => format!("ip route add {route}"),
                Entry::Rule(rule) => format!("ip rule add {rule}"),
            });
            match entry {
                Entry::Route(route) => folder.routes.push(route.clone()),
                Entry::Rule(rule) => folder.rules.push(rule.clone()),
            }
            return Ok(Ok(Added::Done));
        }
        let handle = handle()?;
        let added = match entry {
            Entry::Route(route) => match message(&handle, route).await? {
                Ok(message) => handle.route().add(message).execute().await,
                Err(missing) => return Ok(Err(missing)),
            },
            Entry::Rule(rule) => rules::add(&handle, rule).await,
        };
        Ok(match added.map_err(reason) {
            Ok(()) => Ok(Added::Done),
            Err(error) if is(&error, Errno::EEXIST) => {
                Ok(Added::Taken { by: holder(&handle, entry).await? })
            }
            Err(error) => Err(WayError::Kernel(error)),
        })
    }

    /// Removes it if it is ours; one that is gone already is well.
    pub async fn remove(&self, entry: &Entry) -> anyhow::Result<Result<(), WayError>> {
        if let Effects::Kept(folder) = &self.effects {
            let mut folder = lock(folder);
            folder.log.push(match entry {
                Entry::Route(route) => format!("ip route del {route}"),
                Entry::Rule(rule) => format!("ip rule del {rule}"),
            });
            match entry {
                Entry::Route(route) => folder.routes.retain(|known| known != route),
                Entry::Rule(rule) => folder.rules.retain(|known| known != rule),
            }
            return Ok(Ok(()));
        }
        let handle = handle()?;
        let removed = match entry {
            Entry::Route(route) => {
                let message = farewell(&handle, route).await?;
                handle.route().del(message).execute().await
            }
            Entry::Rule(rule) => rules::remove(&handle, rule).await,
        };
        Ok(match removed.map_err(reason) {
            Ok(()) => Ok(()),
            Err(error) if is(&error, Errno::ESRCH) || is(&error, Errno::ENOENT) => Ok(()),
            Err(error) => Err(WayError::Kernel(error)),
        })
    }
}

/// The kernel filters by what the header of a strict listing names.
async fn ours(
    handle: &Handle,
    family: AddressFamily,
) -> Result<Vec<RouteMessage>, rtnetlink::Error> {
    let mut filter = RouteMessage::default();
    filter.header.address_family = family;
    filter.header.protocol = RouteProtocol::Other(PROTOCOL);
    handle.route().get(filter).execute().try_collect().await
}

fn is_ours(route: &RouteMessage) -> bool {
    u8::from(route.header.protocol) == PROTOCOL
}

/// The protocol number of who has this place. Asked only when an addition met somebody: this
/// listing has a table's other routes in it.
async fn holder(handle: &Handle, entry: &Entry) -> anyhow::Result<u8> {
    let wanted = match entry {
        Entry::Route(route) => route,
        Entry::Rule(rule) => return rules::holder(handle, rule).await,
    };
    let mut filter = RouteMessage::default();
    filter.header.address_family = family(&wanted.destination);
    filter.header.table = u8::try_from(wanted.table).unwrap_or_default();
    let mut routes = handle.route().get(filter).execute();
    while let Some(found) = routes.try_next().await.context("listing the kernel's routes")? {
        let same = route(&found, &BTreeMap::new());
        if (same.destination, same.table, same.metric)
            == (wanted.destination, wanted.table, wanted.metric)
        {
            return Ok(found.header.protocol.into());
        }
    }
    // Gone in between; it was somebody's.
    Ok(RouteProtocol::Unspec.into())
}

/// As the kernel has it. A shape that we never make (several next hops, a type of its own) becomes
/// a way that is never wanted.
fn route(found: &RouteMessage, names: &BTreeMap<u32, &str>) -> Route {
    let everywhere: IpAddr = match found.header.address_family {
        AddressFamily::Inet6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
        _ => std::net::Ipv4Addr::UNSPECIFIED.into(),
    };
    let (mut destination, mut metric, mut table) = (everywhere, 0, u32::from(found.header.table));
    let (mut interface, mut gateway, mut source) = (String::new(), None, None);
    let mut mtu_bytes = None;
    for attribute in &found.attributes {
        match attribute {
            RouteAttribute::Destination(it) => destination = ip(it).unwrap_or(destination),
            RouteAttribute::Priority(it) => metric = *it,
            RouteAttribute::Table(it) => table = *it,
            RouteAttribute::Gateway(it) => gateway = ip(it),
            RouteAttribute::PrefSource(it) => source = ip(it),
            RouteAttribute::Oif(it) => {
                interface =
                    names.get(it).map_or_else(|| format!("{it}"), |name| (*name).to_owned());
            }
            RouteAttribute::Metrics(all) => {
                mtu_bytes = all.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(it) => Some(*it),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    let way = match found.header.kind {
        RouteType::BlackHole => Way::Blackhole,
        RouteType::Unicast => Way::Out { interface, gateway, source, mtu_bytes },
        other => {
            let interface = format!("{other:?}");
            Way::Out { interface, gateway: None, source: None, mtu_bytes: None }
        }
    };
    let destination = IpNet::new_assert(destination, found.header.destination_prefix_length);
    Route { destination, table, way, metric }
}

/// On link: the way to the router's own address may be gone together with ours, and need not come
/// back first.
async fn message(handle: &Handle, route: &Route) -> anyhow::Result<Result<RouteMessage, WayError>> {
    let mut message = key(route);
    message.header.scope = RouteScope::Universe;
    match &route.way {
        Way::Blackhole => message.header.kind = RouteType::BlackHole,
        Way::Out { interface, gateway, source, mtu_bytes } => {
            let Some(index) = index(handle, interface).await? else {
                return Ok(Err(WayError::NoInterface(interface.clone())));
            };
            message.header.kind = RouteType::Unicast;
            message.attributes.push(RouteAttribute::Oif(index));
            if let Some(gateway) = gateway {
                message.header.flags = RouteFlags::Onlink;
                message.attributes.push(RouteAttribute::Gateway((*gateway).into()));
            } else if route.destination.addr().is_ipv4() {
                message.header.scope = RouteScope::Link;
            }
            let source = source.map(|it| RouteAttribute::PrefSource(it.into()));
            let mtu = mtu_bytes.map(|it| RouteAttribute::Metrics(vec![RouteMetric::Mtu(it)]));
            message.attributes.extend(source.into_iter().chain(mtu));
        }
    }
    Ok(Ok(message))
}

/// What names a route to be removed: nothing that is not under our number fits it. With its next
/// hop, since of an IPv6 route with several the others may be somebody else's.
async fn farewell(handle: &Handle, route: &Route) -> anyhow::Result<RouteMessage> {
    let mut message = key(route);
    message.header.scope = RouteScope::NoWhere;
    message.header.kind = RouteType::Unspec;
    if let Way::Out { interface, gateway, .. } = &route.way {
        if let Some(index) = index(handle, interface).await? {
            message.attributes.push(RouteAttribute::Oif(index));
        }
        message.attributes.extend(gateway.map(|it| RouteAttribute::Gateway(it.into())));
    }
    Ok(message)
}

fn key(route: &Route) -> RouteMessage {
    RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(route.destination.network(), route.destination.prefix_len())
        .expect("a prefix length of an IpNet is one of its address family")
        .table_id(route.table)
        .priority(route.metric)
        .protocol(RouteProtocol::Other(PROTOCOL))
        .build()
}

async fn index(handle: &Handle, name: &str) -> anyhow::Result<Option<u32>> {
    // The kernel takes no longer name, not even to say that there is none.
    if name.len() > 15 {
        return Ok(None);
    }
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    match links.try_next().await.map_err(reason) {
        Ok(found) => Ok(found.map(|link| link.header.index)),
        Err(error) if is(&error, Errno::ENODEV) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("looking for the interface `{name}`")),
    }
}

fn ip(address: &netlink_packet_route::route::RouteAddress) -> Option<IpAddr> {
    use netlink_packet_route::route::RouteAddress;
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

pub(super) fn family(net: &IpNet) -> AddressFamily {
    match net {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    }
}
