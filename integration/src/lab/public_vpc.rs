//! The account's network: a VPC over two zones, a subnet in each, one route table, an internet
//! gateway. With IPv6 every instance has an address of it.

use ipnet::{Ipv4Net, Ipv6Net};
use time::OffsetDateTime;
use windlass::policies::CLUSTER_TAG;

use super::family::Family;
use crate::region::call::ServiceError;
use crate::region::ec2::{Ec2, Tags, Towards};
use crate::region::ids::Ids;

const VPC: &str = "10.0.0.0/16";
/// By zone; a subnet's IPv6 block is the one of its place.
const SUBNETS: [&str; 2] = ["10.0.1.0/24", "10.0.2.0/24"];
const SUBNET_IPV6_LENGTH: u8 = 64;

pub struct PublicVpc {
    pub vpc: String,
    pub cidr: Ipv4Net,
    pub subnets: Vec<String>,
    table: String,
}

impl PublicVpc {
    pub fn lay_out(
        ec2: &mut Ec2,
        ids: &mut Ids,
        family: Family,
        now: OffsetDateTime,
    ) -> Result<Self, ServiceError> {
        let vpc = ec2.create_vpc(ids, VPC)?;
        let mut subnets = Vec::new();
        for (zone, cidr) in ec2.zones().into_iter().zip(SUBNETS) {
            subnets.push(ec2.create_subnet(ids, &vpc, Some(&zone), cidr)?);
        }
        if family.has_ipv6() {
            add_ipv6(ec2, ids, &vpc, &subnets)?;
        }
        let table = ec2.create_route_table(ids, &vpc)?;
        for subnet in &subnets {
            ec2.associate(ids, &table, subnet)?;
        }
        let gateway = ec2.create_internet_gateway(ids);
        ec2.attach_internet_gateway(&gateway, &vpc)?;
        let outside = Towards::Gateway(gateway);
        ec2.create_route(&table, Ipv4Net::default().into(), &outside, now)?;
        if family.has_ipv6() {
            ec2.create_route(&table, Ipv6Net::default().into(), &outside, now)?;
        }
        let cidr = ec2.vpc(&vpc)?.primary();
        Ok(Self { vpc, cidr, subnets, table })
    }

    /// All of it is the cluster's.
    pub fn tag(&self, ec2: &mut Ec2, cluster: &str) -> Result<(), ServiceError> {
        let tag = Tags::from([(CLUSTER_TAG.to_owned(), cluster.to_owned())]);
        let mut resources = self.subnets.iter().chain([&self.table, &self.vpc]);
        resources.try_for_each(|resource| ec2.tag(resource, &tag))
    }
}

/// A block of Amazon's, a part of it for each subnet, and an address for every instance.
fn add_ipv6(
    ec2: &mut Ec2,
    ids: &mut Ids,
    vpc: &str,
    subnets: &[String],
) -> Result<(), ServiceError> {
    let block = ec2.add_ipv6_block(ids, vpc)?.cidr;
    let parts = block.subnets(SUBNET_IPV6_LENGTH).into_iter().flatten();
    for (subnet, part) in subnets.iter().zip(parts) {
        ec2.add_subnet_ipv6_block(ids, subnet, &part.to_string())?;
        ec2.assign_ipv6_on_creation(subnet, true)?;
    }
    Ok(())
}
