//! Scaling out: where a new instance goes, and what it is. Auto Scaling User Guide, "Availability
//! Zone distribution" and "Tag Auto Scaling groups and instances".

use time::OffsetDateTime;

use super::activity::{Begin, Status};
use super::group::Group;
use super::member::{LifecycleState, Member};
use super::rebalance::successors;
use super::refresh::RefreshStatus;
use super::warm_pool::{PoolState, leave_pool};
use crate::region::call::ServiceError;
use crate::region::ec2::Order;
use crate::region::state::State;

/// One instance more in service, from the warm pool if one rests there.
pub(super) fn launch_one(state: &mut State, name: &str, now: OffsetDateTime) {
    let Some(group) = state.autoscaling.groups.get(name) else { return };
    let have = group.staying().count();
    let cause = if group.refresh().is_some_and(|held| held.status == RefreshStatus::InProgress) {
        "an instance was launched in response to an instance refresh.".to_owned()
    } else if successors(group) > 0 {
        format!(
            "instances were launched to replace others resulting in more than desired number of instances in the group, increasing the capacity from {have} to {}.",
            have + 1
        )
    } else {
        format!(
            "an instance was started in response to a difference between desired and actual capacity, increasing the capacity from {have} to {}.",
            have + 1
        )
    };
    if !leave_pool(state, name, &cause, now) {
        launch(state, name, None, cause, now);
    }
}

/// One instance more in the warm pool.
pub(super) fn launch_into_pool(
    state: &mut State,
    name: &str,
    rest: PoolState,
    now: OffsetDateTime,
) {
    let cause = "an instance was launched in response to a difference between the warm pool's wanted and actual size.";
    launch(state, name, Some(rest), cause.to_owned(), now);
}

/// EC2's refusal ends in a failed activity and a pause.
fn launch(
    state: &mut State,
    name: &str,
    warmed: Option<PoolState>,
    cause: String,
    now: OffsetDateTime,
) {
    let Some(group) = state.autoscaling.groups.get(name) else { return };
    let group = group.clone();
    let subnet = subnet_for_next(state, &group);
    let details = details(state, &subnet);
    let activity = state.autoscaling.begin_activity(
        &mut state.ids,
        Begin {
            group: group.name.clone(),
            group_arn: group.arn.clone(),
            description: "Launching a new EC2 instance".to_owned(),
            cause,
            status: Status::PreInService,
            details,
        },
        now,
    );
    match launch_in(state, &group, &subnet, &activity, now) {
        Ok(member) => {
            let member = Member { warmed, ..member };
            let description = format!("Launching a new EC2 instance: {}", member.instance);
            state.autoscaling.describe_activity(&activity, description);
            state.autoscaling.targets.aim(&member.instance, member.target(), now);
            if let Some(group) = state.autoscaling.groups.get_mut(name) {
                group.retry_at = None;
                group.members.insert(member.instance.clone(), member);
            }
        }
        Err(refused) => {
            let message = format!("{} Launching EC2 instance failed.", refused.message);
            state.autoscaling.set_status(&activity, Status::Failed, Some(message), now);
            let retry_at = now + state.autoscaling.timing.retry;
            if let Some(group) = state.autoscaling.groups.get_mut(name) {
                group.retry_at = Some(retry_at);
            }
        }
    }
}

fn launch_in(
    state: &mut State,
    group: &Group,
    subnet: &str,
    activity: &str,
    now: OffsetDateTime,
) -> Result<Member, ServiceError> {
    let version = group.current_version(state)?;
    let template = group.launching();
    let mut aws_tags = version.marks(&template.id);
    aws_tags.insert("aws:autoscaling:groupName".to_owned(), group.name.clone());
    let (number, mut spec) = (version.number, version.spec.clone().in_subnet(subnet));
    let propagated = group.tags.iter().filter(|tag| tag.propagate_at_launch);
    let own = spec.tags.entry("instance".to_owned()).or_default();
    own.extend(propagated.map(|tag| (tag.key.clone(), tag.value.clone())));
    let order = Order { spec, count: 1, client_token: Some(state.ids.uuid()), aws_tags, now };
    let launched = state.ec2.launch(&mut state.ids, &state.iam, &order)?;
    let instance =
        launched.first().and_then(|id| state.ec2.instance(id)).expect("one was launched");
    Ok(Member {
        instance: instance.id.clone(),
        instance_type: instance.instance_type.clone(),
        image: instance.image.clone(),
        subnet: subnet.to_owned(),
        zone: instance.zone.clone(),
        template: (template.id.clone(), template.name.clone(), number),
        state: LifecycleState::Pending,
        healthy: true,
        protected: group.new_instances_protected,
        launched_at: now,
        in_service_since: None,
        warmed: None,
        outgoing: None,
        activity: activity.to_owned(),
    })
}

/// The zone with the fewest instances, and in it the subnet with the fewest; the first of equals.
/// Those that are only there until their successors are do not count, or all of these would come
/// where the first one came.
fn subnet_for_next(state: &State, group: &Group) -> String {
    let zone_of =
        |subnet: &str| state.ec2.subnet(subnet).map(|held| held.zone.clone()).unwrap_or_default();
    let fewest = group.subnets.iter().min_by_key(|subnet| {
        let zone = zone_of(subnet);
        let in_zone = group.remaining().filter(|member| member.zone == zone).count();
        (in_zone, group.remaining().filter(|member| member.subnet == **subnet).count())
    });
    fewest.cloned().unwrap_or_default()
}

pub(super) fn details(state: &State, subnet: &str) -> String {
    let zone = state.ec2.subnet(subnet).map(|held| held.zone.as_str()).unwrap_or_default();
    serde_json::json!({ "Subnet ID": subnet, "Availability Zone": zone }).to_string()
}
