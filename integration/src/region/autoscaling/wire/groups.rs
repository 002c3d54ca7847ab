//! Groups: create, update, delete, describe.

use super::{answer, page, second};
use crate::region::autoscaling::create::{choose_template, zones_of};
use crate::region::autoscaling::group::invalid;
use crate::region::autoscaling::{
    Group, GroupTag, Member, NewGroup, create_group, delete_group, warm,
};
use crate::region::call::{Call, ServiceError};
use crate::region::ec2::{TemplateName, template_name};
use crate::region::params::Params;
use crate::region::state::State;
use crate::region::xml::Element;

/// What a group may be made of on AWS, but not here.
const NOT_OFFERED: [&str; 3] = ["MixedInstancesPolicy", "LaunchConfigurationName", "InstanceId"];

pub fn create(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let params = call.params;
    refuse_what_is_not_offered(params)?;
    let (template, version) = template_of(params)?.ok_or_else(|| {
        invalid("Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.")
    })?;
    let hooks = params.structures("LifecycleHookSpecificationList");
    let new = NewGroup {
        name: required(params, "AutoScalingGroupName")?.to_owned(),
        template,
        version,
        min: size(params, "MinSize")?.ok_or_else(|| missing("MinSize"))?,
        max: size(params, "MaxSize")?.ok_or_else(|| missing("MaxSize"))?,
        desired: size(params, "DesiredCapacity")?,
        subnets: subnets(params).unwrap_or_default(),
        tags: tags(params),
        hooks: hooks.iter().map(super::hooks::new_hook).collect::<Result<_, _>>()?,
        new_instances_protected: params.flag("NewInstancesProtectedFromScaleIn")?.unwrap_or(false),
        capacity_rebalance: params.flag("CapacityRebalance")?.unwrap_or(false),
        default_cooldown: params.number("DefaultCooldown")?.unwrap_or(300),
        health_check_grace: params.number("HealthCheckGracePeriod")?.unwrap_or(0),
    };
    create_group(state, new, call.now)?;
    Ok(Element::answer())
}

/// Instances that are too many leave, those that are lacking come; the template of those that are
/// there is not changed.
pub fn update(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let params = call.params;
    refuse_what_is_not_offered(params)?;
    let name = required(params, "AutoScalingGroupName")?;
    let mut group = state.autoscaling.group_mut(name)?.clone();
    if let Some((template, version)) = template_of(params)? {
        group.template = choose_template(state, &template, version.as_deref())?;
    }
    if let Some(subnets) = subnets(params) {
        group.zones = zones_of(state, &subnets)?;
        group.subnets = subnets;
    }
    group.min = size(params, "MinSize")?.unwrap_or(group.min);
    group.max = size(params, "MaxSize")?.unwrap_or(group.max);
    // API Reference, "UpdateAutoScalingGroup": without a new desired capacity the old one is moved
    // to the new bounds.
    let moved = group.desired.max(group.min).min(group.max);
    group.desired = size(params, "DesiredCapacity")?.unwrap_or(moved);
    group.check_sizes()?;
    group.default_cooldown = params.number("DefaultCooldown")?.unwrap_or(group.default_cooldown);
    group.health_check_grace =
        params.number("HealthCheckGracePeriod")?.unwrap_or(group.health_check_grace);
    let protected = params.flag("NewInstancesProtectedFromScaleIn")?;
    group.new_instances_protected = protected.unwrap_or(group.new_instances_protected);
    group.capacity_rebalance =
        params.flag("CapacityRebalance")?.unwrap_or(group.capacity_rebalance);
    group.retry_at = None;
    *state.autoscaling.group_mut(name)? = group;
    Ok(Element::answer())
}

pub fn delete(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let name = required(call.params, "AutoScalingGroupName")?;
    let force = call.params.flag("ForceDelete")?.unwrap_or(false);
    delete_group(state, name, force, call.now)?;
    Ok(Element::answer())
}

pub fn set_desired(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let name = required(call.params, "AutoScalingGroupName")?;
    let desired =
        size(call.params, "DesiredCapacity")?.ok_or_else(|| missing("DesiredCapacity"))?;
    state.autoscaling.set_desired(name, desired)?;
    Ok(Element::answer())
}

/// Names that there are not are passed over.
pub fn describe(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let names = call.params.list("AutoScalingGroupNames");
    let filters: Vec<(String, Vec<String>)> = call
        .params
        .structures("Filters")
        .iter()
        .map(|filter| {
            let values = filter.list("Values").into_iter().map(str::to_owned).collect();
            Ok((required(filter, "Name")?.to_owned(), values))
        })
        .collect::<Result<_, ServiceError>>()?;
    let groups = state.autoscaling.groups();
    let named = groups.filter(|group| names.is_empty() || names.contains(&group.name.as_str()));
    let mut found = Vec::new();
    for group in named {
        let kept = filters
            .iter()
            .map(|(name, values)| passes(group, name, values))
            .collect::<Result<Vec<_>, _>>()?;
        if kept.into_iter().all(|kept| kept) {
            found.push((group.name.clone(), group_item(state, group)));
        }
    }
    Ok(answer("AutoScalingGroups", page(call, 50, 100)?.cut(found)))
}

/// A parameter without which nothing goes.
pub fn required<'a>(params: &'a Params, name: &str) -> Result<&'a str, ServiceError> {
    params.get(name).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> ServiceError {
    let lower: String =
        name.chars().take(1).flat_map(char::to_lowercase).chain(name.chars().skip(1)).collect();
    invalid(format!(
        "1 validation error detected: Value null at '{lower}' failed to satisfy constraint: Member must not be null"
    ))
}

fn refuse_what_is_not_offered(params: &Params) -> Result<(), ServiceError> {
    let given = |name: &&&str| params.get(name).is_some() || !params.structure(name).is_empty();
    match NOT_OFFERED.iter().find(given) {
        Some(name) => Err(invalid(format!(
            "this region makes groups of LaunchTemplate and VPCZoneIdentifier only, not of {name}"
        ))),
        None => Ok(()),
    }
}

pub fn template_of(
    params: &Params,
) -> Result<Option<(TemplateName, Option<String>)>, ServiceError> {
    let template = params.structure("LaunchTemplate");
    if template.is_empty() {
        return Ok(None);
    }
    let name = template_name(&template).map_err(|refused| invalid(refused.message))?;
    Ok(Some((name, template.get("Version").map(str::to_owned))))
}

fn size(params: &Params, name: &str) -> Result<Option<u32>, ServiceError> {
    params.number(name).map_err(|refused| invalid(refused.message))
}

fn subnets(params: &Params) -> Option<Vec<String>> {
    let ids = params.get("VPCZoneIdentifier")?.split(',').map(|id| id.trim().to_owned());
    Some(ids.filter(|id| !id.is_empty()).collect())
}

fn tags(params: &Params) -> Vec<GroupTag> {
    let tags = params.structures("Tags").into_iter();
    tags.filter_map(|tag| {
        Some(GroupTag {
            key: tag.get("Key")?.to_owned(),
            value: tag.get("Value").unwrap_or_default().to_owned(),
            propagate_at_launch: tag.get("PropagateAtLaunch") != Some("false"),
        })
    })
    .collect()
}

fn passes(group: &Group, name: &str, values: &[String]) -> Result<bool, ServiceError> {
    let mut tags = group.tags.iter();
    Ok(match name {
        "tag-key" => tags.any(|tag| values.contains(&tag.key)),
        "tag-value" => tags.any(|tag| values.contains(&tag.value)),
        _ => match name.strip_prefix("tag:") {
            Some(key) => tags.any(|tag| tag.key == key && values.contains(&tag.value)),
            None => {
                return Err(invalid(format!(
                    "Filter type {name} is not correct. Allowed Filter types are: tag-key tag-value tag:<key>"
                )));
            }
        },
    })
}

fn group_item(state: &State, group: &Group) -> Element {
    let pool = group.warm_pool.map(|pool| super::warm_pools::configuration(&pool));
    let outside = group.members.values().filter(|member| member.warmed.is_none());
    let members = outside.map(|member| {
        member_item(state, member)
            .field("HealthStatus", if member.healthy { "Healthy" } else { "Unhealthy" })
    });
    let text = |value: &String| Element::text("member", value);
    let item = Element::new("member")
        .field("AutoScalingGroupName", &group.name)
        .field("AutoScalingGroupARN", &group.arn)
        .with(template_item(&group.template.id, &group.template.name, &group.template.version))
        .field("MinSize", group.min)
        .field("MaxSize", group.max)
        .field("DesiredCapacity", group.desired)
        .field("DefaultCooldown", group.default_cooldown)
        .list("AvailabilityZones", group.zones.iter().map(text))
        .list("LoadBalancerNames", [])
        .list("TargetGroupARNs", [])
        .field("HealthCheckType", "EC2")
        .field("HealthCheckGracePeriod", group.health_check_grace)
        .list("Instances", members)
        .field("CreatedTime", second(group.created_at))
        .list("SuspendedProcesses", [])
        .field("VPCZoneIdentifier", group.subnets.join(","))
        .list("EnabledMetrics", [])
        .optional("Status", group.deleting.then_some("Delete in progress"))
        .list("Tags", group.tags.iter().map(|tag| tag_item(group, tag)))
        .list("TerminationPolicies", [Element::text("member", "Default")])
        .field("NewInstancesProtectedFromScaleIn", group.new_instances_protected)
        .field("CapacityRebalance", group.capacity_rebalance);
    match pool {
        Some(pool) => item.with(pool).field("WarmPoolSize", warm(group).count()),
        None => item,
    }
}

/// An instance, as in a group and in DescribeAutoScalingInstances.
pub fn member_item(state: &State, member: &Member) -> Element {
    let (id, name, version) = &member.template;
    Element::new("member")
        .field("InstanceId", &member.instance)
        .field("InstanceType", &member.instance_type)
        .field("AvailabilityZone", &member.zone)
        .field("AvailabilityZoneId", state.ec2.zone_id(&member.zone))
        .field("LifecycleState", member.lifecycle_state())
        .with(template_item(id, name, &version.to_string()))
        .field("ImageId", &member.image)
        .field("ProtectedFromScaleIn", member.protected)
}

pub fn template_item(id: &str, name: &str, version: &str) -> Element {
    Element::new("LaunchTemplate")
        .field("LaunchTemplateId", id)
        .field("LaunchTemplateName", name)
        .field("Version", version)
}

fn tag_item(group: &Group, tag: &GroupTag) -> Element {
    Element::new("member")
        .field("ResourceId", &group.name)
        .field("ResourceType", "auto-scaling-group")
        .field("Key", &tag.key)
        .field("Value", &tag.value)
        .field("PropagateAtLaunch", tag.propagate_at_launch)
}
