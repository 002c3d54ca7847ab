//! VPCs and their security groups: Amazon VPC User Guide, "VPC CIDR blocks".

use ipnet::Ipv4Net;

use super::route_table::{Associated, Association, RouteTable};
use super::{Ec2, errors};
use crate::region::call::ServiceError;
use crate::region::ids::Ids;

/// A network of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vpc {
    pub id: String,
    /// The primary block first.
    pub blocks: Vec<Block>,
}

/// A CIDR block of a VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// `vpc-cidr-assoc-…`
    pub association: String,
    pub cidr: Ipv4Net,
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
}

impl Ec2 {
    /// A VPC with its main route table and its default security group.
    pub fn create_vpc(&mut self, ids: &mut Ids, cidr: &str) -> Result<String, ServiceError> {
        let cidr = vpc_block(cidr)?;
        let id = ids.resource("vpc");
        let association = ids.resource("vpc-cidr-assoc");
        self.vpcs
            .insert(id.clone(), Vpc { id: id.clone(), blocks: vec![Block { association, cidr }] });
        let mut main = RouteTable::new(ids, &id, &[cidr]);
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
    ) -> Result<Block, ServiceError> {
        let cidr = vpc_block(cidr)?;
        let held = self.vpcs.get_mut(vpc).ok_or_else(|| errors::no_vpc(vpc))?;
        if let Some(other) = held.blocks.iter().find(|block| overlap(block.cidr, cidr)) {
            return Err(ServiceError::client(
                "CidrConflict",
                format!("The CIDR '{cidr}' conflicts with '{}' of VPC {vpc}", other.cidr),
            ));
        }
        let block = Block { association: ids.resource("vpc-cidr-assoc"), cidr };
        held.blocks.push(block.clone());
        for table in self.route_tables.values_mut().filter(|table| table.vpc == vpc) {
            table.add_local(cidr);
        }
        self.touch_network();
        Ok(block)
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
