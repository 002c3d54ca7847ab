//! What the router drops, and how much of it: the source/destination check, and packets that their
//! route leads nowhere. "Elastic network interfaces", source/destination checking; "Configure route
//! tables".

use std::io::Write;
use std::net::IpAddr;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::forwarding::{ABSENT, BLACKHOLE, NO_ROUTE, OUTSIDE, Plan};
use super::namespace::Namespace;
use crate::lab::run::{command, output};

/// How many packets were dropped since the lab began, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drops {
    /// The subnet's route table has no route for the destination.
    pub no_route: u64,
    /// The route's target is not there.
    pub blackhole: u64,
    /// An address of the VPC that no interface has.
    pub absent: u64,
    /// From an address that is not the sending interface's.
    pub source_check: u64,
    /// For an address that is not the receiving interface's.
    pub destination_check: u64,
    /// From an address that the internet gateway does not know.
    pub gateway: u64,
}

/// The interfaces of nodes are called `v…`. A node that asks for an address has none yet. What the
/// router itself broadcasts comes back to it as if from a node (5, PACKET_LOOPBACK of linux/if_packet.h).
fn rules() -> String {
    format!(
        "table inet vpc {{
  counter no_route {{ }}
  counter blackhole {{ }}
  counter absent {{ }}
  counter source_check {{ }}
  counter destination_check {{ }}
  counter gateway {{ }}
  set known4 {{ type ipv4_addr; }}
  set known6 {{ type ipv6_addr; }}
  set unchecked {{ type ifname; }}
  set own4 {{ type ifname . ipv4_addr; }}
  set own6 {{ type ifname . ipv6_addr; }}
  chain from {{
    type filter hook prerouting priority raw; policy accept;
    iifname \"v*\" iifname != @unchecked jump source
  }}
  chain source {{
    meta pkttype 5 return
    ip saddr 0.0.0.0 return
    ip6 saddr {{ ::, fe80::/10 }} return
    meta nfproto ipv4 iifname . ip saddr != @own4 counter name source_check drop
    meta nfproto ipv6 iifname . ip6 saddr != @own6 counter name source_check drop
  }}
  chain to {{
    type filter hook forward priority filter; policy accept;
    oifname {NO_ROUTE} counter name no_route drop
    oifname {BLACKHOLE} counter name blackhole drop
    oifname {ABSENT} counter name absent drop
    oifname {OUTSIDE} ip saddr != @known4 counter name gateway drop
    oifname {OUTSIDE} ip6 saddr != @known6 counter name gateway drop
    oifname \"v*\" oifname != @unchecked jump destination
  }}
  chain destination {{
    meta nfproto ipv4 oifname . ip daddr != @own4 counter name destination_check drop
    meta nfproto ipv6 oifname . ip6 daddr != @own6 counter name destination_check drop
  }}
}}
"
    )
}

pub fn install(router: &Namespace) -> Result<()> {
    nft(router, &rules())
}

/// Makes the checks those of the plan, all at once.
pub fn update(router: &Namespace, plan: &Plan) -> Result<()> {
    let own = |wanted: fn(&IpAddr) -> bool| {
        let pairs = plan
            .checked
            .iter()
            .flat_map(|(device, addresses)| addresses.iter().map(move |address| (device, address)));
        let pairs = pairs.filter(|(_, address)| wanted(address));
        pairs.map(|(device, address)| format!("{device} . {address}")).collect::<Vec<_>>()
    };
    let unchecked: Vec<String> = plan.unchecked.iter().cloned().collect();
    let known = |wanted: fn(&IpAddr) -> bool| {
        let addresses = plan.addresses.iter().filter(|address| wanted(address));
        addresses.map(ToString::to_string).collect::<Vec<_>>()
    };
    let mut batch = String::new();
    for (set, elements) in [
        ("known4", known(IpAddr::is_ipv4)),
        ("known6", known(IpAddr::is_ipv6)),
        ("own4", own(IpAddr::is_ipv4)),
        ("own6", own(IpAddr::is_ipv6)),
        ("unchecked", unchecked),
    ] {
        batch.push_str(&format!("flush set inet vpc {set}\n"));
        if !elements.is_empty() {
            batch.push_str(&format!("add element inet vpc {set} {{ {} }}\n", elements.join(", ")));
        }
    }
    nft(router, &batch)
}

pub fn drops(router: &Namespace) -> Result<Drops> {
    let listed = router.inside(|| output(&mut command("nft", ["-j", "list", "counters"])))?;
    let listed: Value = serde_json::from_str(&listed).context("cannot read what nft lists")?;
    let packets = |name: &str| {
        let all = listed["nftables"].as_array().into_iter().flatten();
        let mut counters = all.map(|item| &item["counter"]);
        let found = counters.find(|counter| counter["name"] == name);
        found.and_then(|counter| counter["packets"].as_u64()).unwrap_or_default()
    };
    Ok(Drops {
        no_route: packets("no_route"),
        blackhole: packets("blackhole"),
        absent: packets("absent"),
        source_check: packets("source_check"),
        destination_check: packets("destination_check"),
        gateway: packets("gateway"),
    })
}

/// One transaction: all of it, or an error and nothing.
fn nft(router: &Namespace, batch: &str) -> Result<()> {
    let output = router.inside(|| {
        let mut child = command("nft", ["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run `nft`\nhint: install nftables")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(batch.as_bytes())?;
        }
        Ok(child.wait_with_output()?)
    })?;
    if !output.status.success() {
        bail!("`nft -f` failed: {}\n{batch}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
