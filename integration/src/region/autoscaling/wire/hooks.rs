//! Lifecycle hooks and actions.

use std::time::Duration;

use super::groups::required;
use crate::region::autoscaling::group::{invalid, no_group};
use crate::region::autoscaling::{
    ActionName, ActionRef, ActionResult, Hook, NewHook, Transition, complete as complete_action,
    delete_hook, heartbeat as beat,
};
use crate::region::call::{Call, ServiceError};
use crate::region::params::Params;
use crate::region::state::State;
use crate::region::xml::Element;

pub fn put(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let name = required(call.params, "AutoScalingGroupName")?;
    let hook = new_hook(call.params)?;
    state.autoscaling.group_mut(name)?.put_hook(hook)?;
    Ok(Element::answer())
}

pub fn delete(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let (group, name) = (
        required(call.params, "AutoScalingGroupName")?,
        required(call.params, "LifecycleHookName")?,
    );
    delete_hook(state, group, name, call.now)?;
    Ok(Element::answer())
}

pub fn describe(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let name = required(call.params, "AutoScalingGroupName")?;
    let group = state.autoscaling.group(name).ok_or_else(|| no_group(name))?;
    let names = call.params.list("LifecycleHookNames");
    let found =
        group.hooks.values().filter(|hook| names.is_empty() || names.contains(&hook.name.as_str()));
    Ok(Element::answer().list("LifecycleHooks", found.map(|hook| hook_item(name, hook))))
}

pub fn complete(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let result = ActionResult::named(required(call.params, "LifecycleActionResult")?)?;
    complete_action(state, action(call.params)?, result, call.now)?;
    Ok(Element::answer())
}

pub fn heartbeat(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    beat(state, action(call.params)?, call.now)?;
    Ok(Element::answer())
}

/// A hook as PutLifecycleHook and CreateAutoScalingGroup describe it.
pub fn new_hook(params: &Params) -> Result<NewHook, ServiceError> {
    let text = |name: &str| params.get(name).map(str::to_owned);
    let seconds: Option<u64> =
        params.number("HeartbeatTimeout").map_err(|refused| invalid(refused.message))?;
    Ok(NewHook {
        name: required(params, "LifecycleHookName")?.to_owned(),
        transition: params.get("LifecycleTransition").map(Transition::named).transpose()?,
        heartbeat_timeout: seconds.map(Duration::from_secs),
        default_result: params.get("DefaultResult").map(ActionResult::named).transpose()?,
        notification_metadata: text("NotificationMetadata"),
        notification_target: text("NotificationTargetARN"),
        role: text("RoleARN"),
    })
}

fn action(params: &Params) -> Result<ActionRef<'_>, ServiceError> {
    let by = match (params.get("LifecycleActionToken"), params.get("InstanceId")) {
        (Some(token), _) => ActionName::Token(token),
        (None, Some(id)) => ActionName::Instance(id),
        (None, None) => {
            return Err(invalid("Either LifecycleActionToken or InstanceId must be specified"));
        }
    };
    Ok(ActionRef {
        group: required(params, "AutoScalingGroupName")?,
        hook: required(params, "LifecycleHookName")?,
        by,
    })
}

fn hook_item(group: &str, hook: &Hook) -> Element {
    Element::new("member")
        .field("LifecycleHookName", &hook.name)
        .field("AutoScalingGroupName", group)
        .field("LifecycleTransition", hook.transition.name())
        .optional("NotificationTargetARN", hook.notification_target.as_ref())
        .optional("RoleARN", hook.role.as_ref())
        .optional("NotificationMetadata", hook.notification_metadata.as_ref())
        .field("HeartbeatTimeout", hook.heartbeat_timeout.as_secs())
        .field("GlobalTimeout", hook.global_timeout().as_secs())
        .field("DefaultResult", hook.default_result.name())
}
