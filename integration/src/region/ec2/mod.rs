//! EC2: instances, interfaces, subnets, VPCs and route tables.

use std::net::IpAddr;

use time::OffsetDateTime;

use super::call::{Call, ServiceError};
use super::iam::Access;
use super::imds::Machine;
use super::state::State;
use super::xml::Element;

/// What EC2 knows.
#[derive(Clone, Debug, Default)]
pub struct Ec2 {}

impl Ec2 {
    /// The pending, running or stopping instance that has this address, as its metadata service
    /// describes it.
    pub fn machine_at(&self, _address: IpAddr) -> Option<Machine> {
        None
    }

    /// When the next state moves by itself.
    pub fn next_deadline(&self) -> Option<OffsetDateTime> {
        None
    }
}

/// Moves every state whose time has come.
pub fn advance(_state: &mut State, _now: OffsetDateTime) {}

/// One action of EC2's query protocol.
pub fn handle(_state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    Err(ServiceError::invalid_action(call.action))
}

/// What the caller must be allowed for this action.
pub fn requires(_state: &State, _call: &Call<'_>) -> Vec<Access> {
    Vec::new()
}
