//! Fifty instances at once, counted: what admission costs in AWS calls.

use std::time::Duration;

use futures_util::future::join_all;
use integration::region::Profile;
use integration::region::ec2::Timing;
use windlass::pki::PrivateKey;

use super::agent::Agent;
use super::scene::{CONTROL_PLANE, Launch, Scene};

const NODES: u64 = 50;

/// From the first sight of the fifty until the last has its grant. Instances boot within three
/// seconds of one another.
#[tokio::test(start_paused = true)]
async fn fifty_at_once_cost_few_calls_each() {
    fastrand::seed(50);
    let scene = Scene::new(50, Profile::Aws);
    scene.region.with(|state, _| state.ec2.timing = Timing::lifelike());
    let running = tokio::spawn(scene.region.clone().run());
    let own = scene.launch(Launch { role: CONTROL_PLANE, ..Launch::WORKER });
    scene.until_running(&own).await;
    let machine = scene.machine(&own).await;
    let admitting = tokio::spawn(scene.admitter(&machine));
    // Settled: nobody is expected.
    tokio::time::sleep(Duration::from_secs(30)).await;
    scene.region.calls().reset();

    let instances: Vec<_> = (0..NODES).map(|_| scene.launch(Launch::WORKER)).collect();
    let began = tokio::time::Instant::now();
    let grants = join_all(instances.iter().map(|instance| async {
        scene.until_running(instance).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1000..4000))).await;
        let machine = scene.machine(instance).await;
        let agent = Agent::new(&scene, machine, &PrivateKey::generate().expect("a key"));
        let asked = tokio::time::Instant::now();
        agent.ask().await;
        agent.granted().await;
        asked.elapsed()
    }))
    .await;
    let took = began.elapsed();
    // What is done after a grant was put: the audit object, the request's end.
    tokio::time::sleep(Duration::from_secs(1)).await;
    admitting.abort();
    running.abort();

    let calls = scene.region.calls();
    let of_admitter = |action: &str| calls.count(own.as_str(), action);
    let describes = of_admitter("ec2:DescribeInstances");
    let requests = of_admitter("s3:");
    let by_action: Vec<_> =
        calls.counts().into_iter().filter(|((caller, _), _)| caller == own.as_str()).collect();
    println!("{NODES} granted in {took:?}; each within {:?}", grants.iter().max());
    println!("{describes} DescribeInstances, {requests} S3 requests: {by_action:#?}");
    assert!(describes * 10 <= NODES, "{describes} DescribeInstances for {NODES} nodes");
    assert!(requests <= 6 * NODES, "{requests} S3 requests for {NODES} nodes");
}
