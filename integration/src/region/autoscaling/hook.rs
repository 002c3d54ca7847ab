//! Lifecycle hooks: Auto Scaling User Guide, "Amazon EC2 Auto Scaling lifecycle hooks".

use std::time::Duration;

use super::group::{Group, invalid};
use crate::region::call::ServiceError;

/// "HeartbeatTimeout: the range is from 30 to 7200 seconds. The default value is 3600."
const TIMEOUT_SECONDS: std::ops::RangeInclusive<u64> = 30..=7200;
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(3600);
/// "The maximum is 172800 seconds (48 hours) or 100 times HeartbeatTimeout, whichever is smaller."
const GLOBAL_MAX: Duration = Duration::from_secs(48 * 3600);
const GLOBAL_TIMES: u32 = 100;
/// "Lifecycle hooks per Auto Scaling group: 50."
const HOOKS_MAX: usize = 50;

/// A pause that a group makes with each instance on its way in or out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    pub name: String,
    pub transition: Transition,
    pub heartbeat_timeout: Duration,
    /// What holds when nobody says anything in time.
    pub default_result: ActionResult,
    pub notification_metadata: Option<String>,
    pub notification_target: Option<String>,
    pub role: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    Launching,
    Terminating,
}

/// How a lifecycle action ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionResult {
    Continue,
    Abandon,
}

/// What PutLifecycleHook sets; what is left open keeps its value, or gets the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewHook {
    pub name: String,
    pub transition: Option<Transition>,
    pub heartbeat_timeout: Option<Duration>,
    pub default_result: Option<ActionResult>,
    pub notification_metadata: Option<String>,
    pub notification_target: Option<String>,
    pub role: Option<String>,
}

impl Hook {
    /// The longest that an instance can be kept waiting, heartbeats or not.
    pub fn global_timeout(&self) -> Duration {
        GLOBAL_MAX.min(self.heartbeat_timeout * GLOBAL_TIMES)
    }
}

impl Group {
    /// Makes a hook, or changes one. Actions that are under way keep what they began with.
    pub fn put_hook(&mut self, new: NewHook) -> Result<(), ServiceError> {
        if let Some(timeout) =
            new.heartbeat_timeout.filter(|held| !TIMEOUT_SECONDS.contains(&held.as_secs()))
        {
            return Err(invalid(format!(
                "Heartbeat timeout {} must be between {} and {} seconds",
                timeout.as_secs(),
                TIMEOUT_SECONDS.start(),
                TIMEOUT_SECONDS.end()
            )));
        }
        let old = self.hooks.get(&new.name);
        if old.is_none() && self.hooks.len() >= HOOKS_MAX {
            return Err(ServiceError::client(
                "LimitExceeded",
                format!("A group has at most {HOOKS_MAX} lifecycle hooks"),
            ));
        }
        let transition = new.transition.or(old.map(|old| old.transition));
        let hook = Hook {
            transition: transition.ok_or_else(|| {
                invalid("LifecycleTransition is required for a new lifecycle hook")
            })?,
            heartbeat_timeout: new
                .heartbeat_timeout
                .or(old.map(|old| old.heartbeat_timeout))
                .unwrap_or(TIMEOUT_DEFAULT),
            default_result: new
                .default_result
                .or(old.map(|old| old.default_result))
                .unwrap_or(ActionResult::Abandon),
            notification_metadata: new
                .notification_metadata
                .or(old.and_then(|old| old.notification_metadata.clone())),
            notification_target: new
                .notification_target
                .or(old.and_then(|old| old.notification_target.clone())),
            role: new.role.or(old.and_then(|old| old.role.clone())),
            name: new.name,
        };
        self.hooks.insert(hook.name.clone(), hook);
        Ok(())
    }
}

impl Transition {
    pub fn name(self) -> &'static str {
        match self {
            Self::Launching => "autoscaling:EC2_INSTANCE_LAUNCHING",
            Self::Terminating => "autoscaling:EC2_INSTANCE_TERMINATING",
        }
    }

    pub fn named(name: &str) -> Result<Self, ServiceError> {
        [Self::Launching, Self::Terminating]
            .into_iter()
            .find(|held| held.name() == name)
            .ok_or_else(|| {
                invalid(format!(
                    "Unknown lifecycle transition '{name}': it is neither {} nor {}",
                    Self::Launching.name(),
                    Self::Terminating.name()
                ))
            })
    }
}

impl ActionResult {
    pub fn name(self) -> &'static str {
        match self {
            Self::Continue => "CONTINUE",
            Self::Abandon => "ABANDON",
        }
    }

    pub fn named(name: &str) -> Result<Self, ServiceError> {
        [Self::Continue, Self::Abandon].into_iter().find(|held| held.name() == name).ok_or_else(
            || {
                invalid(format!(
                    "Unknown lifecycle action result '{name}': it is neither CONTINUE nor ABANDON"
                ))
            },
        )
    }
}
