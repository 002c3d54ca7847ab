//! An instance as its metadata service describes it: what EC2's state is asked for.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use ipnet::{Ipv4Net, Ipv6Net};
use time::OffsetDateTime;

use crate::region::ec2::Announced;

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub instance_id: String,
    pub reservation_id: String,
    pub ami_id: String,
    pub ami_launch_index: u32,
    pub instance_type: String,
    pub availability_zone: String,
    /// `euw1-az1`
    pub availability_zone_id: String,
    /// `on-demand` or `spot`
    pub life_cycle: String,
    pub private_dns_name: String,
    pub public_dns_name: Option<String>,
    /// EC2's LaunchTime: of the latest start.
    pub launched_at: OffsetDateTime,
    pub user_data: Option<Bytes>,
    pub tags: BTreeMap<String, String>,
    /// The ARN of the instance profile.
    pub instance_profile: Option<String>,
    pub options: MetadataOptions,
    pub announced: Announced,
    /// By device number; the first is the primary one.
    pub interfaces: Vec<Interface>,
}

/// EC2's `MetadataOptions` of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataOptions {
    pub endpoint_enabled: bool,
    /// `HttpTokens=required`; `optional` serves version 1 too.
    pub tokens_required: bool,
    /// 1 to 64: the TTL of the token's answer.
    pub http_put_response_hop_limit: u8,
    pub instance_tags_enabled: bool,
}

impl Default for MetadataOptions {
    fn default() -> Self {
        Self {
            endpoint_enabled: true,
            tokens_required: true,
            http_put_response_hop_limit: 1,
            instance_tags_enabled: false,
        }
    }
}

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub id: String,
    pub device_number: u32,
    /// Lower case, with colons.
    pub mac: String,
    pub private_dns_name: String,
    /// The primary address first.
    pub private_ipv4s: Vec<Ipv4Addr>,
    pub public_ipv4s: Vec<Ipv4Addr>,
    pub ipv6s: Vec<Ipv6Addr>,
    pub subnet_id: String,
    pub subnet_ipv4_cidr: Ipv4Net,
    pub subnet_ipv6_cidrs: Vec<Ipv6Net>,
    pub vpc_id: String,
    pub vpc_ipv4_cidrs: Vec<Ipv4Net>,
    pub vpc_ipv6_cidrs: Vec<Ipv6Net>,
    pub security_groups: Vec<SecurityGroup>,
    pub owner_id: String,
}

/// A security group of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroup {
    pub id: String,
    pub name: String,
}
