//! Instance refreshes.

use std::time::Duration;

use super::groups::{required, template_item, template_of};
use super::{answer, page, second};
use crate::region::autoscaling::group::{invalid, no_group};
use crate::region::autoscaling::{HeldBack, Preferences, Refresh, RefreshStatus, start_refresh};
use crate::region::call::{Call, ServiceError};
use crate::region::params::Params;
use crate::region::state::State;
use crate::region::xml::Element;

/// What a refresh may be told on AWS, but not here.
const NOT_OFFERED: [&str; 5] =
    ["AlarmSpecification", "AutoRollback", "BakeTime", "CheckpointDelay", "CheckpointPercentages"];

pub fn start(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let name = required(call.params, "AutoScalingGroupName")?;
    let strategy = call.params.get("Strategy").unwrap_or("Rolling");
    if strategy != "Rolling" {
        return Err(invalid(format!("this region refreshes by Rolling only, not by {strategy}")));
    }
    let preferences = preferences(&call.params.structure("Preferences"))?;
    let template = template_of(&call.params.structure("DesiredConfiguration"))?;
    let id = start_refresh(state, name, preferences, template, call.now)?;
    Ok(Element::answer().field("InstanceRefreshId", id))
}

pub fn cancel(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let name = required(call.params, "AutoScalingGroupName")?;
    let wait = call.params.flag("WaitForTransitioningInstances")?.unwrap_or(true);
    let id = state.autoscaling.cancel_refresh(name, wait, call.now)?;
    Ok(Element::answer().field("InstanceRefreshId", id))
}

/// "The most recent first."
pub fn describe(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let name = required(call.params, "AutoScalingGroupName")?;
    let group = state.autoscaling.group(name).ok_or_else(|| no_group(name))?;
    let ids = call.params.list("InstanceRefreshIds");
    let all = group.refreshes.iter().enumerate().rev();
    let found = all.filter(|(_, held)| ids.is_empty() || ids.contains(&held.id.as_str()));
    let keyed = found.map(|(place, held)| {
        let grace = Duration::from_secs(group.health_check_grace.into());
        (format!("{:020}", usize::MAX - place), refresh_item(name, held, grace))
    });
    Ok(answer("InstanceRefreshes", page(call, 50, 100)?.cut(keyed)))
}

fn preferences(params: &Params) -> Result<Preferences, ServiceError> {
    let given = |name: &&&str| {
        params.get(name).is_some_and(|value| value != "false") || !params.list(name).is_empty()
    };
    if let Some(name) = NOT_OFFERED.iter().find(given) {
        return Err(invalid(format!("this region refreshes without {name}")));
    }
    let number =
        |name: &str| params.number::<u32>(name).map_err(|refused| invalid(refused.message));
    let usual = Preferences::default();
    let (min, max) = (number("MinHealthyPercentage")?, number("MaxHealthyPercentage")?);
    if max.is_some() && min.is_none() {
        return Err(invalid(
            "If you specify MaxHealthyPercentage, you must also specify MinHealthyPercentage",
        ));
    }
    let warmup = number("InstanceWarmup")?.map(|seconds| Duration::from_secs(seconds.into()));
    let held_back = |name: &str, replace: &str| match params.get(name) {
        None | Some("Wait") => Ok(HeldBack::Wait),
        Some("Ignore") => Ok(HeldBack::Ignore),
        Some(given) if given == replace => Ok(HeldBack::Replace),
        Some(other) => Err(invalid(format!(
            "Unknown value '{other}' of {name}: it is none of Wait, Ignore, {replace}"
        ))),
    };
    Ok(Preferences {
        min_healthy_percent: min.unwrap_or(usual.min_healthy_percent),
        max_healthy_percent: max.unwrap_or(usual.max_healthy_percent),
        warmup,
        skip_matching: params.flag("SkipMatching")?.unwrap_or(false),
        protected: held_back("ScaleInProtectedInstances", "Refresh")?,
        standby: held_back("StandbyInstances", "Terminate")?,
    })
}

fn refresh_item(group: &str, held: &Refresh, grace: Duration) -> Element {
    let item = Element::new("member")
        .field("InstanceRefreshId", &held.id)
        .field("AutoScalingGroupName", group)
        .field("Status", held.status.name())
        .optional("StatusReason", held.reason.as_ref())
        .field("StartTime", second(held.asked_at))
        .optional("EndTime", held.ended_at.map(second))
        .with(preferences_item(&held.preferences, grace));
    let item = if held.status == RefreshStatus::Pending {
        item
    } else {
        item.field("PercentageComplete", held.percent_complete())
            .field("InstancesToUpdate", held.total - held.replaced)
    };
    held.template.iter().fold(item, |item, template| {
        let template = template_item(&template.id, &template.name, &template.version);
        item.with(Element::new("DesiredConfiguration").with(template))
    })
}

fn preferences_item(held: &Preferences, grace: Duration) -> Element {
    let name = |how: HeldBack, replace| match how {
        HeldBack::Wait => "Wait",
        HeldBack::Ignore => "Ignore",
        HeldBack::Replace => replace,
    };
    Element::new("Preferences")
        .field("MinHealthyPercentage", held.min_healthy_percent)
        .field("MaxHealthyPercentage", held.max_healthy_percent)
        .field("InstanceWarmup", held.warmup.unwrap_or(grace).as_secs())
        .field("SkipMatching", held.skip_matching)
        .field("AutoRollback", false)
        .field("ScaleInProtectedInstances", name(held.protected, "Refresh"))
        .field("StandbyInstances", name(held.standby, "Terminate"))
}
