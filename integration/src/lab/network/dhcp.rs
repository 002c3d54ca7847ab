//! A DHCP responder for one interface (RFC 2131, 2132): gives the one address that EC2's state
//! says, with the options that a VPC gives.
//!
//! Nodes take their address by DHCP from systemd-networkd because instances do: a node that waits
//! for the network, and a networkd that sweeps foreign routes when it restarts, are then real.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context, Result};
use tokio::net::UdpSocket;

use super::namespace::Namespace;
use super::router::{Attachment, MTU, RESOLVER, TIME};

/// "The lease duration … is 3600 seconds" on EC2.
const LEASE_SECONDS: u32 = 3600;

const MAGIC: [u8; 4] = [99, 130, 83, 99];
/// Where the options begin, after the magic.
const OPTIONS: usize = 240;
const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;
const OFFER: u8 = 2;
const ACK: u8 = 5;

/// What the VPC tells an interface.
#[derive(Clone, Debug)]
pub struct Offer {
    pub attachment: Attachment,
    pub resolver: Ipv4Addr,
    pub domain: String,
}

/// A socket in the router that hears only this interface.
pub fn listen(router: &Namespace, offer: &Offer) -> Result<UdpSocket> {
    let interface = offer.attachment.router_interface();
    let socket = router.inside(|| {
        let socket = nix::sys::socket::socket(
            nix::sys::socket::AddressFamily::Inet,
            nix::sys::socket::SockType::Datagram,
            nix::sys::socket::SockFlag::SOCK_NONBLOCK | nix::sys::socket::SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        use nix::sys::socket::{bind, setsockopt, sockopt};
        setsockopt(&socket, sockopt::BindToDevice, &interface.clone().into())?;
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        setsockopt(&socket, sockopt::Broadcast, &true)?;
        let any = nix::sys::socket::SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 67));
        bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &any)
            .with_context(|| format!("cannot listen for DHCP on {interface}"))?;
        Ok(std::net::UdpSocket::from(socket))
    })?;
    Ok(UdpSocket::from_std(socket)?)
}

/// Answers until the interface goes away.
pub async fn serve(socket: UdpSocket, offer: Offer) {
    let mut buffer = [0; 1500];
    while let Ok((length, _)) = socket.recv_from(&mut buffer).await {
        if let Some(answer) = answer(&buffer[..length], &offer) {
            // A client without an address cannot be written to by unicast from a plain socket.
            let everybody = SocketAddrV4::new(Ipv4Addr::BROADCAST, 68);
            if let Err(error) = socket.send_to(&answer, everybody).await {
                tracing::warn!(%error, instance = offer.attachment.instance_id, "cannot answer DHCP");
            }
        }
    }
}

/// The answer to a message, if it is one that is answered.
fn answer(message: &[u8], offer: &Offer) -> Option<Vec<u8>> {
    if message.len() < OPTIONS || message[0] != 1 || message[236..OPTIONS] != MAGIC {
        return None;
    }
    let kind = match option(&message[OPTIONS..], 53)? {
        [DISCOVER] => OFFER,
        [REQUEST] => ACK,
        _ => return None,
    };
    let gateway = offer.attachment.gateway();
    let mut answer = vec![0; OPTIONS];
    answer[..3].copy_from_slice(&[2, 1, 6]);
    answer[4..8].copy_from_slice(&message[4..8]);
    answer[10..12].copy_from_slice(&message[10..12]);
    answer[16..20].copy_from_slice(&offer.attachment.address.octets());
    answer[20..24].copy_from_slice(&gateway.octets());
    answer[28..44].copy_from_slice(&message[28..44]);
    answer[236..OPTIONS].copy_from_slice(&MAGIC);
    let mut put = |code: u8, value: &[u8]| {
        answer.extend([code, value.len() as u8]);
        answer.extend(value);
    };
    put(53, &[kind]);
    put(54, &gateway.octets());
    put(51, &LEASE_SECONDS.to_be_bytes());
    put(1, &offer.attachment.subnet.netmask().octets());
    put(3, &gateway.octets());
    put(6, &[offer.resolver.octets(), RESOLVER.octets()].concat());
    put(15, offer.domain.as_bytes());
    put(26, &MTU.to_be_bytes());
    put(42, &TIME.octets());
    answer.push(255);
    Some(answer)
}

fn option(mut options: &[u8], code: u8) -> Option<&[u8]> {
    loop {
        match *options {
            [0, ref rest @ ..] => options = rest,
            [found, length, ref rest @ ..] if found != 255 => {
                let value = rest.get(..usize::from(length))?;
                if found == code {
                    return Some(value);
                }
                options = &rest[usize::from(length)..];
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        Offer {
            attachment: Attachment {
                instance_id: "i-01".into(),
                mac: "02:00:00:00:00:01".into(),
                address: Ipv4Addr::new(10, 0, 1, 17),
                subnet: "10.0.1.0/24".parse().unwrap(),
                ipv6: None,
            },
            resolver: Ipv4Addr::new(10, 0, 0, 2),
            domain: "eu-west-1.compute.internal".into(),
        }
    }

    fn message(kind: u8) -> Vec<u8> {
        let mut message = vec![0; OPTIONS];
        message[0] = 1;
        message[4..8].copy_from_slice(&[1, 2, 3, 4]);
        message[236..OPTIONS].copy_from_slice(&MAGIC);
        message.extend([0, 61, 2, 9, 9, 53, 1, kind, 255]);
        message
    }

    #[test]
    fn a_discover_is_offered_the_address_and_a_request_is_acknowledged() {
        for (asked, told) in [(DISCOVER, OFFER), (REQUEST, ACK)] {
            let answer = answer(&message(asked), &offer()).unwrap();
            assert_eq!(answer[4..8], [1, 2, 3, 4]);
            assert_eq!(answer[16..20], [10, 0, 1, 17]);
            assert_eq!(option(&answer[OPTIONS..], 53), Some(&[told][..]));
            assert_eq!(option(&answer[OPTIONS..], 3), Some(&[10, 0, 1, 1][..]));
            assert_eq!(option(&answer[OPTIONS..], 26), Some(&[0x23, 0x29][..]));
        }
    }

    #[test]
    fn a_release_and_rubbish_are_not_answered() {
        assert_eq!(answer(&message(7), &offer()), None);
        assert_eq!(answer(&[0; 20], &offer()), None);
        assert_eq!(option(&[53, 9, 1], 53), None);
    }
}
