//! The VPC's resolver ("DNS attributes for your VPC"): answers A queries over UDP for the names
//! that it is given, says that there is nothing else of a known name, and that other names do not
//! exist. It asks nobody, so nothing in a lab reaches the internet by name.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;

use super::namespace::Namespace;

/// Short, since instances come and go; AWS' own names have 5 to 60 s.
const TTL_SECONDS: u32 = 5;

/// Looks a name up: lower case, without the last dot. None: there is no such name.
pub type Lookup = Arc<dyn Fn(&str) -> Option<Vec<Ipv4Addr>> + Send + Sync>;

/// A socket at port 53 of this address in the router.
pub fn listen(router: &Namespace, address: Ipv4Addr) -> Result<UdpSocket> {
    let socket = router.inside(|| {
        let socket = std::net::UdpSocket::bind(SocketAddr::from((address, 53)))
            .with_context(|| format!("cannot listen for DNS on {address}"))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    })?;
    Ok(UdpSocket::from_std(socket)?)
}

/// Answers until the task is dropped.
pub async fn serve(socket: UdpSocket, lookup: Lookup) {
    let mut buffer = [0; 4096];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let Some(answer) = answer(&buffer[..length], &lookup) else { continue };
        if let Err(error) = socket.send_to(&answer, from).await {
            tracing::warn!(%error, %from, "cannot answer DNS");
        }
    }
}

fn answer(message: &[u8], lookup: &Lookup) -> Option<Vec<u8>> {
    let request = Message::from_vec(message).ok()?;
    let query = request.queries.first()?.clone();
    if request.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut answer = Message::response(request.metadata.id, request.metadata.op_code);
    answer.metadata.recursion_desired = request.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    let name = query.name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
    match lookup(&name) {
        None => answer.metadata.response_code = ResponseCode::NXDomain,
        Some(addresses) if query.query_type == RecordType::A => {
            answer.add_answers(
                addresses.into_iter().map(|a| {
                    Record::from_rdata(query.name.clone(), TTL_SECONDS, RData::A(a.into()))
                }),
            );
        }
        Some(_) => {}
    }
    answer.add_query(query);
    answer.to_vec().ok()
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use hickory_proto::rr::Name;

    use super::*;

    fn ask(name: &str, kind: RecordType) -> Message {
        let lookup: Lookup = Arc::new(|name| {
            (name == "s3.eu-west-1.amazonaws.com").then(|| vec![[192, 0, 2, 10].into()])
        });
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        Message::from_vec(&answer(&message.to_vec().unwrap(), &lookup).unwrap()).unwrap()
    }

    #[test]
    fn a_known_name_has_an_address_whatever_its_case() {
        let answer = ask("S3.eu-west-1.amazonaws.com.", RecordType::A);
        assert_eq!(answer.answers.len(), 1);
        assert_eq!(answer.answers[0].data, RData::A(Ipv4Addr::new(192, 0, 2, 10).into()));
    }

    #[test]
    fn a_known_name_without_an_ipv6_address_is_not_an_unknown_name() {
        let answer = ask("s3.eu-west-1.amazonaws.com.", RecordType::AAAA);
        assert_eq!(
            (answer.metadata.response_code, answer.answers.len()),
            (ResponseCode::NoError, 0)
        );
        assert_eq!(
            ask("example.org.", RecordType::A).metadata.response_code,
            ResponseCode::NXDomain
        );
    }
}
