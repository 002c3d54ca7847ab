//! VPCs and their security groups: Amazon VPC User Guide, "VPC CIDR blocks".

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::route_table::{Associated, Association, Origin, RouteTable};
use super::{Ec2, errors};
use crate::region::call::ServiceError;
use crate::region::ids::Ids;

/// "IPv4 CIDR blocks per VPC", the primary one included ("Amazon VPC quotas").
const IPV4_BLOCKS_MAX: usize = 5;

/// A network of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vpc {
    pub id: String,
    /// The primary block first.
    pub blocks: Vec<Block<Ipv4Net>>,
    pub ipv6_blocks: Vec<Block<Ipv6Net>>,
}

/// A CIDR block of a VPC or of a subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block<N> {
    /// `vpc-cidr-assoc-…`, `subnet-cidr-assoc-…`
    pub association: String,
    pub cidr: N,
}

/// A security group. Its rules are not enforced: the region has no packets of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroup {
    pub id: String,
    pub vpc: String,
    pub name: String,
    pub description: String,
}

impl Vpc {
    /// The block that the VPC was made with.
    pub fn primary(&self) -> Ipv4Net {
        self.blocks[0].cidr
    }

    /// The blocks of both families.
    pub fn cidrs(&self) -> impl Iterator<Item = IpNet> {
        let ipv4 = self.blocks.iter().map(|block| IpNet::V4(block.cidr));
        ipv4.chain(self.ipv6_blocks.iter().map(|block| IpNet::V6(block.cidr)))
    }
}

impl Ec2 {
    /// A VPC with its main route table and its default security group.
    pub fn create_vpc(&mut self, ids: &mut Ids, cidr: &str) -> Result<String, ServiceError> {
        let cidr = vpc_block(cidr)?;
        let id = ids.resource("vpc");
        let association = ids.resource("vpc-cidr-assoc");
        let blocks = vec![Block { association, cidr }];
        self.vpcs.insert(id.clone(), Vpc { id: id.clone(), blocks, ipv6_blocks: Vec::new() });
        let mut main = RouteTable::new(ids, &id, [cidr.into()]);
        main.associations
            .push(Association { id: ids.resource("rtbassoc"), with: Associated::Main });
        self.route_tables.insert(main.id.clone(), main);
        self.create_security_group(ids, &id, "default", "default VPC security group")?;
        Ok(id)
    }

    /// A secondary block; every route table of the VPC gets a local route for it.
    pub fn add_block(
        &mut self,
        ids: &mut Ids,
        vpc: &str,
        cidr: &str,
    ) -> Result<Block<Ipv4Net>, ServiceError> {
        let cidr = vpc_block(cidr)?;
        let held = self.vpc(vpc)?;
        if held.blocks.len() >= IPV4_BLOCKS_MAX {
            return Err(errors::too_many_blocks(vpc, IPV4_BLOCKS_MAX));
        }
        let range = private_range(cidr);
        if range.is_some() && private_range(held.primary()) != range {
            return Err(ServiceError::client(
                "InvalidVpc.Range",
                format!(
                    "The CIDR '{cidr}' is restricted. Use a CIDR from the same private address range as the current VPC CIDR, or use a publicly-routable CIDR.\nFor additional restrictions, see https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html"
                ),
            ));
        }
        if let Some(other) = held.blocks.iter().find(|block| overlap(block.cidr, cidr)) {
            return Err(conflict(cidr, &format!("'{}' of VPC {vpc}", other.cidr)));
        }
        // "The CIDR block must not be the same or larger than a destination CIDR range in a route in
        // any of the VPC route tables."
        let tables = self.route_tables.values().filter(|table| table.vpc == vpc);
        let mut made = tables.flat_map(|table| table.routes.iter().map(move |it| (table, it)));
        let inside = made.find(|(_, route)| {
            route.origin == Origin::CreateRoute && IpNet::V4(cidr).contains(&route.destination)
        });
        if let Some((table, route)) = inside {
            let route = format!("the route '{}' of route table {}", route.destination, table.id);
            return Err(conflict(cidr, &route));
        }
        let block = Block { association: ids.resource("vpc-cidr-assoc"), cidr };
        if let Some(held) = self.vpcs.get_mut(vpc) {
            held.blocks.push(block.clone());
        }
        self.add_local_routes(vpc, cidr.into());
        Ok(block)
    }

    /// In every route table of the VPC.
    pub(super) fn add_local_routes(&mut self, vpc: &str, block: IpNet) {
        for table in self.route_tables.values_mut().filter(|table| table.vpc == vpc) {
            table.add_local(block);
        }
        self.touch_network();
    }

    pub fn create_security_group(
        &mut self,
        ids: &mut Ids,
        vpc: &str,
        name: &str,
        description: &str,
    ) -> Result<String, ServiceError> {
        self.vpc(vpc)?;
        if self.security_groups.values().any(|group| group.vpc == vpc && group.name == name) {
            return Err(ServiceError::client(
                "InvalidGroup.Duplicate",
                format!("The security group '{name}' already exists for VPC '{vpc}'"),
            ));
        }
        let id = ids.resource("sg");
        let group = SecurityGroup {
            id: id.clone(),
            vpc: vpc.to_owned(),
            name: name.to_owned(),
            description: description.to_owned(),
        };
        self.security_groups.insert(id.clone(), group);
        Ok(id)
    }

    pub fn vpc(&self, id: &str) -> Result<&Vpc, ServiceError> {
        self.vpcs.get(id).ok_or_else(|| errors::no_vpc(id))
    }

    /// The groups by ID, all of this VPC; the VPC's default group when none is named.
    pub(super) fn groups_in(
        &self,
        vpc: &str,
        named: &[String],
    ) -> Result<Vec<String>, ServiceError> {
        if named.is_empty() {
            let default = self
                .security_groups
                .values()
                .find(|group| group.vpc == vpc && group.name == "default");
            return Ok(default.map(|group| group.id.clone()).into_iter().collect());
        }
        for id in named {
            let group =
                self.security_groups.get(id).ok_or_else(|| errors::no_security_group(id))?;
            if group.vpc != vpc {
                return Err(errors::no_security_group(id));
            }
        }
        Ok(named.to_vec())
    }
}

pub(super) fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

fn conflict(cidr: Ipv4Net, with: &str) -> ServiceError {
    ServiceError::client("CidrConflict", format!("The CIDR '{cidr}' conflicts with {with}"))
}

/// "IPv4 CIDR block association restrictions": a block from one of these may only join a primary
/// one from the same.
fn private_range(block: Ipv4Net) -> Option<Ipv4Net> {
    let ranges = [
        Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
        Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
        Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
        Ipv4Net::new_assert(Ipv4Addr::new(198, 19, 0, 0), 16),
    ];
    ranges.into_iter().find(|range| range.contains(&block))
}

/// A block of /16 to /28, its host bits cleared as EC2 does.
fn vpc_block(cidr: &str) -> Result<Ipv4Net, ServiceError> {
    let block: Ipv4Net = cidr
        .parse()
        .map_err(|_| errors::bad_value(cidr, "cidrBlock", "This is not a valid CIDR block."))?;
    if !(16..=28).contains(&block.prefix_len()) {
        return Err(ServiceError::client(
            "InvalidVpc.Range",
            format!("The CIDR '{cidr}' is invalid."),
        ));
    }
    Ok(block.trunc())
}
