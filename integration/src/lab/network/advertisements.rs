//! Router advertisements on one interface (RFC 4861, 6.2), as a VPC's router sends them: addresses
//! are to be had by DHCPv6 and not made by the host, the subnet is on the link, and the router is
//! the way to everything else for half an hour.
//!
//! Seen on instances: pull request 94 of amazonlinux/amazon-ec2-net-utils, "IPv6 route validation".

use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::Duration;

use anyhow::Result;
use ipnet::Ipv6Net;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, sockopt};
use tokio::net::UdpSocket;

use super::namespace::Namespace;

const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
/// "Managed address configuration": there is DHCPv6.
const MANAGED: u8 = 0x80;
const ROUTER_LIFETIME_SECONDS: u16 = 1800;
const PREFIX_INFORMATION: u8 = 3;
/// In units of eight bytes.
const PREFIX_INFORMATION_LENGTH: u8 = 4;
const ON_LINK: u8 = 0x80;
const FOR_EVER: u32 = u32::MAX;
/// Who receives another one knows that it came through a router, and drops it.
const HOP_LIMIT: i32 = 255;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// How often it is said without being asked.
const INTERVAL: Duration = Duration::from_secs(200);

/// A socket in the router that hears what ICMPv6 comes in by this interface. A raw socket is used
/// like one of UDP, with a port that means nothing.
pub fn listen(router: &Namespace, interface: &str) -> Result<UdpSocket> {
    let socket = router.inside(|| {
        let socket = nix::sys::socket::socket(
            AddressFamily::Inet6,
            SockType::Raw,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            SockProtocol::IcmpV6,
        )?;
        setsockopt(&socket, sockopt::BindToDevice, &interface.into())?;
        setsockopt(&socket, sockopt::Ipv6MulticastHops, &HOP_LIMIT)?;
        Ok(std::net::UdpSocket::from(socket))
    })?;
    Ok(UdpSocket::from_std(socket)?)
}

/// Advertises to whoever asks, and now and then to everybody, until the interface goes away.
pub async fn serve(socket: UdpSocket, subnet: Ipv6Net) {
    let everybody = SocketAddrV6::new(ALL_NODES, 0, 0, 0);
    let advertisement = advertisement(subnet);
    let mut due = tokio::time::interval(INTERVAL);
    let mut buffer = [0; 1500];
    loop {
        tokio::select! {
            _ = due.tick() => {}
            received = socket.recv_from(&mut buffer) => match received {
                Ok(_) if buffer[0] == SOLICITATION => {}
                Ok(_) => continue,
                Err(_) => return,
            },
        }
        // While the node is off its link is down.
        if let Err(error) = socket.send_to(&advertisement, everybody).await {
            tracing::debug!(%error, %subnet, "cannot advertise");
        }
    }
}

/// The kernel fills in the checksum.
fn advertisement(subnet: Ipv6Net) -> Vec<u8> {
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, 0, MANAGED];
    message.extend(ROUTER_LIFETIME_SECONDS.to_be_bytes());
    // Reachable time and retransmission timer: left to the host.
    message.extend([0; 8]);
    message.extend([PREFIX_INFORMATION, PREFIX_INFORMATION_LENGTH, subnet.prefix_len(), ON_LINK]);
    message.extend(FOR_EVER.to_be_bytes());
    message.extend(FOR_EVER.to_be_bytes());
    message.extend([0; 4]);
    message.extend(subnet.network().octets());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertisement_says_managed_on_link_and_not_autonomous() {
        let message = advertisement("2001:db8:0:1::/64".parse().unwrap());
        let wanted = [
            "86000000 00800708 00000000 00000000",
            "03044080 ffffffff ffffffff 00000000",
            "20010db8 00000001 00000000 00000000",
        ];
        assert_eq!(hex::encode(message), wanted.concat().replace(' ', ""));
    }
}
