//! What tells a machine's interface its addresses: DHCP and, where its subnet has IPv6, the router's
//! advertisements and DHCPv6.

use anyhow::Result;
use tokio::task::JoinHandle;

use super::namespace::Namespace;
use super::{advertisements, dhcp, dhcpv6};

/// It ends when dropped.
pub struct Provisioning(Vec<JoinHandle<()>>);

impl Provisioning {
    pub fn start(router: &Namespace, offer: dhcp::Offer) -> Result<Self> {
        let interface = offer.attachment.router_interface();
        let mut started = Self(Vec::new());
        if let Some(ipv6) = offer.attachment.ipv6 {
            let socket = advertisements::listen(router, &interface)?;
            started.0.push(tokio::spawn(advertisements::serve(socket, ipv6.subnet)));
            if let Some(address) = ipv6.address {
                let socket = dhcpv6::listen(router, &interface)?;
                started.0.push(tokio::spawn(dhcpv6::serve(socket, address)));
            }
        }
        let socket = dhcp::listen(router, &offer)?;
        started.0.push(tokio::spawn(dhcp::serve(socket, offer)));
        Ok(started)
    }
}

impl Drop for Provisioning {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}
