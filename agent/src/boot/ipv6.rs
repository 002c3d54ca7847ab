//! Waiting for the instance's IPv6 address. EC2 has assigned it before the machine starts, and the
//! machine has it one to three seconds later than its IPv4 address: before each of a link-local
//! address, a DHCPv6 message and the address itself a host waits a random moment of up to a second
//! (RFC 4862, 5.4.2; RFC 8415, 18.2.1).
//!
//! A kubelet that is started sooner reports a Node that is Ready and has no address at all, for it
//! tells all addresses or none, and looks again ten seconds later.

use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{Instant, sleep};

use super::Done;
use super::stop::{Deadline, Stop};
use crate::host::Machine;
use crate::report::Outcome;

/// Between two questions to the kernel.
const PAUSE: Duration = Duration::from_millis(20);

/// The VPC's router as the kernel knows it, once the interface with this MAC address has an address
/// to send from.
pub async fn router(
    machine: &Machine,
    mac: &str,
    assigned: Ipv6Addr,
    deadline: Deadline,
) -> Result<Done<Ipv6Addr>, Stop> {
    let began = Instant::now();
    loop {
        let router = machine.links(mac).await?.and_then(|links| links.ipv6_router);
        if let Some(value) = router {
            let ms = began.elapsed().as_millis();
            let detail = format!("{assigned} after {ms} ms, through {value}");
            return Ok(Done { value, outcome: Outcome::Unchanged, detail });
        }
        if Instant::now() + PAUSE >= deadline.at {
            return Err(Stop::late(anyhow!(
                "the primary interface has no IPv6 address and router within {deadline}, although EC2 \
                 assigned {assigned}\n\
                 hint: the image must accept router advertisements and ask by DHCPv6, such as with \
                 `DHCP=yes` of systemd-networkd"
            )));
        }
        sleep(PAUSE).await;
    }
}
