//! The Amazon Time Sync Service as a VPC has it: an SNTP responder (RFC 4330) that tells this
//! machine's time. The region's own clock, which tests move, is not what machines go by.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use tokio::net::UdpSocket;

use super::namespace::Namespace;
use super::router::TIME;

const PORT: u16 = 123;
const LENGTH: usize = 48;
const CLIENT: u8 = 3;
const SERVER: u8 = 4;
/// "Amazon Time Sync": its machines are this far from a reference clock.
const STRATUM: u8 = 3;
/// Seconds of NTP's era 0, which begins in 1900, before those of Unix.
const UNIX_ERA: u64 = 2_208_988_800;
/// A quarter of a millisecond, in seconds of 16 and 16 bits: a server of which nothing is known is not
/// believed.
const DISPERSION: u32 = 16;

/// A socket in the router at the service's address.
pub fn listen(router: &Namespace) -> Result<UdpSocket> {
    let socket = router.inside(|| {
        let socket = std::net::UdpSocket::bind(SocketAddr::from((TIME, PORT)))
            .with_context(|| format!("cannot listen for NTP on {TIME}"))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    })?;
    Ok(UdpSocket::from_std(socket)?)
}

/// Answers until the task is dropped.
pub async fn serve(socket: UdpSocket) {
    let mut buffer = [0; 512];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let Some(answer) = answer(&buffer[..length], now) else { continue };
        if let Err(error) = socket.send_to(&answer, from).await {
            tracing::warn!(%error, %from, "cannot tell the time");
        }
    }
}

/// The answer to a client's question; `now` is since the Unix epoch.
fn answer(question: &[u8], now: Duration) -> Option<[u8; LENGTH]> {
    let first = *question.first().filter(|_| question.len() >= LENGTH)?;
    let (version, mode) = (first >> 3 & 7, first & 7);
    if mode != CLIENT {
        return None;
    }
    let now = timestamp(now);
    let mut answer = [0; LENGTH];
    answer[0] = version << 3 | SERVER;
    answer[1] = STRATUM;
    // The interval that the client asks at, and a precision of a microsecond: 2 to the power of -20.
    answer[2] = question[2];
    answer[3] = 0_u8.wrapping_sub(20);
    answer[4..8].copy_from_slice(&DISPERSION.to_be_bytes());
    answer[8..12].copy_from_slice(&DISPERSION.to_be_bytes());
    answer[12..16].copy_from_slice(&TIME.octets());
    answer[16..24].copy_from_slice(&now);
    // By what the client sent it knows the answer as its own.
    answer[24..32].copy_from_slice(&question[40..48]);
    answer[32..40].copy_from_slice(&now);
    answer[40..48].copy_from_slice(&now);
    Some(answer)
}

/// Seconds since 1900 and a fraction of 32 bits.
fn timestamp(since_unix: Duration) -> [u8; 8] {
    let seconds = since_unix.as_secs() + UNIX_ERA;
    let fraction = (u64::from(since_unix.subsec_nanos()) << 32) / 1_000_000_000;
    // Era 1 begins in 2036 and is told by the receiver.
    (seconds << 32 | fraction).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_with_the_time_and_with_what_it_is_known_by() {
        let mut question = [0; LENGTH];
        question[0] = 4 << 3 | CLIENT;
        question[2] = 6;
        question[40..48].copy_from_slice(b"whatever");
        let answer = answer(&question, Duration::new(1, 500_000_000)).unwrap();
        assert_eq!(answer[..4], [4 << 3 | SERVER, STRATUM, 6, 0xec]);
        assert_eq!(&answer[24..32], b"whatever");
        // 1970-01-01T00:00:01.5Z
        assert_eq!(answer[40..48], [0x83, 0xaa, 0x7e, 0x81, 0x80, 0, 0, 0]);
    }

    #[test]
    fn another_server_and_rubbish_are_not_answered() {
        let mut other = [0; LENGTH];
        other[0] = 4 << 3 | SERVER;
        assert_eq!(answer(&other, Duration::ZERO), None);
        assert_eq!(answer(&[4 << 3 | CLIENT], Duration::ZERO), None);
        assert_eq!(answer(&[], Duration::ZERO), None);
    }
}
