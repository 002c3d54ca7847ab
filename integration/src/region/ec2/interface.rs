//! Network interfaces: EC2 User Guide, "Elastic network interfaces".

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use time::OffsetDateTime;

use super::instance::Instance;
use super::ipv6::Ipv6Wish;
use super::{Ec2, errors};
use crate::region::call::ServiceError;
use crate::region::ids::Ids;

/// What connects an instance to a subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkInterface {
    pub id: String,
    pub vpc: String,
    pub subnet: String,
    pub zone: String,
    /// Lower case, with colons.
    pub mac: String,
    /// The primary private address first.
    pub addresses: Vec<Ipv4Addr>,
    /// In the order in which they were assigned.
    pub ipv6: Vec<Ipv6Addr>,
    /// While true, the network drops packets that are neither from nor for one of the addresses.
    pub source_dest_check: bool,
    pub groups: Vec<String>,
    pub description: String,
    pub attachment: Option<Attachment>,
}

/// Which device of which instance it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// `eni-attach-…`
    pub id: String,
    pub instance: String,
    /// 0 is the primary interface.
    pub device_index: u32,
    pub attached_at: OffsetDateTime,
    pub delete_on_termination: bool,
}

/// What an interface is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewInterface {
    pub subnet: String,
    pub groups: Vec<String>,
    pub primary: Option<Ipv4Addr>,
    /// Further addresses, as many as this.
    pub secondary: u32,
    pub ipv6: Ipv6Wish,
    pub description: String,
}

impl NetworkInterface {
    /// The primary private address.
    pub fn address(&self) -> Ipv4Addr {
        self.addresses[0]
    }
}

impl Ec2 {
    /// An interface that is attached to nothing.
    pub fn create_interface(
        &mut self,
        ids: &mut Ids,
        new: &NewInterface,
    ) -> Result<String, ServiceError> {
        let (vpc, zone) =
            self.subnet(&new.subnet).map(|subnet| (subnet.vpc.clone(), subnet.zone.clone()))?;
        let groups = self.groups_in(&vpc, &new.groups)?;
        let id = ids.resource("eni");
        let ipv6 = self.ipv6_addresses(ids, &new.subnet, &new.ipv6)?;
        let first = self.take_address(&new.subnet, new.primary)?;
        let interface = NetworkInterface {
            id: id.clone(),
            vpc,
            subnet: new.subnet.clone(),
            zone,
            mac: mac(ids),
            addresses: vec![first],
            ipv6,
            source_dest_check: true,
            groups,
            description: new.description.clone(),
            attachment: None,
        };
        self.interfaces.insert(id.clone(), interface);
        for _ in 0..new.secondary {
            match self.take_address(&new.subnet, None) {
                Ok(address) => self
                    .interfaces
                    .get_mut(&id)
                    .into_iter()
                    .for_each(|held| held.addresses.push(address)),
                Err(refused) => {
                    self.interfaces.remove(&id);
                    return Err(refused);
                }
            }
        }
        Ok(id)
    }

    pub fn interface(&self, id: &str) -> Result<&NetworkInterface, ServiceError> {
        self.interfaces.get(id).ok_or_else(|| errors::no_interface(id))
    }

    /// The interfaces of an instance, the primary one first.
    pub fn interfaces_of(&self, instance: &str) -> Vec<&NetworkInterface> {
        let held = self.instances.get(instance).into_iter().flat_map(|held| &held.interfaces);
        held.filter_map(|id| self.interfaces.get(id)).collect()
    }

    /// The interface that has this address, primary or not. Addresses are told apart by region,
    /// not by VPC: a lab has one address space.
    pub fn interface_by_address(&self, address: IpAddr) -> Option<&NetworkInterface> {
        self.interfaces.values().find(|interface| match address {
            IpAddr::V4(address) => interface.addresses.contains(&address),
            IpAddr::V6(address) => interface.ipv6.contains(&address),
        })
    }

    /// The instance that an interface is attached to.
    pub fn holder_of(&self, interface: &str) -> Option<&Instance> {
        self.instances.get(&self.interfaces.get(interface)?.attachment.as_ref()?.instance)
    }
}

/// A locally administered address, as EC2's are.
fn mac(ids: &mut Ids) -> String {
    let digits = ids.hex(10);
    let octets: Vec<&str> = (0..5).map(|at| &digits[2 * at..2 * at + 2]).collect();
    format!("02:{}", octets.join(":"))
}
