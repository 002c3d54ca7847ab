//! Health: Auto Scaling User Guide, "Health checks for instances in an Auto Scaling group". An
//! instance that is unhealthy is taken out, and the group launches another one at the same time.

use std::time::Duration;

use time::OffsetDateTime;

use super::converge::member_mut;
use super::ending::{begin_termination, managed};
use super::group::invalid;
use crate::region::call::ServiceError;
use crate::region::state::State;

/// What SetInstanceHealth says of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub healthy: bool,
    /// In the grace period after it came into service, `Unhealthy` is not heeded.
    pub respect_grace: bool,
}

/// SetInstanceHealth.
pub fn set_health(
    state: &mut State,
    instance: &str,
    verdict: Verdict,
    now: OffsetDateTime,
) -> Result<(), ServiceError> {
    let (group, member) = managed(state, instance)?;
    let name = group.name.clone();
    let grace = Duration::from_secs(group.health_check_grace.into());
    // Before it is in service its grace has not even begun.
    let in_grace = member.in_service_since.is_none_or(|since| now < since + grace);
    if !verdict.healthy && verdict.respect_grace && in_grace && !grace.is_zero() {
        return Ok(());
    }
    let is_kept = member.counts() || member.warmed.is_some();
    if let Some(member) = member_mut(state, &name, instance) {
        member.healthy = verdict.healthy;
    }
    if !verdict.healthy && is_kept {
        let cause =
            "an instance was taken out of service in response to a user health-check.".to_owned();
        begin_termination(state, &name, instance, &cause, now);
    }
    Ok(())
}

/// `Healthy` or `Unhealthy`, as in SetInstanceHealth.
pub fn verdict_named(name: &str) -> Result<bool, ServiceError> {
    match name {
        "Healthy" => Ok(true),
        "Unhealthy" => Ok(false),
        other => Err(invalid(format!(
            "Unknown health status '{other}': it is neither Healthy nor Unhealthy"
        ))),
    }
}

/// EC2 ended or stopped it, or somebody else did.
pub(super) fn unhealthy(state: &mut State, name: &str, id: &str, now: OffsetDateTime) {
    if let Some(member) = member_mut(state, name, id) {
        member.healthy = false;
    }
    let cause = "an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped.";
    begin_termination(state, name, id, cause, now);
}
