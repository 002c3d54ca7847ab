//! DescribeScalingActivities.

use super::{page, second};
use crate::region::autoscaling::Activity;
use crate::region::call::{Call, ServiceError};
use crate::region::state::State;
use crate::region::xml::Element;

/// "The most recent activities first"; those of deleted groups only if asked for.
pub fn describe(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let ids = call.params.list("ActivityIds");
    let deleted_too = call.params.flag("IncludeDeletedGroups")?.unwrap_or(false);
    let group = call.params.get("AutoScalingGroupName");
    let all = state.autoscaling.activities().iter().enumerate().rev();
    let found = all.filter(|(_, held)| {
        (ids.is_empty() || ids.contains(&held.id.as_str()))
            && group.is_none_or(|name| name == held.group)
            && (deleted_too || state.autoscaling.group(&held.group).is_some())
    });
    let keyed = found.map(|(place, held)| {
        (format!("{:020}", usize::MAX - place), activity_item("member", held))
    });
    Ok(super::answer("Activities", page(call, 100, 100)?.cut(keyed)))
}

pub fn activity_item(name: &str, held: &Activity) -> Element {
    Element::new(name)
        .field("ActivityId", &held.id)
        .field("AutoScalingGroupName", &held.group)
        .field("AutoScalingGroupARN", &held.group_arn)
        .field("Description", &held.description)
        .field("Cause", &held.cause)
        .field("StartTime", second(held.started_at))
        .optional("EndTime", held.ended_at.map(second))
        .field("StatusCode", held.status.name())
        .optional("StatusMessage", held.status_message.as_ref())
        .field("Progress", held.status.progress())
        .field("Details", &held.details)
}
