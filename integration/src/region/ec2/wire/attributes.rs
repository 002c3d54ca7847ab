//! ModifyNetworkInterfaceAttribute and ModifyInstanceAttribute: which attribute is meant.

use super::done;
use crate::region::call::{Call, ServiceError};
use crate::region::ec2::InterfaceChange;
use crate::region::params::Params;
use crate::region::state::State;
use crate::region::xml::Element;

pub fn modify_interface(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let params = call.params;
    let id = params.required("NetworkInterfaceId")?;
    let groups = params.list("SecurityGroupId").into_iter().map(str::to_owned).collect::<Vec<_>>();
    let description = params.get("Description.Value");
    let attachment = params.structure("Attachment");
    let change = only(vec![
        ("sourceDestCheck", source_dest_check(params)?),
        ("description", description.map(|text| InterfaceChange::Description(text.to_owned()))),
        ("groupSet", Some(groups).filter(|ids| !ids.is_empty()).map(InterfaceChange::Groups)),
        ("attachment", deletes_on_termination(&attachment)?),
    ])?;
    state.ec2.modify_interface(id, change)?;
    Ok(done())
}

/// What the instance has of its interface: "the instance and its primary interface" are one in
/// this, and of an instance with several the interface must be named.
pub fn modify_instance(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let params = call.params;
    let id = params.required("InstanceId")?;
    let groups = params.list("GroupId").into_iter().map(str::to_owned).collect::<Vec<_>>();
    // An older spelling of the same: Attribute=sourceDestCheck&Value=false.
    let spelled_out = params.get("Attribute") == Some("sourceDestCheck");
    let older = if spelled_out { params.flag("Value")? } else { None };
    let change = only(vec![
        (
            "sourceDestCheck",
            source_dest_check(params)?.or(older.map(InterfaceChange::SourceDestCheck)),
        ),
        ("groupSet", Some(groups).filter(|ids| !ids.is_empty()).map(InterfaceChange::Groups)),
    ])?;
    let held = state.ec2.known_instance(id, call.now)?;
    let interface = state.ec2.sole_interface_of(held)?.to_owned();
    state.ec2.modify_interface(&interface, change)?;
    Ok(done())
}

fn source_dest_check(params: &Params) -> Result<Option<InterfaceChange>, ServiceError> {
    Ok(params.flag("SourceDestCheck.Value")?.map(InterfaceChange::SourceDestCheck))
}

fn deletes_on_termination(attachment: &Params) -> Result<Option<InterfaceChange>, ServiceError> {
    let Some(on) = attachment.flag("DeleteOnTermination")? else { return Ok(None) };
    let id = attachment.required("AttachmentId")?.to_owned();
    Ok(Some(InterfaceChange::DeleteOnTermination(id, on)))
}

/// The only change among those by attribute.
fn only(asked: Vec<(&str, Option<InterfaceChange>)>) -> Result<InterfaceChange, ServiceError> {
    let refuse = |why: String| ServiceError::client("InvalidParameterCombination", why);
    let mut given: Vec<(&str, InterfaceChange)> =
        asked.into_iter().filter_map(|(name, change)| Some((name, change?))).collect();
    match given.len() {
        0 => Err(refuse("No attributes specified.".to_owned())),
        1 => Ok(given.remove(0).1),
        _ => {
            let names: Vec<&str> = given.iter().map(|(name, _)| *name).collect();
            Err(refuse(format!(
                "Fields for multiple attribute types specified: {}",
                names.join(", ")
            )))
        }
    }
}
