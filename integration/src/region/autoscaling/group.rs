//! Groups: what they are, and what they are to hold.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::hook::{Hook, NewHook};
use super::member::Member;
use super::refresh::{Refresh, RefreshStatus};
use super::warm_pool::WarmPool;
use crate::region::call::ServiceError;
use crate::region::ec2::{TemplateName, TemplateVersion};
use crate::region::state::State;

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub arn: String,
    pub created_at: OffsetDateTime,
    pub template: TemplateChoice,
    pub min: u32,
    pub max: u32,
    pub desired: u32,
    /// In the order in which they were given.
    pub subnets: Vec<String>,
    /// Of the subnets, each once, in order.
    pub zones: Vec<String>,
    pub tags: Vec<GroupTag>,
    pub new_instances_protected: bool,
    /// Spot instances are replaced when EC2 recommends it.
    pub capacity_rebalance: bool,
    /// Seconds.
    pub default_cooldown: u32,
    /// Seconds.
    pub health_check_grace: u32,
    pub hooks: BTreeMap<String, Hook>,
    /// By instance ID.
    pub members: BTreeMap<String, Member>,
    /// In the order in which they were asked for; the last may be under way.
    pub refreshes: Vec<Refresh>,
    pub warm_pool: Option<WarmPool>,
    /// Being deleted: it goes when its last instance is gone.
    pub deleting: bool,
    /// When EC2 refused a launch: not before then again.
    pub(super) retry_at: Option<OffsetDateTime>,
    /// Since when its zones are unbalanced.
    pub(super) unbalanced_since: Option<OffsetDateTime>,
    /// When something is done about it.
    pub(super) balances_at: Option<OffsetDateTime>,
}

/// The launch template and its version, which may be `$Latest` or `$Default`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateChoice {
    pub id: String,
    pub name: String,
    pub version: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupTag {
    pub key: String,
    pub value: String,
    pub propagate_at_launch: bool,
}

/// What CreateAutoScalingGroup is told.
#[derive(Clone, Debug)]
pub struct NewGroup {
    pub name: String,
    pub template: TemplateName,
    /// A number, `$Latest` or `$Default`; the default version when left open.
    pub version: Option<String>,
    pub min: u32,
    pub max: u32,
    /// `min` when left open.
    pub desired: Option<u32>,
    pub subnets: Vec<String>,
    pub tags: Vec<GroupTag>,
    pub hooks: Vec<NewHook>,
    pub new_instances_protected: bool,
    pub capacity_rebalance: bool,
    pub default_cooldown: u32,
    pub health_check_grace: u32,
}

impl NewGroup {
    /// A group of fixed size with AWS' defaults.
    pub fn of(name: &str, template: TemplateName, subnets: &[&str], size: u32) -> Self {
        Self {
            name: name.to_owned(),
            template,
            version: None,
            min: 0,
            max: size,
            desired: Some(size),
            subnets: subnets.iter().map(|id| id.to_string()).collect(),
            tags: Vec::new(),
            hooks: Vec::new(),
            new_instances_protected: false,
            capacity_rebalance: false,
            default_cooldown: 300,
            health_check_grace: 0,
        }
    }
}

impl super::AutoScaling {
    pub(super) fn group_mut(&mut self, name: &str) -> Result<&mut Group, ServiceError> {
        self.groups.get_mut(name).ok_or_else(|| no_group(name))
    }

    /// SetDesiredCapacity.
    pub fn set_desired(&mut self, name: &str, desired: u32) -> Result<(), ServiceError> {
        let group = self.group_mut(name)?;
        if desired > group.max {
            return Err(invalid(format!(
                "New SetDesiredCapacity value {desired} is above max value {} for the AutoScalingGroup.",
                group.max
            )));
        }
        if desired < group.min {
            return Err(invalid(format!(
                "New SetDesiredCapacity value {desired} is below min value {} for the AutoScalingGroup.",
                group.min
            )));
        }
        group.desired = desired;
        group.retry_at = None;
        Ok(())
    }
}

impl Group {
    /// The members that count towards the capacity.
    pub fn staying(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| member.counts())
    }

    /// Those of them that nobody is about to replace.
    pub(super) fn remaining(&self) -> impl Iterator<Item = &Member> {
        let refresh = self.refresh().filter(|held| held.status == RefreshStatus::InProgress);
        self.staying().filter(move |member| {
            let is_old = refresh.is_some_and(|refresh| refresh.old.contains(&member.instance));
            !is_old && member.outgoing.is_none()
        })
    }

    /// The member that an instance is, for what names both.
    pub fn member(&self, instance: &str) -> Result<&Member, ServiceError> {
        self.members.get(instance).ok_or_else(|| {
            invalid(format!(
                "The instance {instance} is not part of Auto Scaling group {}.",
                self.name
            ))
        })
    }

    /// Wishes for so many fewer, down to the minimum.
    pub(super) fn shrink(&mut self, by: usize, what: &str) -> Result<(), ServiceError> {
        let by = u32::try_from(by).unwrap_or(u32::MAX);
        let smaller = self.desired.checked_sub(by).filter(|desired| *desired >= self.min);
        self.desired = smaller.ok_or_else(|| {
            invalid(format!(
                "Currently, desiredSize is {} and minSize {}. {what} {by} instance(s) without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.",
                self.desired, self.min
            ))
        })?;
        Ok(())
    }

    /// The version of the template that an instance launched now would be of.
    pub fn current_version<'a>(
        &self,
        state: &'a State,
    ) -> Result<&'a TemplateVersion, ServiceError> {
        state
            .ec2
            .template(&TemplateName::Id(self.launching().id.clone()))?
            .version(Some(&self.launching().version))
    }

    /// What an instance launched now is made of: what a refresh that is under way wants.
    pub fn launching(&self) -> &TemplateChoice {
        let refresh = self.refresh().filter(|held| held.status == RefreshStatus::InProgress);
        refresh.and_then(|refresh| refresh.template.as_ref()).unwrap_or(&self.template)
    }

    pub(super) fn check_sizes(&self) -> Result<(), ServiceError> {
        let Self { min, max, desired, .. } = self;
        if min > max {
            return Err(invalid(format!(
                "Max bound, {max}, must be greater than or equal to min bound, {min}"
            )));
        }
        if !(min..=max).contains(&desired) {
            return Err(invalid(format!(
                "Desired capacity:{desired} must be between the specified min size:{min} and max size:{max}"
            )));
        }
        Ok(())
    }

    /// When a member changes by itself, or a refused launch is tried again.
    pub(super) fn next_deadline(&self) -> Option<OffsetDateTime> {
        let lacking = self.staying().count() < self.desired as usize;
        let retry = self.retry_at.filter(|_| lacking && !self.deleting);
        let refresh = self.refresh().and_then(|refresh| refresh.wakes_at);
        let members = self.members.values().filter_map(|member| member.state.changes_at());
        members.chain(retry).chain(refresh).chain(self.balances_at).min()
    }
}

/// Auto Scaling's general refusal.
pub(super) fn invalid(message: impl Into<String>) -> ServiceError {
    ServiceError::client("ValidationError", message)
}

pub(super) fn no_group(name: &str) -> ServiceError {
    invalid(format!("AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"))
}
