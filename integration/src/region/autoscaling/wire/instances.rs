//! Instances of groups.

use super::activities::activity_item;
use super::groups::{member_item, required};
use super::{answer, page};
use crate::region::autoscaling::{
    Verdict, detach_instances, enter_standby, exit_standby, set_health, terminate_member,
    verdict_named,
};
use crate::region::call::{Call, ServiceError};
use crate::region::state::State;
use crate::region::xml::Element;

/// Instances that are in no group are passed over.
pub fn describe(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let ids = call.params.list("InstanceIds");
    let mut found = Vec::new();
    for group in state.autoscaling.groups() {
        let members = group.members.values();
        for member in
            members.filter(|member| ids.is_empty() || ids.contains(&member.instance.as_str()))
        {
            let health = if member.healthy { "HEALTHY" } else { "UNHEALTHY" };
            let item = member_item(state, member);
            let item =
                item.field("AutoScalingGroupName", &group.name).field("HealthStatus", health);
            found.push((member.instance.clone(), item));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(answer("AutoScalingInstances", page(call, 50, 50)?.cut(found)))
}

pub fn terminate(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let id = required(call.params, "InstanceId")?;
    let decrement = decrement(call)?;
    let activity = terminate_member(state, id, decrement, call.now)?;
    let told = state.autoscaling.activities().iter().filter(|held| held.id == activity);
    Ok(told.fold(Element::answer(), |answer, held| answer.with(activity_item("Activity", held))))
}

pub fn set_instance_health(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let id = required(call.params, "InstanceId")?;
    let verdict = Verdict {
        healthy: verdict_named(required(call.params, "HealthStatus")?)?,
        respect_grace: call.params.flag("ShouldRespectGracePeriod")?.unwrap_or(true),
    };
    set_health(state, id, verdict, call.now)?;
    Ok(Element::answer())
}

pub fn set_protection(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let group = required(call.params, "AutoScalingGroupName")?;
    required(call.params, "ProtectedFromScaleIn")?;
    let protected = call.params.flag("ProtectedFromScaleIn")?.unwrap_or(false);
    state.autoscaling.set_protection(group, &call.params.list("InstanceIds"), protected)?;
    Ok(Element::answer())
}

pub fn enter(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let group = required(call.params, "AutoScalingGroupName")?;
    let begun =
        enter_standby(state, group, &call.params.list("InstanceIds"), decrement(call)?, call.now)?;
    Ok(activities(state, &begun))
}

pub fn exit(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let group = required(call.params, "AutoScalingGroupName")?;
    let begun = exit_standby(state, group, &call.params.list("InstanceIds"), call.now)?;
    Ok(activities(state, &begun))
}

pub fn detach(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let group = required(call.params, "AutoScalingGroupName")?;
    let ids = call.params.list("InstanceIds");
    let begun = detach_instances(state, group, &ids, decrement(call)?, call.now)?;
    Ok(activities(state, &begun))
}

fn decrement(call: &Call<'_>) -> Result<bool, ServiceError> {
    required(call.params, "ShouldDecrementDesiredCapacity")?;
    Ok(call.params.flag("ShouldDecrementDesiredCapacity")?.unwrap_or(false))
}

fn activities(state: &State, begun: &[String]) -> Element {
    let told = state.autoscaling.activities().iter().filter(|held| begun.contains(&held.id));
    Element::answer().list("Activities", told.map(|held| activity_item("member", held)))
}
