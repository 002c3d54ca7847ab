//! What a caller must be allowed: Service Authorization Reference, "Actions, resources, and
//! condition keys for Amazon EC2 Auto Scaling".

use super::Group;
use super::group::GroupTag;
use crate::region::call::Call;
use crate::region::iam::Access;
use crate::region::state::State;

/// Every access must be allowed. Describe actions have no resource-level permissions.
pub fn requires(state: &State, call: &Call<'_>) -> Vec<Access> {
    let action = format!("autoscaling:{}", call.action);
    if call.action.starts_with("Describe") {
        return vec![Access::new(action, "*")];
    }
    let named = call.params.get("AutoScalingGroupName");
    let group = match named {
        Some(name) => state.autoscaling.group(name),
        None => call.params.get("InstanceId").and_then(|id| Some(state.autoscaling.member(id)?.0)),
    };
    let access = match group {
        Some(group) => on_group(action, group),
        None => Access::new(action, unknown_group(state, named.unwrap_or("*"))),
    };
    let tags = call.params.structures("Tags");
    vec![tags.iter().fold(access, |access, tag| {
        let (key, value) =
            (tag.get("Key").unwrap_or_default(), tag.get("Value").unwrap_or_default());
        access.with(format!("aws:RequestTag/{key}"), value).with("aws:TagKeys", key)
    })]
}

fn on_group(action: String, group: &Group) -> Access {
    group.tags.iter().fold(
        Access::new(action, &group.arn),
        |access, GroupTag { key, value, .. }| {
            access
                .with(format!("aws:ResourceTag/{key}"), value)
                .with(format!("autoscaling:ResourceTag/{key}"), value)
        },
    )
}

/// One that is to be made, or does not exist.
fn unknown_group(state: &State, name: &str) -> String {
    let settings = &state.settings;
    format!(
        "arn:aws:autoscaling:{}:{}:autoScalingGroup:*:autoScalingGroupName/{name}",
        settings.name, settings.account
    )
}
