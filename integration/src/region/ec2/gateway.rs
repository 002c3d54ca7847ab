//! Internet gateways: Amazon VPC User Guide, "Enable internet access for a VPC using an internet
//! gateway".

use super::{Ec2, errors};
use crate::region::call::ServiceError;
use crate::region::ids::Ids;

/// A VPC's way to hosts beyond it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternetGateway {
    /// `igw-…`
    pub id: String,
    /// "An internet gateway can be attached to one VPC", and the other way round.
    pub vpc: Option<String>,
}

impl Ec2 {
    /// A gateway that is attached to nothing.
    pub fn create_internet_gateway(&mut self, ids: &mut Ids) -> String {
        let id = ids.resource("igw");
        self.gateways.insert(id.clone(), InternetGateway { id: id.clone(), vpc: None });
        id
    }

    pub fn attach_internet_gateway(&mut self, id: &str, vpc: &str) -> Result<(), ServiceError> {
        self.vpc(vpc)?;
        if let Some(other) = self.gateways.values().find(|held| held.vpc.as_deref() == Some(vpc)) {
            return Err(ServiceError::client(
                "InvalidParameterValue",
                format!("Network {vpc} already has an internet gateway attached: {}", other.id),
            ));
        }
        let held = self.gateways.get_mut(id).ok_or_else(|| errors::no_internet_gateway(id))?;
        if held.vpc.is_some() {
            return Err(ServiceError::client(
                "Resource.AlreadyAssociated",
                format!("resource {id} is already attached to network {vpc}"),
            ));
        }
        held.vpc = Some(vpc.to_owned());
        self.touch_network();
        Ok(())
    }

    /// Routes to it become blackholes.
    pub fn detach_internet_gateway(&mut self, id: &str, vpc: &str) -> Result<(), ServiceError> {
        let held = self.gateways.get_mut(id).ok_or_else(|| errors::no_internet_gateway(id))?;
        if held.vpc.as_deref() != Some(vpc) {
            return Err(ServiceError::client(
                "Gateway.NotAttached",
                format!("resource {id} is not attached to network {vpc}"),
            ));
        }
        held.vpc = None;
        self.touch_network();
        Ok(())
    }

    pub fn internet_gateway(&self, id: &str) -> Option<&InternetGateway> {
        self.gateways.get(id)
    }
}
