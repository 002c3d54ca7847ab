//! Whether the kernel has a way to an address, and waiting for one.

use std::net::Ipv4Addr;

use anyhow::Context;
use futures_util::TryStreamExt;
use nix::errno::Errno;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::{Handle, MulticastGroup, RouteMessageBuilder};

use super::monitor::Listener;
use super::netlink::{handle, is, reason};
use super::{Effects, Machine};

/// How the kernel says that it has none, or a route that forbids it.
const NO_WAY: [Errno; 3] = [Errno::ENETUNREACH, Errno::EHOSTUNREACH, Errno::EACCES];

impl Machine {
    /// Returns when there is a route by which packets to this address leave: at once, or when the
    /// kernel tells of it. Until then it sleeps, and takes no time from who brings the network up.
    pub async fn until_reachable(&self, address: Ipv4Addr) -> anyhow::Result<()> {
        if let Effects::Kept(_) = self.effects {
            return Ok(());
        }
        // From before the first look on: what comes in between is heard.
        let groups = [MulticastGroup::Ipv4Route, MulticastGroup::Ipv4Rule, MulticastGroup::Link];
        let routes = Listener::new(NETLINK_ROUTE, &groups.map(|group| group as u32), None);
        let mut routes = routes.context("listening to what the kernel tells of routes")?;
        let handle = handle()?;
        while !is_reachable(&handle, address).await? {
            match routes.next(|_| true).await {
                // There were more than fit: that is a reason to look.
                Err(error) if !is(&error, Errno::ENOBUFS) => {
                    return Err(error).context("listening to what the kernel tells of routes");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// One question to the kernel, whatever the number of its routes.
async fn is_reachable(handle: &Handle, address: Ipv4Addr) -> anyhow::Result<bool> {
    let mut question =
        RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(address, 32).build();
    // What a listing would be filtered by; a question for one way has none of it.
    question.header.table = 0;
    question.header.protocol = 0.into();
    question.header.kind = 0.into();
    match handle.route().get(question).execute().try_next().await.map_err(reason) {
        Ok(way) => Ok(way.is_some()),
        Err(error) if NO_WAY.iter().any(|errno| is(&error, *errno)) => Ok(false),
        Err(error) => Err(error).with_context(|| format!("asking for the way to {address}")),
    }
}
