//! IPv6: blocks of VPCs and subnets, addresses of interfaces. Amazon VPC User Guide, "VPC CIDR
//! blocks", "Subnet CIDR blocks"; EC2 API Reference, "AssignIpv6Addresses".
//!
//! IPv4 is never absent beside it: of what EC2 offers, subnets with IPv6 alone are left out.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::instance_type::{self, InstanceType};
use super::subnet::Subnet;
use super::vpc::Block;
use super::{Ec2, errors};
use crate::region::call::ServiceError;
use crate::region::ids::Ids;
use crate::region::params::Params;

/// "You can have one IPv6 CIDR block association per network border group", and the region is one.
const BLOCKS_MAX: usize = 1;

/// "Possible IPv6 netmask lengths are between /44 and /64 in increments of /4", of which those fit
/// that are no larger than an Amazon-provided block.
const SUBNET_LENGTHS: [u8; 3] = [56, 60, 64];

/// "The first four IPv6 addresses and the last IPv6 address in each subnet CIDR block are not
/// available for your use."
const RESERVED_FIRST: u128 = 4;

/// Which IPv6 addresses an interface is to have. Without either it follows its subnet's attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ipv6Wish {
    /// So many; none overrides the subnet.
    pub count: Option<u32>,
    /// These.
    pub addresses: Vec<Ipv6Addr>,
}

impl Ipv6Wish {
    /// `Ipv6AddressCount`, or the structures `NAME.N.Ipv6Address`.
    pub fn of(params: &Params, name: &str) -> Result<Self, ServiceError> {
        let listed = params.structures(name);
        let addresses: Result<Vec<Option<Ipv6Addr>>, _> =
            listed.iter().map(|item| item.number("Ipv6Address")).collect();
        Self::either(params.number("Ipv6AddressCount")?, addresses?.into_iter().flatten().collect())
    }

    /// Not both.
    pub fn either(count: Option<u32>, addresses: Vec<Ipv6Addr>) -> Result<Self, ServiceError> {
        if count.is_some() && !addresses.is_empty() {
            return Err(ServiceError::client(
                "InvalidParameterCombination",
                "IPv6 addresses and IPv6 address count may not be specified on the same request",
            ));
        }
        Ok(Self { count, addresses })
    }

    /// Whether nothing is said.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// How many are asked for.
    pub fn asked(&self) -> usize {
        self.addresses.len() + self.count.unwrap_or_default() as usize
    }
}

impl Ec2 {
    /// An Amazon-provided /56; every route table of the VPC gets a local route for it.
    pub fn add_ipv6_block(
        &mut self,
        ids: &mut Ids,
        vpc: &str,
    ) -> Result<Block<Ipv6Net>, ServiceError> {
        if self.vpc(vpc)?.ipv6_blocks.len() >= BLOCKS_MAX {
            return Err(errors::too_many_blocks(vpc, BLOCKS_MAX));
        }
        let given: BTreeSet<Ipv6Net> = self
            .vpcs
            .values()
            .flat_map(|held| held.ipv6_blocks.iter().map(|block| block.cidr))
            .collect();
        let mut cidr = provided(ids);
        while given.contains(&cidr) {
            cidr = provided(ids);
        }
        let block = Block { association: ids.resource("vpc-cidr-assoc"), cidr };
        if let Some(held) = self.vpcs.get_mut(vpc) {
            held.ipv6_blocks.push(block.clone());
        }
        self.add_local_routes(vpc, cidr.into());
        Ok(block)
    }

    /// The one IPv6 block of a subnet, out of its VPC's.
    pub fn add_subnet_ipv6_block(
        &mut self,
        ids: &mut Ids,
        subnet: &str,
        cidr: &str,
    ) -> Result<Block<Ipv6Net>, ServiceError> {
        let held = self.subnet(subnet)?;
        if let Some(block) = &held.ipv6_block {
            return Err(ServiceError::client(
                "InvalidSubnet.Conflict",
                format!(
                    "The subnet '{subnet}' already has the IPv6 CIDR '{}' associated with it",
                    block.cidr
                ),
            ));
        }
        let cidr = self.subnet_ipv6_block(&held.vpc.clone(), cidr)?;
        let block = Block { association: ids.resource("subnet-cidr-assoc"), cidr };
        if let Some(held) = self.subnets.get_mut(subnet) {
            held.ipv6_block = Some(block.clone());
        }
        Ok(block)
    }

    /// EC2 API Reference, "ModifySubnetAttribute": AssignIpv6AddressOnCreation.
    pub fn assign_ipv6_on_creation(&mut self, subnet: &str, on: bool) -> Result<(), ServiceError> {
        let held = self.subnets.get_mut(subnet).ok_or_else(|| errors::no_subnet(subnet))?;
        if on && held.ipv6_block.is_none() {
            return Err(ServiceError::client(
                "InvalidParameterValue",
                format!(
                    "Invalid value 'true' for assign-ipv6-address-on-creation. Cannot set assign-ipv6-address-on-creation to true unless the subnet ({subnet}) has an IPv6 CIDR block associated with it."
                ),
            ));
        }
        held.assigns_ipv6 = on;
        Ok(())
    }

    /// More addresses for an interface; the answer is these alone.
    pub fn assign_ipv6_addresses(
        &mut self,
        ids: &mut Ids,
        interface: &str,
        wish: &Ipv6Wish,
    ) -> Result<Vec<Ipv6Addr>, ServiceError> {
        let held = self.interface(interface)?;
        let new = self.ipv6_addresses(ids, &held.subnet, wish)?;
        if let Some(holder) = self.holder_of(interface) {
            let of_type = instance_type::named(&holder.instance_type)?;
            ensure_room(of_type, held.ipv6.len() + new.len())?;
        }
        if let Some(held) = self.interfaces.get_mut(interface) {
            held.ipv6.extend(&new);
        }
        self.touch_network();
        Ok(new)
    }

    /// Takes addresses from an interface, all of those named or none.
    pub fn unassign_ipv6_addresses(
        &mut self,
        interface: &str,
        addresses: &[Ipv6Addr],
    ) -> Result<(), ServiceError> {
        let held =
            self.interfaces.get_mut(interface).ok_or_else(|| errors::no_interface(interface))?;
        if !addresses.iter().all(|address| held.ipv6.contains(address)) {
            return Err(ServiceError::client(
                "InvalidParameterValue",
                format!(
                    "Some of the specified addresses are not assigned to interface {interface}"
                ),
            ));
        }
        held.ipv6.retain(|address| !addresses.contains(address));
        self.touch_network();
        Ok(())
    }

    /// The addresses that a wish comes to in a subnet, for an interface that is being made.
    pub(super) fn ipv6_addresses(
        &self,
        ids: &mut Ids,
        subnet: &str,
        wish: &Ipv6Wish,
    ) -> Result<Vec<Ipv6Addr>, ServiceError> {
        let subnet = self.subnet(subnet)?;
        let count =
            wish.count.unwrap_or(u32::from(wish.addresses.is_empty() && subnet.assigns_ipv6));
        if count == 0 && wish.addresses.is_empty() {
            return Ok(Vec::new());
        }
        let Some(block) = &subnet.ipv6_block else {
            return Err(ServiceError::client(
                "InvalidParameterValue",
                format!("The subnet '{}' has no IPv6 CIDR block associated with it.", subnet.id),
            ));
        };
        let mut used: BTreeSet<Ipv6Addr> = self.used_ipv6(subnet).collect();
        for wanted in &wish.addresses {
            ensure_usable(block.cidr, *wanted)?;
            if !used.insert(*wanted) {
                return Err(errors::address_in_use((*wanted).into()));
            }
        }
        let mut addresses = wish.addresses.clone();
        for _ in 0..count {
            let mut drawn = draw(ids, block.cidr);
            while !used.insert(drawn) {
                drawn = draw(ids, block.cidr);
            }
            addresses.push(drawn);
        }
        Ok(addresses)
    }

    fn used_ipv6(&self, subnet: &Subnet) -> impl Iterator<Item = Ipv6Addr> {
        let interfaces = self.interfaces.values().filter(|held| held.subnet == subnet.id);
        interfaces.flat_map(|held| held.ipv6.iter().copied())
    }

    /// A block inside the VPC's that no other subnet has.
    fn subnet_ipv6_block(&self, vpc: &str, cidr: &str) -> Result<Ipv6Net, ServiceError> {
        let bad = || {
            ServiceError::client(
                "InvalidParameterValue",
                format!("invalid value for parameter ipv6-cidr-block: {cidr}"),
            )
        };
        let block: Ipv6Net = cidr.parse().map_err(|_| bad())?;
        if block.trunc() != block || !SUBNET_LENGTHS.contains(&block.prefix_len()) {
            return Err(bad());
        }
        if !self.vpc(vpc)?.ipv6_blocks.iter().any(|whole| whole.cidr.contains(&block)) {
            return Err(ServiceError::client(
                "InvalidSubnet.Range",
                format!("The IPv6 CIDR '{cidr}' is invalid."),
            ));
        }
        let others = self.subnets.values().filter(|other| other.vpc == vpc);
        let mut theirs = others.filter_map(|other| Some(other.ipv6_block.as_ref()?.cidr));
        if theirs.any(|theirs| theirs.contains(&block) || block.contains(&theirs)) {
            return Err(ServiceError::client(
                "InvalidSubnet.Conflict",
                format!("The IPv6 CIDR '{cidr}' conflicts with another subnet"),
            ));
        }
        Ok(block)
    }
}

/// "You can assign as many IPv6 addresses to a network interface as you can assign private IPv4
/// addresses." EC2's page of error codes has a code for the latter only.
pub(super) fn ensure_room(of_type: &InstanceType, addresses: usize) -> Result<(), ServiceError> {
    if addresses <= of_type.ipv4_per_interface as usize {
        return Ok(());
    }
    Err(ServiceError::client(
        "PrivateIpAddressLimitExceeded",
        "Number of private addresses will exceed limit.",
    ))
}

/// Amazon's own ranges are the world's; these are from the one for documentation (RFC 3849).
fn provided(ids: &mut Ids) -> Ipv6Net {
    let drawn = ids.below(1 << 24);
    let (high, low) = ((drawn >> 8) as u16, (drawn as u16) << 8);
    Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, high, low, 0, 0, 0, 0), 56)
}

/// EC2 draws addresses at random, too.
fn draw(ids: &mut Ids, block: Ipv6Net) -> Ipv6Addr {
    let host = u128::from(ids.below(u64::MAX)).max(RESERVED_FIRST);
    Ipv6Addr::from(u128::from(block.network()) | host)
}

fn ensure_usable(block: Ipv6Net, wanted: Ipv6Addr) -> Result<(), ServiceError> {
    let usable = u128::from(block.network()) + RESERVED_FIRST..u128::from(block.broadcast());
    if usable.contains(&u128::from(wanted)) {
        return Ok(());
    }
    Err(errors::bad_value(
        &wanted.to_string(),
        "ipv6Addresses",
        "Address does not fall within the subnet's address range.",
    ))
}
