//! Subnets and their addresses: Amazon VPC User Guide, "Subnet CIDR blocks".

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::vpc::{Block, overlap};
use super::{Ec2, errors};
use crate::region::call::ServiceError;
use crate::region::ids::Ids;

/// "The first four IP addresses and the last IP address in each subnet CIDR block are not available."
const RESERVED_FIRST: u32 = 4;
const RESERVED_LAST: u32 = 1;

/// A part of a VPC in one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    pub id: String,
    pub vpc: String,
    pub zone: String,
    pub cidr: Ipv4Net,
    pub ipv6_block: Option<Block<Ipv6Net>>,
    /// `assignIpv6AddressOnCreation`: a new interface gets an IPv6 address without being asked.
    pub assigns_ipv6: bool,
    /// The address that was given last: the next one is looked for after it, so that an address
    /// is not used again at once.
    last: u32,
}

impl Subnet {
    /// Whether this is one of its blocks, whole.
    pub fn has_block(&self, cidr: IpNet) -> bool {
        let ipv6 = self.ipv6_block.as_ref().map(|block| IpNet::V6(block.cidr));
        IpNet::V4(self.cidr) == cidr || ipv6 == Some(cidr)
    }

    /// The addresses that interfaces may have.
    fn usable(&self) -> std::ops::Range<u32> {
        let first = u32::from(self.cidr.network()) + RESERVED_FIRST;
        first..u32::from(self.cidr.broadcast()) + 1 - RESERVED_LAST
    }
}

impl Ec2 {
    /// A subnet in one of the region's zones, the first one by default.
    pub fn create_subnet(
        &mut self,
        ids: &mut Ids,
        vpc: &str,
        zone: Option<&str>,
        cidr: &str,
    ) -> Result<String, ServiceError> {
        let zones = self.zones();
        let zone = zone.unwrap_or(&zones[0]);
        if !zones.iter().any(|known| known == zone) {
            let why = format!(
                "Subnets can currently only be created in the following availability zones: {}.",
                zones.join(", ")
            );
            return Err(errors::bad_value(zone, "availabilityZone", &why));
        }
        let cidr = self.subnet_block(vpc, cidr)?;
        let id = ids.resource("subnet");
        let last = u32::from(cidr.network()) + RESERVED_FIRST - 1;
        let subnet = Subnet {
            id: id.clone(),
            vpc: vpc.to_owned(),
            zone: zone.to_owned(),
            cidr,
            ipv6_block: None,
            assigns_ipv6: false,
            last,
        };
        self.subnets.insert(id.clone(), subnet);
        Ok(id)
    }

    pub fn subnet(&self, id: &str) -> Result<&Subnet, ServiceError> {
        self.subnets.get(id).ok_or_else(|| errors::no_subnet(id))
    }

    /// How many addresses are left for interfaces.
    pub fn free_addresses(&self, subnet: &Subnet) -> usize {
        subnet.usable().len() - self.used(&subnet.id).count()
    }

    /// A free address of the subnet, or the one asked for if it is free.
    pub(super) fn take_address(
        &mut self,
        subnet: &str,
        wanted: Option<Ipv4Addr>,
    ) -> Result<Ipv4Addr, ServiceError> {
        let held = self.subnet(subnet)?;
        let usable = held.usable();
        let used: std::collections::BTreeSet<Ipv4Addr> = self.used(subnet).collect();
        if let Some(wanted) = wanted {
            if !usable.contains(&u32::from(wanted)) {
                return Err(errors::bad_value(
                    &wanted.to_string(),
                    "address",
                    "Address does not fall within the subnet's address range.",
                ));
            }
            if used.contains(&wanted) {
                return Err(errors::address_in_use(wanted.into()));
            }
            return Ok(wanted);
        }
        let after_last = (held.last + 1..usable.end).chain(usable.start..held.last + 1);
        let free = after_last
            .filter(|address| usable.contains(address))
            .map(Ipv4Addr::from)
            .find(|address| !used.contains(address));
        let address = free.ok_or_else(|| {
            ServiceError::client(
                "InsufficientFreeAddressesInSubnet",
                format!("There are not enough free addresses in subnet '{subnet}' to satisfy the requested number of instances."),
            )
        })?;
        if let Some(held) = self.subnets.get_mut(subnet) {
            held.last = u32::from(address);
        }
        Ok(address)
    }

    fn used(&self, subnet: &str) -> impl Iterator<Item = Ipv4Addr> {
        let interfaces =
            self.interfaces.values().filter(move |interface| interface.subnet == subnet);
        interfaces.flat_map(|interface| interface.addresses.iter().copied())
    }

    /// A block of /16 to /28 inside the VPC that no other subnet has.
    fn subnet_block(&self, vpc: &str, cidr: &str) -> Result<Ipv4Net, ServiceError> {
        let vpc = self.vpc(vpc)?;
        let block: Ipv4Net = cidr
            .parse()
            .map_err(|_| errors::bad_value(cidr, "cidrBlock", "This is not a valid CIDR block."))?;
        let block = block.trunc();
        let inside = vpc.blocks.iter().any(|whole| whole.cidr.contains(&block));
        if !inside || !(16..=28).contains(&block.prefix_len()) {
            return Err(ServiceError::client(
                "InvalidSubnet.Range",
                format!("The CIDR '{cidr}' is invalid."),
            ));
        }
        let mut others = self.subnets.values().filter(|other| other.vpc == vpc.id);
        if others.any(|other| overlap(other.cidr, block)) {
            return Err(ServiceError::client(
                "InvalidSubnet.Conflict",
                format!("The CIDR '{cidr}' conflicts with another subnet"),
            ));
        }
        Ok(block)
    }
}
