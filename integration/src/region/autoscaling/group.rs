//! Groups: what they are to hold, and how they are made, changed and deleted.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::hook::{Hook, NewHook};
use super::member::Member;
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
    /// Seconds.
    pub default_cooldown: u32,
    /// Seconds.
    pub health_check_grace: u32,
    pub hooks: BTreeMap<String, Hook>,
    /// By instance ID.
    pub members: BTreeMap<String, Member>,
    /// Being deleted: it goes when its last instance is gone.
    pub deleting: bool,
    /// When EC2 refused a launch: not before then again.
    pub(super) retry_at: Option<OffsetDateTime>,
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
            default_cooldown: 300,
            health_check_grace: 0,
        }
    }
}

/// Makes a group. Its instances come when the region advances, at this same moment.
pub fn create_group(
    state: &mut State,
    new: NewGroup,
    now: OffsetDateTime,
) -> Result<(), ServiceError> {
    if state.autoscaling.groups.contains_key(&new.name) {
        let message = format!(
            "AutoScalingGroup by this name already exists - A group with the name {} already exists",
            new.name
        );
        return Err(ServiceError::client("AlreadyExists", message));
    }
    let template = choose_template(state, &new.template, new.version.as_deref())?;
    let zones = zones_of(state, &new.subnets)?;
    let uuid = state.ids.uuid();
    let settings = &state.settings;
    let mut group = Group {
        arn: format!(
            "arn:aws:autoscaling:{}:{}:autoScalingGroup:{uuid}:autoScalingGroupName/{}",
            settings.name, settings.account, new.name
        ),
        name: new.name,
        created_at: now,
        template,
        min: new.min,
        max: new.max,
        desired: new.desired.unwrap_or(new.min),
        subnets: new.subnets,
        zones,
        tags: new.tags,
        new_instances_protected: new.new_instances_protected,
        default_cooldown: new.default_cooldown,
        health_check_grace: new.health_check_grace,
        hooks: BTreeMap::new(),
        members: BTreeMap::new(),
        deleting: false,
        retry_at: None,
    };
    group.check_sizes()?;
    new.hooks.into_iter().try_for_each(|hook| group.put_hook(hook))?;
    state.autoscaling.groups.insert(group.name.clone(), group);
    Ok(())
}

/// Deletes a group: an empty one at once; with `force` one whose instances are terminated first,
/// without waiting for hooks. API Reference, "DeleteAutoScalingGroup".
pub fn delete_group(
    state: &mut State,
    name: &str,
    force: bool,
    now: OffsetDateTime,
) -> Result<(), ServiceError> {
    let group = state.autoscaling.group_mut(name)?;
    if !group.members.is_empty() && !force {
        return Err(ServiceError::client(
            "ResourceInUse",
            "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.",
        ));
    }
    group.deleting = true;
    (group.min, group.desired) = (0, 0);
    let members: Vec<String> = group.members.keys().cloned().collect();
    for id in members {
        super::converge::terminate_without_hooks(state, name, &id, now);
    }
    Ok(())
}

/// The template chosen, which must have that version.
pub(super) fn choose_template(
    state: &State,
    template: &TemplateName,
    version: Option<&str>,
) -> Result<TemplateChoice, ServiceError> {
    let refused = |why: ServiceError| {
        invalid(format!("You must use a valid fully-formed launch template. {}", why.message))
    };
    let held = state.ec2.template(template).map_err(refused)?;
    held.version(version).map_err(refused)?;
    let version = version.unwrap_or("$Default").to_owned();
    Ok(TemplateChoice { id: held.id.clone(), name: held.name.clone(), version })
}

/// The zones of the subnets, which must be of one VPC.
pub(super) fn zones_of(state: &State, subnets: &[String]) -> Result<Vec<String>, ServiceError> {
    if subnets.is_empty() {
        return Err(invalid("At least one Availability Zone or VPC Subnet is required."));
    }
    let mut zones = Vec::new();
    let mut vpcs = Vec::new();
    for id in subnets {
        let subnet = state.ec2.subnet(id).map_err(|missing| invalid(missing.message))?;
        zones.push(subnet.zone.clone());
        vpcs.push(&subnet.vpc);
    }
    if vpcs.iter().any(|vpc| *vpc != vpcs[0]) {
        return Err(invalid("The subnets must be in the same VPC"));
    }
    zones.sort();
    zones.dedup();
    Ok(zones)
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
        self.members.values().filter(|member| !member.state.is_leaving())
    }

    /// The version of the template that an instance launched now would be of.
    pub fn current_version<'a>(
        &self,
        state: &'a State,
    ) -> Result<&'a TemplateVersion, ServiceError> {
        state
            .ec2
            .template(&TemplateName::Id(self.template.id.clone()))?
            .version(Some(&self.template.version))
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
        self.members.values().filter_map(|member| member.state.changes_at()).chain(retry).min()
    }
}

/// Auto Scaling's general refusal.
pub(super) fn invalid(message: impl Into<String>) -> ServiceError {
    ServiceError::client("ValidationError", message)
}

pub(super) fn no_group(name: &str) -> ServiceError {
    invalid(format!("AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"))
}
