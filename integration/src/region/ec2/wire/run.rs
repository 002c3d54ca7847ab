//! RunInstances, and what is done to instances afterwards.

use time::OffsetDateTime;

use super::instance_item::{metadata_options, state_item, whole};
use super::instances::reservation;
use super::{done, templates};
use crate::region::call::{Call, ServiceError};
use crate::region::ec2::instance::{Instance, InstanceState, well_formed};
use crate::region::ec2::launch_spec::{LaunchSpec, MetadataChange};
use crate::region::ec2::{Ec2, Order, Tags, errors, tags};
use crate::region::params::Params;
use crate::region::state::State;
use crate::region::xml::Element;

pub fn run(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let order = order(&state.ec2, call)?;
    let launched = state.ec2.launch(&mut state.ids, &state.iam, &order)?;
    let ec2 = &state.ec2;
    let instances: Vec<&Instance> =
        launched.iter().filter_map(|id| ec2.instances.get(id)).collect();
    let id = instances.first().map_or("", |held| held.reservation.as_str());
    let told = reservation(ec2, id, instances.iter().map(|held| whole(ec2, held)).collect());
    Ok(told.into_children().into_iter().fold(Element::answer(), Element::with))
}

pub fn terminate(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    change_each(state, call, Ec2::terminate)
}

pub fn stop(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    change_each(state, call, Ec2::stop)
}

pub fn start(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    change_each(state, call, Ec2::start)
}

pub fn reboot(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    change_each(state, call, Ec2::reboot)?;
    Ok(done())
}

pub fn modify_metadata(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let id = call.params.required("InstanceId")?;
    let change = MetadataChange::of(call.params)?;
    if change.tags_enabled == Some(true) {
        state.ec2.tags_of(id).keys().try_for_each(|key| tags::fit_for_metadata(key))?;
    }
    let held = state.ec2.instances.get_mut(id).ok_or_else(|| errors::no_instances(&[id]))?;
    if held.state.is_ending() {
        return Err(ServiceError::client(
            "IncorrectInstanceState",
            format!(
                "The instance '{id}' is not in a state from which its metadata options can be modified."
            ),
        ));
    }
    change.apply(&mut held.metadata);
    Ok(Element::answer()
        .field("instanceId", id)
        .with(metadata_options("instanceMetadataOptions", &held.metadata)))
}

/// The request's parameters over those of its launch template.
fn order(ec2: &Ec2, call: &Call<'_>) -> Result<Order, ServiceError> {
    let least: u32 = call
        .params
        .number("MinCount")?
        .ok_or_else(|| ServiceError::missing_parameter("MinCount"))?;
    let most: u32 = call
        .params
        .number("MaxCount")?
        .ok_or_else(|| ServiceError::missing_parameter("MaxCount"))?;
    if least == 0 || least > most {
        return Err(errors::bad_value(
            &least.to_string(),
            "minCount",
            "It must be from 1 to maxCount.",
        ));
    }
    let (spec, aws_tags) = wish(ec2, call.params)?;
    Ok(Order {
        spec,
        count: most,
        client_token: call.params.get("ClientToken").map(str::to_owned),
        aws_tags,
        now: call.now,
    })
}

/// What RunInstances' parameters ask for, launch template included, and the template's marks.
pub fn wish(ec2: &Ec2, params: &Params) -> Result<(LaunchSpec, Tags), ServiceError> {
    let asked = LaunchSpec::of(params)?;
    let template = params.structure("LaunchTemplate");
    if template.is_empty() {
        return Ok((asked, Tags::new()));
    }
    let held = ec2.template(&templates::name_of(&template)?)?;
    let version = held.version(template.get("Version"))?;
    Ok((asked.over(version.spec.clone()), version.marks(&held.id)))
}

/// Changes all instances named, or with an error none.
fn change_each(
    state: &mut State,
    call: &Call<'_>,
    change: fn(&mut Ec2, &str, OffsetDateTime) -> Result<(), ServiceError>,
) -> Result<Element, ServiceError> {
    let ids = named(&state.ec2, call.params)?;
    let before: Vec<InstanceState> =
        ids.iter().filter_map(|id| Some(state.ec2.instances.get(*id)?.state)).collect();
    let untouched = state.ec2.clone();
    if let Err(refused) = ids.iter().try_for_each(|id| change(&mut state.ec2, id, call.now)) {
        state.ec2 = untouched;
        return Err(refused);
    }
    let changed = ids.iter().zip(before).filter_map(|(id, before)| {
        let now = state.ec2.instances.get(*id)?.state;
        let item = Element::new("item").field("instanceId", id);
        Some(item.with(state_item("currentState", now)).with(state_item("previousState", before)))
    });
    Ok(Element::answer().list("instancesSet", changed))
}

fn named<'a>(ec2: &Ec2, params: &'a Params) -> Result<Vec<&'a str>, ServiceError> {
    let ids = params.list("InstanceId");
    if ids.is_empty() {
        return Err(ServiceError::missing_parameter("InstanceId"));
    }
    if let Some(bad) = ids.iter().find(|id| !well_formed(id)) {
        return Err(errors::malformed_instance(bad));
    }
    let missing: Vec<&str> =
        ids.iter().copied().filter(|id| !ec2.instances.contains_key(*id)).collect();
    if missing.is_empty() { Ok(ids) } else { Err(errors::no_instances(&missing)) }
}
