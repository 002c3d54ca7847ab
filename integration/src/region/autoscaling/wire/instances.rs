//! Instances of groups.

use super::activities::activity_item;
use super::groups::{member_item, required};
use super::{answer, page};
use crate::region::autoscaling::terminate_member;
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
    required(call.params, "ShouldDecrementDesiredCapacity")?;
    let decrement = call.params.flag("ShouldDecrementDesiredCapacity")?.unwrap_or(false);
    let activity = terminate_member(state, id, decrement, call.now)?;
    let told = state.autoscaling.activities().iter().filter(|held| held.id == activity);
    Ok(told.fold(Element::answer(), |answer, held| answer.with(activity_item("Activity", held))))
}
