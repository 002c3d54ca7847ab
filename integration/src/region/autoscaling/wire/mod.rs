//! Auto Scaling's query protocol: which action is which function, and what all of them share.
//!
//! Names are those of the Amazon EC2 Auto Scaling API Reference, 2011-01-01.

mod activities;
mod groups;
mod hooks;
mod instances;
mod refreshes;
mod warm_pools;

use time::OffsetDateTime;

use crate::region::call::{Call, ServiceError};
use crate::region::ec2::{Cut, Page};
use crate::region::state::State;
use crate::region::xml::{Element, timestamp};

type Action = fn(&mut State, &Call<'_>) -> Result<Element, ServiceError>;

/// One action of Auto Scaling's query protocol. What it makes due happens before anybody else asks.
pub fn handle(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let action = named(call.action).ok_or_else(|| ServiceError::invalid_action(call.action))?;
    action(state, call)
}

fn named(action: &str) -> Option<Action> {
    Some(match action {
        "CancelInstanceRefresh" => refreshes::cancel,
        "CompleteLifecycleAction" => hooks::complete,
        "CreateAutoScalingGroup" => groups::create,
        "DeleteAutoScalingGroup" => groups::delete,
        "DeleteLifecycleHook" => hooks::delete,
        "DeleteWarmPool" => warm_pools::delete,
        "DescribeAutoScalingGroups" => groups::describe,
        "DescribeAutoScalingInstances" => instances::describe,
        "DescribeInstanceRefreshes" => refreshes::describe,
        "DescribeLifecycleHooks" => hooks::describe,
        "DescribeScalingActivities" => activities::describe,
        "DescribeWarmPool" => warm_pools::describe,
        "DetachInstances" => instances::detach,
        "EnterStandby" => instances::enter,
        "ExitStandby" => instances::exit,
        "PutLifecycleHook" => hooks::put,
        "PutWarmPool" => warm_pools::put,
        "RecordLifecycleActionHeartbeat" => hooks::heartbeat,
        "SetDesiredCapacity" => groups::set_desired,
        "SetInstanceHealth" => instances::set_instance_health,
        "SetInstanceProtection" => instances::set_protection,
        "StartInstanceRefresh" => refreshes::start,
        "TerminateInstanceInAutoScalingGroup" => instances::terminate,
        "UpdateAutoScalingGroup" => groups::update,
        _ => return None,
    })
}

/// `MaxRecords` and `NextToken`; so many by default, so many at most.
fn page(call: &Call<'_>, default: usize, most: usize) -> Result<Page, ServiceError> {
    Page::named(call.params, "MaxRecords", 1..=most, default)
}

/// Answers with `set` around the members and the token for more.
fn answer(set: &str, cut: Cut<Element>) -> Element {
    Element::answer().list(set, cut.items).optional("NextToken", cut.next_token)
}

/// Auto Scaling tells times to the second.
fn second(at: OffsetDateTime) -> String {
    timestamp(at.replace_nanosecond(0).unwrap_or(at))
}
