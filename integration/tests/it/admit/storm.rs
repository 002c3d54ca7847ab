//! Fifty instances at once, counted: what admission costs in AWS calls.

use std::time::Duration;

use futures_util::future::join_all;
use integration::region::Profile;
use integration::region::ec2::Timing;
use windlass::pki::PrivateKey;

use super::agent::Agent;
use super::scene::{CONTROL_PLANE, Launch, Scene, WINDOW};

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

/// The leader looks under the key of who is expected alone: no listing stands between a request and
/// its grant.
#[tokio::test(start_paused = true)]
async fn one_who_is_expected_is_granted_without_a_listing() {
    fastrand::seed(52);
    let scene = Scene::new(52, Profile::Aws);
    scene.region.with(|state, _| state.ec2.timing = Timing::lifelike());
    let running = tokio::spawn(scene.region.clone().run());
    let own = scene.launch(Launch { role: CONTROL_PLANE, ..Launch::WORKER });
    scene.until_running(&own).await;
    let admitting = tokio::spawn(scene.admitter(&scene.machine(&own).await));
    tokio::time::sleep(Duration::from_secs(30)).await;

    let mut waits = Vec::new();
    for _ in 0..10 {
        let instance = scene.launch(Launch::WORKER);
        scene.until_running(&instance).await;
        tokio::time::sleep(Duration::from_secs(8)).await;
        let agent = Agent::new(
            &scene,
            scene.machine(&instance).await,
            &PrivateKey::generate().expect("a key"),
        );
        agent.ask().await;
        let asked = tokio::time::Instant::now();
        agent.granted().await;
        waits.push(asked.elapsed());
    }
    admitting.abort();
    running.abort();
    waits.sort();
    println!("{waits:?}");
    // A listing comes every second, so that half of them would have waited for longer.
    assert!(waits[waits.len() / 2] < Duration::from_millis(400), "{waits:?}");
}

/// What an admitter asks of AWS while nothing happens, and what that costs a month. EC2 calls cost
/// nothing; S3's prices are those of eu-west-1 ("Amazon S3 pricing", S3 Standard): PUT, COPY, POST
/// and LIST $0.005, GET and the others $0.0004 a thousand.
#[tokio::test(start_paused = true)]
async fn an_idle_cluster_costs_little() {
    fastrand::seed(51);
    let scene = Scene::new(51, Profile::Aws);
    let running = tokio::spawn(scene.region.clone().run());
    let own = scene.launch(Launch { role: CONTROL_PLANE, ..Launch::WORKER });
    let machine = scene.machine(&own).await;
    let admitting = tokio::spawn(scene.admitter(&machine));
    // The admitter's own instance is expected for as long as the window.
    tokio::time::sleep(WINDOW + Duration::from_secs(30)).await;
    scene.region.calls().reset();
    tokio::time::sleep(Duration::from_secs(600)).await;
    admitting.abort();
    running.abort();

    let of = |action: &str| scene.region.calls().count(own.as_str(), action) as f64;
    let months_are_ten_minutes = 6.0 * 24.0 * 30.0;
    let dear = of("s3:PutObject") + of("s3:ListObjectsV2");
    let cheap = of("s3:GetObject");
    let dollars = months_are_ten_minutes * (dear * 0.005 + cheap * 0.0004) / 1000.0;
    println!(
        "in ten idle minutes {} LIST, {} PUT, {cheap} GET, {} DescribeInstances: ${dollars:.2} a month",
        of("s3:ListObjectsV2"),
        of("s3:PutObject"),
        of("ec2:DescribeInstances")
    );
    assert!(dollars < 1.0, "${dollars:.2} a month");
}
