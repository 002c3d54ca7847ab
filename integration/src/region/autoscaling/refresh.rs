//! Instance refreshes: Auto Scaling User Guide, "Use an instance refresh to update instances in an
//! Auto Scaling group". What is asked for, how it stands, how it is begun and cancelled;
//! `refreshing` moves it.

use std::collections::BTreeSet;
use std::time::Duration;

use time::OffsetDateTime;

use super::AutoScaling;
use super::create::choose_template;
use super::group::{Group, TemplateChoice, invalid};
use crate::region::call::ServiceError;
use crate::region::ec2::TemplateName;
use crate::region::state::State;

/// The replacement of a group's instances, under way or over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// A UUID.
    pub id: String,
    pub preferences: Preferences,
    /// What new instances are made of, and the group from the success on; what the group has if
    /// left open.
    pub template: Option<TemplateChoice>,
    pub status: RefreshStatus,
    pub reason: Option<String>,
    pub asked_at: OffsetDateTime,
    pub ended_at: Option<OffsetDateTime>,
    /// How many there were to replace.
    pub total: usize,
    /// How many have a successor that is ready.
    pub replaced: usize,
    /// The instances that are to be replaced: known when it begins.
    pub(super) old: BTreeSet<String>,
    /// Since when it has waited for somebody to lift a protection or to end a standby.
    pub(super) held_back_since: Option<OffsetDateTime>,
    /// When time alone lets it go on.
    pub(super) wakes_at: Option<OffsetDateTime>,
}

/// API Reference, "InstanceRefresh", Status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshStatus {
    Pending,
    InProgress,
    Cancelling,
    Successful,
    Failed,
    Cancelled,
}

/// API Reference, "RefreshPreferences".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preferences {
    /// Of the desired capacity, rounded up: so many stay in service and ready.
    pub min_healthy_percent: u32,
    /// Of the desired capacity, rounded up: so many may be in service or pending.
    pub max_healthy_percent: u32,
    /// How long an instance is in service before it is ready. The group's health check grace period
    /// if left open.
    pub warmup: Option<Duration>,
    /// Instances that are of the wanted template version already stay.
    pub skip_matching: bool,
    pub protected: HeldBack,
    pub standby: HeldBack,
}

/// What to do with an instance that is protected from scale-in, or in standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// For an hour; then the refresh fails.
    Wait,
    Ignore,
    /// `Refresh` for a protected one, `Terminate` for one in standby.
    Replace,
}

impl Default for Preferences {
    /// User Guide, "Understand the default values for an instance refresh".
    fn default() -> Self {
        Self {
            min_healthy_percent: 90,
            max_healthy_percent: 100,
            warmup: None,
            skip_matching: false,
            protected: HeldBack::Wait,
            standby: HeldBack::Wait,
        }
    }
}

/// StartInstanceRefresh; the answer is its ID. One at a time.
pub fn start_refresh(
    state: &mut State,
    name: &str,
    preferences: Preferences,
    template: Option<(TemplateName, Option<String>)>,
    now: OffsetDateTime,
) -> Result<String, ServiceError> {
    preferences.check()?;
    let template = template
        .map(|(template, version)| choose_template(state, &template, version.as_deref()))
        .transpose()?;
    let begins_at = now + state.autoscaling.timing.refresh_begins;
    let group = state.autoscaling.group_mut(name)?;
    if group.refresh().is_some() {
        return Err(ServiceError::client(
            "InstanceRefreshInProgress",
            "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.",
        ));
    }
    let id = state.ids.uuid();
    group.refreshes.push(Refresh {
        id: id.clone(),
        preferences,
        template,
        status: RefreshStatus::Pending,
        reason: None,
        asked_at: now,
        ended_at: None,
        total: 0,
        replaced: 0,
        old: BTreeSet::new(),
        held_back_since: None,
        wakes_at: Some(begins_at),
    });
    Ok(id)
}

impl AutoScaling {
    /// CancelInstanceRefresh: no instance is replaced any more. Those that are on their way are
    /// waited for, unless that is not wanted; nothing is rolled back.
    pub fn cancel_refresh(
        &mut self,
        name: &str,
        wait_for_instances: bool,
        now: OffsetDateTime,
    ) -> Result<String, ServiceError> {
        let group = self.group_mut(name)?;
        let message = format!(
            "No in progress or pending Instance Refresh found for Auto Scaling group {name}"
        );
        let refresh = group
            .refresh_mut()
            .filter(|refresh| refresh.status != RefreshStatus::Cancelling)
            .ok_or_else(|| ServiceError::client("ActiveInstanceRefreshNotFound", message))?;
        if wait_for_instances {
            refresh.status = RefreshStatus::Cancelling;
            refresh.reason = Some("Cancelled by user.".to_owned());
        } else {
            refresh.end(RefreshStatus::Cancelled, "Cancelled by user.".to_owned(), now);
        }
        Ok(refresh.id.clone())
    }
}

impl Group {
    /// The one that is not over.
    pub fn refresh(&self) -> Option<&Refresh> {
        self.refreshes.last().filter(|refresh| !refresh.status.is_over())
    }

    pub(super) fn refresh_mut(&mut self) -> Option<&mut Refresh> {
        self.refreshes.last_mut().filter(|refresh| !refresh.status.is_over())
    }
}

impl Refresh {
    pub(super) fn end(&mut self, status: RefreshStatus, reason: String, now: OffsetDateTime) {
        (self.status, self.ended_at, self.wakes_at) = (status, Some(now), None);
        self.reason = Some(reason).filter(|reason| !reason.is_empty());
        if status == RefreshStatus::Successful {
            self.replaced = self.total;
        }
    }

    pub fn percent_complete(&self) -> usize {
        match self.status {
            RefreshStatus::Successful => 100,
            _ => (self.replaced * 100).checked_div(self.total).unwrap_or(0),
        }
    }
}

impl Preferences {
    fn check(&self) -> Result<(), ServiceError> {
        let (min, max) = (self.min_healthy_percent, self.max_healthy_percent);
        if min > 100 {
            return Err(invalid(format!("MinHealthyPercentage {min} must be between 0 and 100")));
        }
        if !(100..=200).contains(&max) {
            return Err(invalid(format!("MaxHealthyPercentage {max} must be between 100 and 200")));
        }
        if max - min > 100 {
            return Err(invalid(format!(
                "The difference between MaxHealthyPercentage {max} and MinHealthyPercentage {min} cannot be greater than 100"
            )));
        }
        Ok(())
    }
}

impl RefreshStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InProgress => "InProgress",
            Self::Cancelling => "Cancelling",
            Self::Successful => "Successful",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }

    pub fn is_over(self) -> bool {
        matches!(self, Self::Successful | Self::Failed | Self::Cancelled)
    }
}
