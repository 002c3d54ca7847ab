//! The admission window: who asks in time is let in however long that takes us, who asks too late is
//! not.

use std::time::Duration;

use integration::region::call::Service;
use integration::region::{Fault, Profile, Rule};
use tokio::time::{sleep, timeout};

use super::again::{Admitting, key};
use super::agent::Agent;
use super::scene::{Launch, Scene, WINDOW};

/// What is left to do when nothing is in the way any more.
const SOON: Duration = Duration::from_secs(60);

fn scene() -> Scene {
    fastrand::seed(8);
    Scene::new(8, Profile::None)
}

/// As in a storm that is longer than the window.
#[tokio::test(start_paused = true)]
async fn who_asked_in_time_is_let_in_however_late_his_routes_are() {
    let admitting = Admitting::to(scene()).await;
    let faults = admitting.scene.region.faults();
    faults.add(Rule::always(Fault::Throttle).on(Service::Ec2, "CreateRoute"));
    let agent = Agent::new(&admitting.scene, admitting.worker().await, &key());
    agent.ask().await;
    sleep(3 * WINDOW).await;
    assert!(agent.look().await.is_none(), "his routes are not real");
    faults.clear();
    let grant = timeout(SOON, agent.granted()).await.expect("a grant");
    assert!(grant.at - agent.request.at > 3 * WINDOW, "{grant:?}");
    let denied = admitting.scene.history(&admitting.scene.keys.denied(&agent.machine.user));
    assert_eq!(denied, Vec::<Option<Vec<u8>>>::new());
}

/// S3 says when he asked: nobody need have been there to see it.
#[tokio::test(start_paused = true)]
async fn who_asked_in_time_is_let_in_by_an_admitter_that_comes_when_the_window_is_over() {
    let scene = scene();
    let instance = scene.launch(Launch::WORKER);
    scene.until_running(&instance).await;
    let agent = Agent::new(&scene, scene.machine(&instance).await, &key());
    agent.ask().await;
    sleep(3 * WINDOW).await;
    let admitting = Admitting::to(scene).await;
    let grant = timeout(SOON, agent.granted()).await.expect("a grant");
    assert_eq!(grant.instance, instance);
    drop(admitting);
}

#[tokio::test(start_paused = true)]
async fn who_asks_when_the_window_is_over_is_refused_although_he_was_expected() {
    let admitting = Admitting::to(scene()).await;
    let agent = Agent::new(&admitting.scene, admitting.worker().await, &key());
    sleep(WINDOW + Duration::from_secs(2)).await;
    agent.ask().await;
    let denied = timeout(SOON, agent.denied()).await.expect("a refusal");
    let wanted = format!(
        "instance `{}` asked 1m 2s after its launch, group `workers` admits within 1m",
        agent.machine.user.instance
    );
    assert_eq!((denied.reason.as_str(), denied.message), ("launched-too-long-ago", wanted));
}
