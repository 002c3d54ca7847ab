//! Who comes out of a warm pool: launched long before the admission window, and let in by the word of
//! Auto Scaling.

use std::time::Duration;

use integration::region::Profile;
use integration::region::autoscaling::{
    ActionName, ActionRef, ActionResult, LifecycleState, NewGroup, NewHook, PoolState, Transition,
    WarmPool, complete, create_group,
};
use integration::region::call::Service;
use integration::region::ec2::{Author, TemplateName};
use integration::region::{Fault, Rule};
use tokio::time::{Instant, sleep, timeout};
use windlass::exchange::InstanceId;

use super::again::{Admitting, key};
use super::agent::Agent;
use super::scene::{Scene, WINDOW, WORKERS};
use crate::boot_scene::spec;

const GROUP: &str = "prod-workers";
const HOOK: &str = "node-ready";
const SOON: Duration = Duration::from_secs(60);

/// A group with a launch hook and so many machines that run in its warm pool, until the window is
/// long over.
async fn long_pooled(count: u32) -> (Admitting, Vec<InstanceId>) {
    fastrand::seed(9);
    let admitting = Admitting::to(Scene::new(9, Profile::None)).await;
    let region = &admitting.scene.region;
    region.with(|state, now| {
        let by = Author { arn: "arn:aws:iam::123456789012:user/operator", now };
        let spec = spec(WORKERS, None, b"");
        let template = state.ec2.create_template(&mut state.ids, "workers", None, spec, by);
        let template = TemplateName::Id(template.expect("a launch template"));
        let launch = NewHook {
            name: HOOK.to_owned(),
            transition: Some(Transition::Launching),
            ..NewHook::default()
        };
        let subnet = admitting.scene.subnet();
        let group = NewGroup {
            desired: Some(0),
            hooks: vec![launch],
            ..NewGroup::of(GROUP, template, &[subnet], count)
        };
        create_group(state, group, now).expect("a group");
        let pool = WarmPool { rest: PoolState::Running, ..WarmPool::default() };
        state.autoscaling.put_warm_pool(GROUP, pool).expect("a group");
    });
    let members = region.with(|state, now| {
        let group = state.autoscaling.group(GROUP).expect("the group");
        let members: Vec<String> = group.members.keys().cloned().collect();
        for id in &members {
            let action = ActionRef { group: GROUP, hook: HOOK, by: ActionName::Instance(id) };
            complete(state, action, ActionResult::Continue, now).expect("waited for");
        }
        members.iter().map(|id| id.parse().expect("an instance id")).collect()
    });
    sleep(3 * WINDOW).await;
    (admitting, members)
}

fn scale(admitting: &Admitting, to: u32) {
    let scaled = |state: &mut integration::region::State, _| {
        state.autoscaling.set_desired(GROUP, to).expect("within bounds");
    };
    admitting.scene.region.with(scaled);
}

/// Those that wait for their launch hook on the way into service.
fn called(admitting: &Admitting) -> Vec<InstanceId> {
    admitting.scene.region.with(|state, _| {
        let group = state.autoscaling.group(GROUP).expect("the group");
        let members = group.members.values().filter(|member| {
            member.warmed.is_none() && matches!(member.state, LifecycleState::PendingWait(_))
        });
        members.map(|member| member.instance.parse().expect("an instance id")).collect()
    })
}

#[tokio::test(start_paused = true)]
async fn whom_the_group_calls_is_let_in_at_once_and_whom_it_leaves_in_the_pool_is_not() {
    let (admitting, all) = long_pooled(2).await;
    scale(&admitting, 1);
    let [called] = called(&admitting).try_into().expect("one of them");
    let other = all.into_iter().find(|it| *it != called).expect("the other");

    let agent = Agent::new(&admitting.scene, admitting.scene.machine(&called).await, &key());
    let asked = Instant::now();
    agent.ask().await;
    let grant = timeout(SOON, agent.granted()).await.expect("a grant");
    assert_eq!(grant.instance, called);
    let waited = asked.elapsed();
    assert!(waited < Duration::from_secs(3), "it is looked for each second, found {waited:?}");

    let agent = Agent::new(&admitting.scene, admitting.scene.machine(&other).await, &key());
    agent.ask().await;
    let denied = timeout(SOON, agent.denied()).await.expect("a refusal");
    assert_eq!(denied.reason, "launched-too-long-ago");
}

/// What Auto Scaling does not say is nobody's fault: the request waits.
#[tokio::test(start_paused = true)]
async fn a_request_waits_until_auto_scaling_answers() {
    let (admitting, _) = long_pooled(1).await;
    let faults = admitting.scene.region.faults();
    faults.add(
        Rule::always(Fault::Unavailable).on(Service::AutoScaling, "DescribeAutoScalingInstances"),
    );
    scale(&admitting, 1);
    let [called] = called(&admitting).try_into().expect("the one that there is");
    let agent = Agent::new(&admitting.scene, admitting.scene.machine(&called).await, &key());
    agent.ask().await;
    sleep(SOON).await;
    assert!(agent.look().await.is_none());
    assert!(!admitting.scene.has(&admitting.scene.keys.denied(&agent.machine.user)));
    faults.clear();
    timeout(SOON, agent.granted()).await.expect("a grant");
}
