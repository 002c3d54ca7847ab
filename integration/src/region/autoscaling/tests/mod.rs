//! The model as a whole: what groups do, moment by moment. One file a theme.

mod capacity;
mod health;
mod hooks;
mod rebalance;
mod refresh;
mod standby;
mod warm_pool;

use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;

use super::*;
use crate::region::Settings;
use crate::region::call::ServiceError;
use crate::region::ec2::{self, Author, IMAGE_X86_64, LaunchSpec, Market, TemplateName};
use crate::region::state::State;

const NOON: OffsetDateTime = datetime!(2026-11-23 12:00:00 UTC);
const IN: &str = "in";
const OUT: &str = "out";

/// A region with two subnets in two zones, a launch template and a group that is still empty.
struct Fixture {
    state: State,
    now: OffsetDateTime,
}

impl Fixture {
    fn new() -> Self {
        Self::with_hooks(Vec::new())
    }

    fn with_hooks(hooks: Vec<NewHook>) -> Self {
        Self::of(Market::OnDemand, hooks)
    }

    /// Of instances that EC2 may interrupt.
    fn of_spot(hooks: Vec<NewHook>) -> Self {
        Self::of(Market::Spot, hooks)
    }

    fn of(market: Market, hooks: Vec<NewHook>) -> Self {
        let mut state = State::new(Settings::new(7, NOON));
        state.ec2.timing = ec2::Timing::lifelike();
        let (ec2, ids) = (&mut state.ec2, &mut state.ids);
        let vpc = ec2.create_vpc(ids, "10.0.0.0/16").expect("a VPC");
        let a = ec2.create_subnet(ids, &vpc, Some("eu-west-1a"), "10.0.1.0/24").expect("a subnet");
        let b = ec2.create_subnet(ids, &vpc, Some("eu-west-1b"), "10.0.2.0/24").expect("a subnet");
        let spec = LaunchSpec {
            image: Some(IMAGE_X86_64.to_owned()),
            instance_type: Some("m5.large".to_owned()),
            market: Some(market),
            ..LaunchSpec::default()
        };
        let by = Author { arn: "arn:aws:iam::123456789012:user/operator", now: NOON };
        let template = ec2.create_template(ids, "workers", None, spec, by).expect("a template");
        let new = NewGroup {
            max: 6,
            hooks,
            tags: vec![GroupTag {
                key: "role".into(),
                value: "worker".into(),
                propagate_at_launch: true,
            }],
            ..NewGroup::of("workers", TemplateName::Id(template), &[&a, &b], 0)
        };
        create_group(&mut state, new, NOON).expect("a group");
        Self { state, now: NOON }
    }

    fn after(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.state.advance(self.now);
    }

    fn desire(&mut self, desired: u32) {
        self.state.autoscaling.set_desired("workers", desired).expect("within bounds");
        self.state.advance(self.now);
    }

    fn states(&self) -> Vec<&'static str> {
        let group = self.state.autoscaling.group("workers").expect("the group");
        let mut members: Vec<_> = group.members.values().collect();
        members.sort_by_key(|member| (member.launched_at, member.instance.clone()));
        members.into_iter().map(|member| member.lifecycle_state()).collect()
    }

    fn zones(&self) -> Vec<String> {
        let group = self.state.autoscaling.group("workers").expect("the group");
        let mut zones: Vec<String> = group.staying().map(|member| member.zone.clone()).collect();
        zones.sort();
        zones
    }

    /// The one instance that there is.
    fn only(&self) -> String {
        let group = self.state.autoscaling.group("workers").expect("the group");
        assert_eq!(group.members.len(), 1, "{:?}", self.states());
        group.members.keys().next().expect("one").clone()
    }

    fn complete(
        &mut self,
        instance: &str,
        hook: &str,
        result: ActionResult,
    ) -> Result<(), ServiceError> {
        let action = ActionRef { group: "workers", hook, by: ActionName::Instance(instance) };
        complete(&mut self.state, action, result, self.now)?;
        self.state.advance(self.now);
        Ok(())
    }

    fn heartbeat(&mut self, instance: &str, hook: &str) -> Result<(), ServiceError> {
        let action = ActionRef { group: "workers", hook, by: ActionName::Instance(instance) };
        heartbeat(&mut self.state, action, self.now)
    }

    /// The members, the oldest first.
    fn members(&self) -> Vec<String> {
        let group = self.state.autoscaling.group("workers").expect("the group");
        let mut members: Vec<_> = group.members.values().collect();
        members.sort_by_key(|member| (member.launched_at, member.instance.clone()));
        members.into_iter().map(|member| member.instance.clone()).collect()
    }

    fn desired(&self) -> u32 {
        self.state.autoscaling.group("workers").expect("the group").desired
    }

    fn group_mut(&mut self) -> &mut Group {
        self.state.autoscaling.group_mut("workers").expect("the group")
    }

    /// What the instance's metadata say.
    fn target(&self, instance: &str) -> Option<String> {
        self.state.autoscaling.target_lifecycle_state(instance)
    }

    /// In EC2.
    fn machine(&self, instance: &str) -> Option<&'static str> {
        self.state.ec2.instance(instance).map(|held| held.state.name())
    }

    fn last_activity(&self) -> &Activity {
        self.state.autoscaling.activities().last().expect("an activity")
    }
}

fn hook(name: &str, transition: Transition, timeout_seconds: u64) -> NewHook {
    NewHook {
        name: name.to_owned(),
        transition: Some(transition),
        heartbeat_timeout: Some(Duration::from_secs(timeout_seconds)),
        ..NewHook::default()
    }
}
