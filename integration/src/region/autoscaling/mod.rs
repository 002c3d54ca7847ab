//! Auto Scaling: groups, their instances' states, lifecycle hooks.

use time::OffsetDateTime;

use super::call::{Call, ServiceError};
use super::iam::Access;
use super::state::State;
use super::xml::Element;

/// What Auto Scaling knows.
#[derive(Clone, Debug, Default)]
pub struct AutoScaling {}

impl AutoScaling {
    /// The metadata service's `autoscaling/target-lifecycle-state` of a group's instance.
    pub fn target_lifecycle_state(&self, _instance: &str) -> Option<String> {
        None
    }

    /// When the next hook times out or the next replacement is due.
    pub fn next_deadline(&self) -> Option<OffsetDateTime> {
        None
    }
}

/// Moves every state whose time has come; launches and terminates through EC2.
pub fn advance(_state: &mut State, _now: OffsetDateTime) {}

/// One action of Auto Scaling's query protocol.
pub fn handle(_state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    Err(ServiceError::invalid_action(call.action))
}

/// What the caller must be allowed for this action.
pub fn requires(_state: &State, _call: &Call<'_>) -> Vec<Access> {
    Vec::new()
}
