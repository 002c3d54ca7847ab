//! What a lab can do to an instance as AWS does it: announce an interruption, recommend a
//! rebalance, schedule an event.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::region::Region;
use crate::region::ec2::{EventCode, InterruptionAction};

/// Announces that EC2 will do `action` to the instance in so long.
pub fn spot(region: &Region, instance: &str, action: &str, after: Duration) -> Result<Value> {
    let action = InterruptionAction::named(action).with_context(|| {
        format!("`{action}` is no interruption\nhint: one of terminate, stop, hibernate")
    })?;
    let at = region
        .with(|state, now| state.ec2.interrupt(instance, action, after, now))
        .with_context(|| format!("cannot interrupt `{instance}`"))?;
    Ok(json!({"instance": instance, "action": action.name(), "time": shown(at)?}))
}

pub fn rebalance(region: &Region, instance: &str) -> Result<Value> {
    let given = region.with(|state, now| {
        state.ec2.recommend_rebalance(instance, now)?;
        anyhow::Ok(now)
    });
    let given = given.with_context(|| format!("cannot recommend a rebalance of `{instance}`"))?;
    Ok(json!({"instance": instance, "noticeTime": shown(given)?}))
}

/// Schedules an event, whose window begins in so long.
pub fn maintenance(region: &Region, instance: &str, code: &str, after: Duration) -> Result<Value> {
    let code = EventCode::named(code).with_context(|| {
        let known = EventCode::ALL.map(EventCode::name).join(", ");
        format!("`{code}` is no code of an event\nhint: one of {known}")
    })?;
    let scheduled = region.with(|state, now| {
        let not_before = now + after;
        let id = state.ec2.schedule(&mut state.ids, instance, code, not_before, now)?;
        anyhow::Ok((id, not_before))
    });
    let (id, not_before) =
        scheduled.with_context(|| format!("cannot schedule an event for `{instance}`"))?;
    Ok(json!({
        "instance": instance,
        "code": code.name(),
        "event": id,
        "notBefore": shown(not_before)?,
    }))
}

/// Takes back whatever is scheduled for the instance.
pub fn cancel_maintenance(region: &Region, instance: &str) -> Result<Value> {
    let canceled = region
        .with(|state, now| state.ec2.cancel_scheduled(instance, now))
        .with_context(|| format!("cannot cancel the events of `{instance}`"))?;
    Ok(json!({"instance": instance, "canceled": canceled}))
}

fn shown(at: OffsetDateTime) -> Result<String> {
    Ok(at.replace_nanosecond(0)?.format(&Rfc3339)?)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::region::Settings;
    use crate::region::ec2::{IMAGE_X86_64, LaunchSpec, Market, Order, Tags};

    const NOON: OffsetDateTime = datetime!(2026-11-23 12:00:00 UTC);

    fn region() -> (Region, String) {
        let region = Region::new(Settings::new(7, NOON));
        let instance = region.with(|state, now| {
            let (ec2, ids) = (&mut state.ec2, &mut state.ids);
            let vpc = ec2.create_vpc(ids, "10.0.0.0/16").expect("a VPC");
            let subnet = ec2.create_subnet(ids, &vpc, None, "10.0.1.0/24").expect("a subnet");
            let spec = LaunchSpec {
                image: Some(IMAGE_X86_64.to_owned()),
                instance_type: Some("m5.large".to_owned()),
                market: Some(Market::Spot),
                subnet: Some(subnet),
                ..LaunchSpec::default()
            };
            let order = Order { spec, count: 1, client_token: None, aws_tags: Tags::new(), now };
            ec2.launch(ids, &state.iam, &order).expect("an instance").remove(0)
        });
        (region, instance)
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_is_told_what_the_person_asked_for() {
        let (region, id) = region();
        let minute = Duration::from_secs(60);
        assert_eq!(
            spot(&region, &id, "terminate", minute).unwrap(),
            json!({"instance": id, "action": "terminate", "time": "2026-11-23T12:01:00Z"})
        );
        assert_eq!(
            rebalance(&region, &id).unwrap(),
            json!({"instance": id, "noticeTime": "2026-11-23T12:00:00Z"})
        );
        let scheduled = maintenance(&region, &id, "system-reboot", minute).unwrap();
        assert_eq!(scheduled["notBefore"], "2026-11-23T12:01:00Z");
        assert!(scheduled["event"].as_str().unwrap().starts_with("instance-event-0"));
        assert_eq!(
            cancel_maintenance(&region, &id).unwrap(),
            json!({"instance": id, "canceled": 1})
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_done_is_said_with_what_can() {
        let (region, id) = region();
        let minute = Duration::from_secs(60);
        let say = |refused: Result<Value>| format!("{:#}", refused.unwrap_err());
        assert_eq!(
            say(spot(&region, &id, "reboot", minute)),
            "`reboot` is no interruption\nhint: one of terminate, stop, hibernate"
        );
        assert_eq!(
            say(maintenance(&region, &id, "reboot", minute)),
            "`reboot` is no code of an event\nhint: one of instance-reboot, system-reboot, system-maintenance, instance-retirement, instance-stop"
        );
        assert_eq!(
            say(rebalance(&region, "i-00000000000000001")),
            "cannot recommend a rebalance of `i-00000000000000001`: InvalidInstanceID.NotFound (400): The instance ID 'i-00000000000000001' does not exist"
        );
    }
}
