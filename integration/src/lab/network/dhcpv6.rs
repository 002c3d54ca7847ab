//! A DHCPv6 responder for one interface (RFC 8415): gives the one address that EC2's state says, and
//! nothing else. An interface without an address is not answered, as on EC2.
//!
//! It takes four messages: a client that asks for two (rapid commit) is offered first, too, as
//! RFC 8415, 18.3.1 has it of a server that does not do that.

use std::net::{Ipv6Addr, SocketAddrV6};

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn6, bind, setsockopt, sockopt};
use tokio::net::UdpSocket;

use super::namespace::Namespace;

/// All_DHCP_Relay_Agents_and_Servers.
const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
const PORT: u16 = 547;

/// What instances show: pull requests 76 and 94 of amazonlinux/amazon-ec2-net-utils.
const PREFERRED_SECONDS: u32 = 140;
const VALID_SECONDS: u32 = 450;

/// A DUID by link-layer address (11.4): Ethernet, and one that is nobody's.
const SERVER_DUID: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 1];

/// Message types.
mod message {
    pub const SOLICIT: u8 = 1;
    pub const ADVERTISE: u8 = 2;
    pub const REQUEST: u8 = 3;
    pub const CONFIRM: u8 = 4;
    pub const RENEW: u8 = 5;
    pub const REBIND: u8 = 6;
    pub const REPLY: u8 = 7;
    pub const RELEASE: u8 = 8;
}

/// Options.
mod option {
    pub const CLIENT: u16 = 1;
    pub const SERVER: u16 = 2;
    pub const ADDRESSES: u16 = 3;
    pub const ADDRESS: u16 = 5;
}

/// A socket in the router that hears only this interface.
pub fn listen(router: &Namespace, interface: &str) -> Result<UdpSocket> {
    let socket = router.inside(|| {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket =
            nix::sys::socket::socket(AddressFamily::Inet6, SockType::Datagram, flags, None)?;
        setsockopt(&socket, sockopt::BindToDevice, &interface.into())?;
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        let any = SockaddrIn6::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, PORT, 0, 0));
        bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &any)
            .with_context(|| format!("cannot listen for DHCPv6 on {interface}"))?;
        let socket = std::net::UdpSocket::from(socket);
        socket.join_multicast_v6(&SERVERS, nix::net::if_::if_nametoindex(interface)?)?;
        Ok(socket)
    })?;
    Ok(UdpSocket::from_std(socket)?)
}

/// Answers until the interface goes away.
pub async fn serve(socket: UdpSocket, address: Ipv6Addr) {
    let mut buffer = [0; 1500];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        if let Some(answer) = answer(&buffer[..length], address)
            && let Err(error) = socket.send_to(&answer, from).await
        {
            tracing::warn!(%error, %address, "cannot answer DHCPv6");
        }
    }
}

/// The answer to a message, if it is one that is answered.
fn answer(asked: &[u8], address: Ipv6Addr) -> Option<Vec<u8>> {
    let (head, options) = asked.split_at_checked(4)?;
    let kind = match head[0] {
        message::SOLICIT => message::ADVERTISE,
        message::REQUEST
        | message::CONFIRM
        | message::RENEW
        | message::REBIND
        | message::RELEASE => message::REPLY,
        _ => return None,
    };
    let client = find(options, option::CLIENT)?;
    if find(options, option::SERVER).is_some_and(|server| server != SERVER_DUID) {
        return None;
    }
    let mut answer = vec![kind, head[1], head[2], head[3]];
    put(&mut answer, option::CLIENT, client);
    put(&mut answer, option::SERVER, &SERVER_DUID);
    // Its first four bytes are the client's number for it; a release gets nothing back.
    let number = find(options, option::ADDRESSES).and_then(|addresses| addresses.get(..4));
    if let Some(number) = number.filter(|_| head[0] != message::RELEASE) {
        put(&mut answer, option::ADDRESSES, &association(number, address));
    }
    Some(answer)
}

/// Zeros where times to renew could be: the client takes half of the preferred lifetime.
fn association(number: &[u8], address: Ipv6Addr) -> Vec<u8> {
    let lifetimes = [PREFERRED_SECONDS.to_be_bytes(), VALID_SECONDS.to_be_bytes()].concat();
    let mut association = [number, &[0; 8]].concat();
    put(&mut association, option::ADDRESS, &[&address.octets()[..], &lifetimes].concat());
    association
}

fn put(message: &mut Vec<u8>, code: u16, value: &[u8]) {
    message.extend(code.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
}

fn find(mut options: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (head, rest) = options.split_at_checked(4)?;
        let number = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let (value, rest) = rest.split_at_checked(usize::from(number(2)))?;
        if number(0) == wanted {
            return Some(value);
        }
        options = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0xa);

    fn asked(kind: u8, server: Option<&[u8]>) -> Vec<u8> {
        let mut message = vec![kind, 1, 2, 3];
        put(&mut message, option::CLIENT, &[7, 7]);
        if let Some(server) = server {
            put(&mut message, option::SERVER, server);
        }
        put(&mut message, option::ADDRESSES, &[9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
        message
    }

    #[test]
    fn a_solicit_is_offered_the_address_and_a_request_has_it() {
        let server = Some(&SERVER_DUID[..]);
        for (kind, server, told) in [
            (message::SOLICIT, None, message::ADVERTISE),
            (message::REQUEST, server, message::REPLY),
            (message::RENEW, server, message::REPLY),
            (message::REBIND, None, message::REPLY),
        ] {
            let answer = answer(&asked(kind, server), ADDRESS).unwrap();
            assert_eq!(answer[..4], [told, 1, 2, 3]);
            assert_eq!(find(&answer[4..], option::CLIENT), Some(&[7, 7][..]));
            assert_eq!(find(&answer[4..], option::SERVER), server.or(Some(&SERVER_DUID[..])));
            let association = find(&answer[4..], option::ADDRESSES).unwrap();
            assert_eq!(association[..12], [9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
            let held = find(&association[12..], option::ADDRESS).unwrap();
            assert_eq!(held[..16], ADDRESS.octets());
            assert_eq!(held[16..], [0, 0, 0, 140, 0, 0, 1, 194]);
        }
    }

    #[test]
    fn a_release_gets_no_address_and_rubbish_and_another_servers_no_answer() {
        let released = answer(&asked(message::RELEASE, Some(&SERVER_DUID)), ADDRESS).unwrap();
        assert_eq!(released[0], message::REPLY);
        assert_eq!(find(&released[4..], option::ADDRESSES), None);
        assert_eq!(answer(&asked(message::REQUEST, Some(&[0, 3])), ADDRESS), None);
        assert_eq!(answer(&asked(message::REPLY, None), ADDRESS), None);
        assert_eq!(answer(&[1, 1, 2, 3, 0, 1, 0, 99], ADDRESS), None);
        assert_eq!(answer(&[1], ADDRESS), None);
    }
}
