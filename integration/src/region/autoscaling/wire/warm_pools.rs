//! Warm pools.

use super::groups::{member_item, required};
use super::{answer, page};
use crate::region::autoscaling::group::{invalid, no_group};
use crate::region::autoscaling::{PoolState, WarmPool, delete_warm_pool};
use crate::region::call::{Call, ServiceError};
use crate::region::state::State;
use crate::region::xml::Element;

pub fn put(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let params = call.params;
    let size = |name: &str| {
        // -1 takes the limit away.
        let given = params.get(name).filter(|value| *value != "-1");
        let parsed = given.map(str::parse::<u32>).transpose();
        parsed.map_err(|_| invalid(format!("{name} must be a number that is not negative")))
    };
    let reuse = params.structure("InstanceReusePolicy").flag("ReuseOnScaleIn")?;
    let pool = WarmPool {
        rest: params.get("PoolState").map(PoolState::named).transpose()?.unwrap_or_default(),
        min_size: size("MinSize")?.unwrap_or(0),
        max_prepared: size("MaxGroupPreparedCapacity")?,
        reuse_on_scale_in: reuse.unwrap_or(false),
        deleting: false,
    };
    state.autoscaling.put_warm_pool(required(params, "AutoScalingGroupName")?, pool)?;
    Ok(Element::answer())
}

pub fn delete(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let name = required(call.params, "AutoScalingGroupName")?;
    let force = call.params.flag("ForceDelete")?.unwrap_or(false);
    delete_warm_pool(state, name, force, call.now)?;
    Ok(Element::answer())
}

pub fn describe(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let name = required(call.params, "AutoScalingGroupName")?;
    let group = state.autoscaling.group(name).ok_or_else(|| no_group(name))?;
    let members = group.members.values().filter(|member| member.warmed.is_some());
    let items = members.map(|member| {
        let health = if member.healthy { "Healthy" } else { "Unhealthy" };
        (member.instance.clone(), member_item(state, member).field("HealthStatus", health))
    });
    let told = answer("Instances", page(call, 50, 50)?.cut(items));
    Ok(group.warm_pool.iter().fold(told, |told, pool| told.with(configuration(pool))))
}

pub fn configuration(pool: &WarmPool) -> Element {
    Element::new("WarmPoolConfiguration")
        .optional("MaxGroupPreparedCapacity", pool.max_prepared)
        .field("MinSize", pool.min_size)
        .field("PoolState", pool.rest.name())
        .optional("Status", pool.deleting.then_some("PendingDelete"))
        .with(Element::new("InstanceReusePolicy").field("ReuseOnScaleIn", pool.reuse_on_scale_in))
}
