//! What was observed about the instance: plain data, without a wish in it.
//!
//! `observe` gathers it, `plan` reads it. Facts can be written down and read back, so that a plan
//! can be made again elsewhere from what a node saw.

pub mod instance_types;
pub mod observe;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::exchange::InstanceId;

/// Everything that a plan may depend on besides the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    pub instance: Instance,
    pub host: Host,
    pub image: Image,
}

/// What EC2 says about the instance, through IMDS.
///
/// Source: "Instance metadata categories" (Amazon EC2 User Guide).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    pub id: InstanceId,
    pub region: String,
    /// Availability zone, `eu-west-1a`.
    pub zone: String,
    /// Twelve digits.
    pub account: String,
    pub instance_type: String,
    /// As the instance identity document says it: `x86_64` or `arm64`.
    pub architecture: String,
    pub image_id: String,
    pub private_ip: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Addr>,
    /// `ip-10-0-1-5.eu-west-1.compute.internal`.
    pub private_dns: String,
    /// MAC address of the primary ENI, lowercase with colons.
    pub mac: String,
    /// The VPC's IPv4 CIDRs, secondary ones too.
    pub vpc_cidrs: Vec<IpNet>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vpc_ipv6_cidrs: Vec<IpNet>,
    pub subnet_cidr: IpNet,
    /// `autoscaling/target-lifecycle-state`; absent outside an Auto Scaling group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle_state: Option<String>,
    /// The tag `aws:autoscaling:groupName`, where the instance may read its tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_scaling_group: Option<String>,
}

/// What the running machine says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// CPUs that are online.
    pub cpus: u32,
    pub memory_bytes: u64,
    pub cgroup: CgroupVersion,
    /// The primary interface's, in bytes.
    pub mtu: u32,
    /// The primary interface, the one with the instance's MAC address.
    pub interface: String,
    /// The other ENIs'.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub other_interfaces: BTreeSet<String>,
    /// The VPC's router as its advertisements name it, once the interface has an address of its own
    /// to send from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_router: Option<Ipv6Addr>,
    /// Whether this is a container with a service manager in it rather than a machine of its own.
    pub container: bool,
    /// Whether `/etc/resolv.conf` names systemd-resolved's own address, which in a pod is nobody's.
    #[serde(default)]
    pub stub_resolver: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupVersion {
    V1,
    V2,
}

/// What the image says that is baked into it, `/etc/windlass/image.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    /// `v1.37.2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubelet_version: Option<String>,
    /// Whether kubelet's credential provider `ecr-credential-provider` is in the image, in
    /// [`CREDENTIAL_PROVIDER_DIR`](crate::plan::CREDENTIAL_PROVIDER_DIR).
    pub credential_provider: bool,
}

impl Instance {
    /// Whether its group keeps it in the warm pool, or is on the way of putting it there.
    pub fn is_in_warm_pool(&self) -> bool {
        self.lifecycle_state.as_ref().is_some_and(|state| state.starts_with("Warmed:"))
    }

    /// The VPC's CIDRs of both address families.
    pub fn vpc_cidrs(&self) -> impl Iterator<Item = &IpNet> {
        self.vpc_cidrs.iter().chain(&self.vpc_ipv6_cidrs)
    }
}
