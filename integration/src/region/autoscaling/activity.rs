//! Scaling activities: what a group did, when and why. Auto Scaling User Guide, "Verify a scaling
//! activity for an Auto Scaling group".

use time::OffsetDateTime;

use super::AutoScaling;
use crate::region::ids::Ids;
use crate::region::xml::timestamp;

/// One launch or termination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// A UUID.
    pub id: String,
    pub group: String,
    pub group_arn: String,
    pub description: String,
    pub cause: String,
    pub started_at: OffsetDateTime,
    pub ended_at: Option<OffsetDateTime>,
    pub status: Status,
    pub status_message: Option<String>,
    /// Details as JSON: subnet and zone.
    pub details: String,
}

/// API Reference, "Activity", as far as groups here get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    PreInService,
    /// A lifecycle hook is waited for.
    MidLifecycleAction,
    InProgress,
    Successful,
    Failed,
    Cancelled,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::PreInService => "PreInService",
            Self::MidLifecycleAction => "MidLifecycleAction",
            Self::InProgress => "InProgress",
            Self::Successful => "Successful",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Percent.
    pub fn progress(self) -> u8 {
        match self {
            Self::PreInService => 30,
            Self::MidLifecycleAction => 60,
            Self::InProgress => 50,
            Self::Successful | Self::Failed | Self::Cancelled => 100,
        }
    }
}

/// What an activity is about.
pub(super) struct Begin {
    pub group: String,
    pub group_arn: String,
    pub description: String,
    pub cause: String,
    pub status: Status,
    pub details: String,
}

impl AutoScaling {
    pub(super) fn begin_activity(
        &mut self,
        ids: &mut Ids,
        begin: Begin,
        now: OffsetDateTime,
    ) -> String {
        let Begin { group, group_arn, description, cause, status, details } = begin;
        let id = ids.uuid();
        self.activities.push(Activity {
            id: id.clone(),
            group,
            group_arn,
            description,
            cause: format!(
                "At {} {cause}",
                timestamp(now.replace_nanosecond(0).unwrap_or(now)).replace(".000", "")
            ),
            started_at: now,
            ended_at: None,
            status,
            status_message: None,
            details,
        });
        id
    }

    pub(super) fn describe_activity(&mut self, activity: &str, description: String) {
        if let Some(held) = self.activities.iter_mut().rev().find(|held| held.id == activity) {
            held.description = description;
        }
    }

    /// An activity goes on, or ends with a status that is final.
    pub(super) fn set_status(
        &mut self,
        activity: &str,
        status: Status,
        message: Option<String>,
        now: OffsetDateTime,
    ) {
        let Some(held) = self.activities.iter_mut().rev().find(|held| held.id == activity) else {
            return;
        };
        held.status = status;
        held.status_message = message.or(held.status_message.take());
        if status.progress() == 100 {
            held.ended_at = Some(now);
        }
    }
}
