//! How groups are made and deleted.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::ending::terminate_without_hooks;
use super::group::{Group, NewGroup, TemplateChoice, invalid};
use crate::region::call::ServiceError;
use crate::region::ec2::TemplateName;
use crate::region::state::State;

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
        capacity_rebalance: new.capacity_rebalance,
        default_cooldown: new.default_cooldown,
        health_check_grace: new.health_check_grace,
        hooks: BTreeMap::new(),
        members: BTreeMap::new(),
        refreshes: Vec::new(),
        warm_pool: None,
        deleting: false,
        retry_at: None,
        unbalanced_since: None,
        balances_at: None,
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
    group.balances_at = None;
    (group.min, group.desired) = (0, 0);
    let members: Vec<String> = group.members.keys().cloned().collect();
    for id in members {
        terminate_without_hooks(state, name, &id, now);
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

/// The template's ID, and the number that its version stands for now.
pub(super) fn version_of(state: &State, choice: &TemplateChoice) -> Option<(String, u64)> {
    let template = state.ec2.template(&TemplateName::Id(choice.id.clone())).ok()?;
    Some((choice.id.clone(), template.version(Some(&choice.version)).ok()?.number))
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
