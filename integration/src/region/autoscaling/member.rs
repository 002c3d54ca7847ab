//! An instance as its group sees it: Auto Scaling User Guide, "Amazon EC2 Auto Scaling instance
//! lifecycle".

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

use super::hook::{ActionResult, Hook};
use super::rebalance::Outgoing;
use super::warm_pool::PoolState;
use crate::region::ids::Ids;

/// One instance of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub instance: String,
    pub instance_type: String,
    pub image: String,
    pub subnet: String,
    pub zone: String,
    /// The launch template's ID and name, and the version as a number.
    pub template: (String, String, u64),
    pub state: LifecycleState,
    pub healthy: bool,
    pub protected: bool,
    pub launched_at: OffsetDateTime,
    /// When it was last put into service.
    pub in_service_since: Option<OffsetDateTime>,
    /// In the warm pool, or on its way there or out of it to the end: how it rests there.
    pub warmed: Option<PoolState>,
    /// Its successor is awaited.
    pub outgoing: Option<Outgoing>,
    /// The activity that is under way for it: its launch, then its termination.
    pub activity: String,
}

/// Where an instance is on the page's picture. When it is terminated it leaves its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LifecycleState {
    /// Until EC2 says that it runs.
    Pending,
    PendingWait(Actions),
    PendingProceed {
        until: OffsetDateTime,
    },
    InService,
    /// In the warm pool: until EC2 says that it is stopped.
    Settling,
    /// In the warm pool.
    Resting,
    EnteringStandby {
        until: OffsetDateTime,
    },
    Standby,
    Detaching {
        until: OffsetDateTime,
    },
    /// Without hooks: until EC2 says that it is terminated.
    Terminating,
    TerminatingWait(Actions),
    TerminatingProceed {
        until: OffsetDateTime,
    },
}

/// The lifecycle actions that are waited for, by hook: each hook has one of its own.
pub type Actions = BTreeMap<String, PendingAction>;

/// A lifecycle action that nobody has completed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingAction {
    /// A UUID.
    pub token: String,
    pub default_result: ActionResult,
    pub heartbeat_timeout: Duration,
    /// Without a heartbeat it is over then.
    pub deadline: OffsetDateTime,
    /// With heartbeats too.
    pub global_deadline: OffsetDateTime,
}

impl Member {
    /// As DescribeAutoScalingInstances tells it.
    pub fn lifecycle_state(&self) -> &'static str {
        let Some(rest) = self.warmed else { return self.state.name() };
        match &self.state {
            LifecycleState::Pending => "Warmed:Pending",
            LifecycleState::PendingWait(_) => "Warmed:Pending:Wait",
            LifecycleState::PendingProceed { .. } | LifecycleState::Settling => {
                "Warmed:Pending:Proceed"
            }
            LifecycleState::Terminating => "Warmed:Terminating",
            LifecycleState::TerminatingWait(_) => "Warmed:Terminating:Wait",
            LifecycleState::TerminatingProceed { .. } => "Warmed:Terminating:Proceed",
            _ => rest.lifecycle_state(),
        }
    }

    /// The state that it is going to, or is in.
    pub fn target(&self) -> &'static str {
        match (self.warmed, self.state.is_leaving()) {
            (None, _) => self.state.target(),
            (Some(_), true) => "Warmed:Terminated",
            (Some(rest), false) => rest.lifecycle_state(),
        }
    }

    /// In service or on its way there: it is a part of the group's capacity.
    pub fn counts(&self) -> bool {
        self.target() == "InService"
    }
}

impl LifecycleState {
    /// As DescribeAutoScalingInstances tells it of a member outside of the warm pool.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::PendingWait(_) => "Pending:Wait",
            Self::PendingProceed { .. } => "Pending:Proceed",
            Self::InService => "InService",
            Self::Settling => "Pending:Proceed",
            Self::Resting => "Running",
            Self::EnteringStandby { .. } => "EnteringStandby",
            Self::Standby => "Standby",
            Self::Detaching { .. } => "Detaching",
            Self::Terminating => "Terminating",
            Self::TerminatingWait(_) => "Terminating:Wait",
            Self::TerminatingProceed { .. } => "Terminating:Proceed",
        }
    }

    /// The state that it is going to, or is in, outside of the warm pool.
    fn target(&self) -> &'static str {
        match self {
            Self::Pending
            | Self::PendingWait(_)
            | Self::PendingProceed { .. }
            | Self::Settling
            | Self::Resting
            | Self::InService => "InService",
            Self::EnteringStandby { .. } | Self::Standby => "Standby",
            Self::Detaching { .. } => "Detached",
            Self::Terminating | Self::TerminatingWait(_) | Self::TerminatingProceed { .. } => {
                "Terminated"
            }
        }
    }

    /// On its way out of the group.
    pub fn is_leaving(&self) -> bool {
        matches!(self.target(), "Terminated" | "Detached")
    }

    /// What is waited for.
    pub fn actions(&self) -> Option<&Actions> {
        match self {
            Self::PendingWait(actions) | Self::TerminatingWait(actions) => Some(actions),
            _ => None,
        }
    }

    pub(super) fn actions_mut(&mut self) -> Option<&mut Actions> {
        match self {
            Self::PendingWait(actions) | Self::TerminatingWait(actions) => Some(actions),
            _ => None,
        }
    }

    /// When it changes by itself.
    pub(super) fn changes_at(&self) -> Option<OffsetDateTime> {
        match self {
            Self::PendingProceed { until }
            | Self::EnteringStandby { until }
            | Self::Detaching { until }
            | Self::TerminatingProceed { until } => Some(*until),
            waiting => waiting.actions()?.values().map(|action| action.deadline).min(),
        }
    }
}

impl PendingAction {
    pub(super) fn begin(ids: &mut Ids, hook: &Hook, now: OffsetDateTime) -> Self {
        Self {
            token: ids.uuid(),
            default_result: hook.default_result,
            heartbeat_timeout: hook.heartbeat_timeout,
            deadline: now + hook.heartbeat_timeout,
            global_deadline: now + hook.global_timeout(),
        }
    }

    /// Somebody is still at it. "The timeout is extended by HeartbeatTimeout", up to the global one.
    pub(super) fn beat(&mut self, now: OffsetDateTime) {
        self.deadline = (now + self.heartbeat_timeout).min(self.global_deadline);
    }
}
