//! STS: only who is calling.

use super::call::{Call, ServiceError};
use super::state::State;
use super::xml::Element;

/// AWS STS API Reference, "GetCallerIdentity". No permission is needed for it.
pub fn handle(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    match call.action {
        "GetCallerIdentity" => Ok(Element::answer()
            .field("Arn", call.caller.arn())
            .field("UserId", call.caller.userid())
            .field("Account", &state.settings.account)),
        other => Err(ServiceError::invalid_action(other)),
    }
}
