//! Instances as their metadata service, the lab's network and its name server see them.

use std::net::{IpAddr, Ipv4Addr};

use super::Ec2;
use super::instance::{Instance, InstanceState};
use super::interface::NetworkInterface;
use super::route_table::{Route, RouteState};
use crate::region::imds::{Interface, Machine, SecurityGroup};

impl Ec2 {
    /// The instance that has this address on any interface. One that is terminated has none.
    pub fn instance_by_address(&self, address: IpAddr) -> Option<&Instance> {
        self.holder_of(&self.interface_by_address(address)?.id)
    }

    /// The instance that has this address, as its metadata service describes it. A stopped one
    /// asks nothing.
    pub fn machine_at(&self, address: IpAddr) -> Option<Machine> {
        let instance = self.instance_by_address(address)?;
        if instance.state == InstanceState::Stopped {
            return None;
        }
        Some(Machine {
            instance_id: instance.id.clone(),
            reservation_id: instance.reservation.clone(),
            ami_id: instance.image.clone(),
            ami_launch_index: instance.launch_index,
            instance_type: instance.instance_type.clone(),
            availability_zone: instance.zone.clone(),
            availability_zone_id: self.zone_id(&instance.zone),
            life_cycle: instance.market.name().to_owned(),
            private_dns_name: instance.private_dns_name.clone(),
            public_dns_name: None,
            launched_at: instance.launched_at,
            user_data: instance.user_data.clone(),
            tags: self.tags_of(&instance.id).clone(),
            instance_profile: instance.profile.as_ref().map(|profile| profile.arn.clone()),
            options: instance.metadata.clone(),
            announced: instance.announced.clone(),
            interfaces: self
                .interfaces_of(&instance.id)
                .into_iter()
                .map(|held| self.metadata_of(held))
                .collect(),
        })
    }

    /// The routes that a packet from this subnet meets, with their states.
    pub fn routes_of_subnet(&self, subnet: &str) -> Vec<(&Route, RouteState)> {
        let routes = self.table_of_subnet(subnet).into_iter().flat_map(|table| &table.routes);
        routes.map(|route| (route, self.state_of_route(route))).collect()
    }

    /// `ip-10-0-1-5.eu-west-1.compute.internal`: VPC User Guide, "DNS attributes for your VPC".
    pub fn private_dns_name(&self, address: Ipv4Addr) -> String {
        let dashes = address.to_string().replace('.', "-");
        match self.region.as_str() {
            "us-east-1" => format!("ip-{dashes}.ec2.internal"),
            region => format!("ip-{dashes}.{region}.compute.internal"),
        }
    }

    fn metadata_of(&self, interface: &NetworkInterface) -> Interface {
        let subnet = self.subnets.get(&interface.subnet);
        let subnet_ipv6 = subnet.and_then(|subnet| subnet.ipv6_block.as_ref());
        let vpc = self.vpcs.get(&interface.vpc);
        let blocks = vpc.into_iter().flat_map(|vpc| &vpc.blocks);
        let ipv6_blocks = vpc.into_iter().flat_map(|vpc| &vpc.ipv6_blocks);
        let groups = interface.groups.iter().filter_map(|id| self.security_groups.get(id));
        Interface {
            id: interface.id.clone(),
            device_number: interface
                .attachment
                .as_ref()
                .map_or(0, |attachment| attachment.device_index),
            mac: interface.mac.clone(),
            private_dns_name: self.private_dns_name(interface.address()),
            private_ipv4s: interface.addresses.clone(),
            public_ipv4s: Vec::new(),
            ipv6s: interface.ipv6.clone(),
            subnet_id: interface.subnet.clone(),
            subnet_ipv4_cidr: subnet.map(|subnet| subnet.cidr).unwrap_or_default(),
            subnet_ipv6_cidrs: subnet_ipv6.map(|block| block.cidr).into_iter().collect(),
            vpc_id: interface.vpc.clone(),
            vpc_ipv4_cidrs: blocks.map(|block| block.cidr).collect(),
            vpc_ipv6_cidrs: ipv6_blocks.map(|block| block.cidr).collect(),
            security_groups: groups
                .map(|group| SecurityGroup { id: group.id.clone(), name: group.name.clone() })
                .collect(),
            owner_id: self.account.clone(),
        }
    }
}
