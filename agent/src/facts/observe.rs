//! Gathers facts: what IMDS says of the instance, what the machine says of itself, what the image
//! says is in it. Nothing here depends on a configuration.

use std::net::IpAddr;

use anyhow::{Context, anyhow};
use ipnet::IpNet;
use serde::Deserialize;
use tokio::try_join;

use super::{CgroupVersion, Facts, Host, Image, Instance};
use crate::client::imds::Imds;
use crate::exchange::InstanceId;
use crate::host::{Links, Machine};

/// Where an image says what was baked into it.
pub const IMAGE: &str = "/etc/windlass/image.json";

/// The instance identity document: eight facts in one request.
///
/// Source: "Instance identity documents" (Amazon EC2 User Guide).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    pub instance_id: InstanceId,
    pub region: String,
    pub availability_zone: String,
    pub account_id: String,
    pub instance_type: String,
    pub architecture: String,
    pub image_id: String,
    pub private_ip: IpAddr,
}

/// Who we are.
pub async fn document(imds: &Imds) -> anyhow::Result<Document> {
    let path = "dynamic/instance-identity/document";
    let document = required(imds, path).await?;
    serde_json::from_str(&document)
        .with_context(|| format!("IMDS' `/latest/{path}` is not as documented: {document}"))
}

/// What the instance was given at its launch; empty where there is none.
pub async fn user_data(imds: &Imds) -> anyhow::Result<Vec<u8>> {
    Ok(imds.get("user-data").await?.unwrap_or_default())
}

/// Where its Auto Scaling group wants the instance, such as `InService` or `Warmed:Stopped`; none
/// outside of one.
///
/// Source: "Retrieve the target lifecycle state through instance metadata" (Amazon EC2 Auto Scaling
/// User Guide).
pub async fn lifecycle_state(imds: &Imds) -> anyhow::Result<Option<String>> {
    optional(imds, "meta-data/autoscaling/target-lifecycle-state").await
}

/// Everything else, at once.
pub async fn facts(machine: &Machine, imds: &Imds, document: Document) -> anyhow::Result<Facts> {
    let (mac, network) = interface(imds).await?;
    let (instance, links) =
        try_join!(instance(imds, document, mac.clone(), network), links(machine, &mac))?;
    let host = host(machine, links).context("looking at this machine")?;
    Ok(Facts { instance, host, image: image(machine)? })
}

async fn links(machine: &Machine, mac: &str) -> anyhow::Result<Links> {
    machine.links(mac).await?.with_context(|| {
        format!(
            "no network interface has {mac}, the MAC address of the instance's primary one\n\
             hint: is this the instance's own network namespace?"
        )
    })
}

/// What the VPC gave the primary interface.
struct Network {
    vpc_cidrs: Vec<IpNet>,
    subnet_cidr: IpNet,
}

/// The VPC's IPv6 CIDRs; not asked for on behalf of an instance without an IPv6 address.
async fn vpc_ipv6_cidrs(imds: &Imds, mac: &str) -> anyhow::Result<Vec<IpNet>> {
    let path = format!("meta-data/network/interfaces/macs/{mac}/vpc-ipv6-cidr-blocks");
    let blocks = optional(imds, &path).await?.unwrap_or_default();
    blocks.lines().map(cidr).collect()
}

fn cidr(text: &str) -> anyhow::Result<IpNet> {
    text.parse().with_context(|| format!("IMDS says `{text}` where a CIDR should be"))
}

/// The primary interface's MAC address and its place in the VPC.
async fn interface(imds: &Imds) -> anyhow::Result<(String, Network)> {
    let mac = required(imds, "meta-data/mac").await?;
    let of = |what: &str| format!("meta-data/network/interfaces/macs/{mac}/{what}");
    let (vpc, subnet) = (of("vpc-ipv4-cidr-blocks"), of("subnet-ipv4-cidr-block"));
    let (vpc, subnet) = try_join!(required(imds, &vpc), required(imds, &subnet))?;
    let cidrs = |text: &str| text.lines().map(cidr).collect::<anyhow::Result<Vec<_>>>();
    Ok((mac, Network { vpc_cidrs: cidrs(&vpc)?, subnet_cidr: cidr(&subnet)? }))
}

async fn instance(
    imds: &Imds,
    document: Document,
    mac: String,
    network: Network,
) -> anyhow::Result<Instance> {
    let (names, ipv6, lifecycle_state, auto_scaling_group) = try_join!(
        required(imds, "meta-data/local-hostname"),
        optional(imds, "meta-data/ipv6"),
        lifecycle_state(imds),
        optional(imds, "meta-data/tags/instance/aws:autoscaling:groupName"),
    )?;
    let ipv6 = ipv6.map(|text| {
        text.parse().with_context(|| format!("IMDS says the IPv6 address is `{text}`"))
    });
    let vpc_ipv6_cidrs = match ipv6 {
        Some(_) => vpc_ipv6_cidrs(imds, &mac).await?,
        None => Vec::new(),
    };
    Ok(Instance {
        id: document.instance_id,
        region: document.region,
        zone: document.availability_zone,
        account: document.account_id,
        instance_type: document.instance_type,
        architecture: document.architecture,
        image_id: document.image_id,
        private_ip: document.private_ip,
        ipv6: ipv6.transpose()?,
        // A DHCP option set may list several domains; the first name is the instance's.
        private_dns: names.split_whitespace().next().unwrap_or_default().to_owned(),
        mac,
        vpc_cidrs: network.vpc_cidrs,
        vpc_ipv6_cidrs,
        subnet_cidr: network.subnet_cidr,
        lifecycle_state,
        auto_scaling_group,
    })
}

fn host(machine: &Machine, links: Links) -> anyhow::Result<Host> {
    let text = |path| machine.read_text(path)?.with_context(|| format!("there is no {path}"));
    let (online, memory) = ("/sys/devices/system/cpu/online", "/proc/meminfo");
    let cpus = cpus(&text(online)?).with_context(|| format!("{online} is not a list of CPUs"))?;
    let total = total_memory(&text(memory)?);
    // The unified hierarchy has this file at its top, the older ones have none.
    let unified = machine.path("/sys/fs/cgroup/cgroup.controllers").exists();
    Ok(Host {
        cpus,
        memory_bytes: total.with_context(|| format!("{memory} has no MemTotal"))?,
        cgroup: if unified { CgroupVersion::V2 } else { CgroupVersion::V1 },
        mtu: links.primary.mtu_bytes,
        interface: links.primary.name,
        other_interfaces: links.others,
        ipv6_router: links.ipv6_router,
        container: machine.is_container(),
        stub_resolver: names_a_stub(machine),
    })
}

impl Host {
    /// The interfaces as they are seen now. A router that is not heard of now is where it was: routes
    /// to it may be gone together with all others, and it does not move.
    pub fn see(&mut self, links: Links) {
        self.mtu = links.primary.mtu_bytes;
        self.interface = links.primary.name;
        self.other_interfaces = links.others;
        self.ipv6_router = links.ipv6_router.or(self.ipv6_router);
    }

    /// What is known of the interfaces, for a person.
    pub fn network(&self) -> String {
        let mut text = format!("{} with an MTU of {}", self.interface, self.mtu);
        for other in &self.other_interfaces {
            text += &format!(", {other}");
        }
        if let Some(router) = self.ipv6_router {
            text += &format!(", router {router}");
        }
        text
    }
}

/// By the link that systemd-resolved.service(8) recommends, not by the file's contents: it may not
/// have been written yet.
fn names_a_stub(machine: &Machine) -> bool {
    let target = std::fs::read_link(machine.path("/etc/resolv.conf"));
    target.is_ok_and(|target| target.ends_with("systemd/resolve/stub-resolv.conf"))
}

/// What the image says of itself; an image that nobody baked says nothing.
fn image(machine: &Machine) -> anyhow::Result<Image> {
    let Some(text) = machine.read_text(IMAGE)? else { return Ok(Image::default()) };
    serde_json::from_str(&text)
        .with_context(|| format!("{IMAGE} is not as `windlass bake` writes it"))
}

async fn optional(imds: &Imds, path: &str) -> anyhow::Result<Option<String>> {
    let body = imds.get(path).await?.map(String::from_utf8).transpose();
    let text = body.with_context(|| format!("IMDS' `/latest/{path}` is not text"))?;
    Ok(text.map(|text| text.trim().to_owned()))
}

async fn required(imds: &Imds, path: &str) -> anyhow::Result<String> {
    optional(imds, path).await?.ok_or_else(|| anyhow!("IMDS has no `/latest/{path}`"))
}

/// `0-3,8` is five.
fn cpus(online: &str) -> Option<u32> {
    online.trim().split(',').try_fold(0, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        Some(sum + last.checked_sub(first)? + 1)
    })
}

/// `MemTotal:  16281592 kB`, in bytes.
fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_counted_by_ranges() {
        assert_eq!(
            (cpus("0\n"), cpus("0-3,8"), cpus("0,2-3"), cpus("")),
            (Some(1), Some(5), Some(3), None)
        );
    }

    #[test]
    fn memory_is_read_as_proc_writes_it() {
        let meminfo = "MemTotal:       16281592 kB\nMemFree:         1 kB\n";
        assert_eq!(total_memory(meminfo), Some(16_281_592 * 1024));
    }
}
