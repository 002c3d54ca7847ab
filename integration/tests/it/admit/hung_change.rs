//! A change that EC2 does not answer takes one place of many, and holds up nobody but whom it is for.

use std::time::Duration;

use futures_util::future::join_all;
use integration::region::call::Service;
use integration::region::{Fault, Profile, Rule};
use tokio::time::{sleep, timeout};

use super::again::{Admitting, key};
use super::agent::Agent;
use super::scene::Scene;

/// Routes and interfaces of so many are more changes than are asked for together, and fewer than
/// AWS' throttle lets through at once.
const NODES: usize = 20;

/// Shorter than an answer of EC2's is waited for.
const HUNG: Duration = Duration::from_secs(4);

#[tokio::test(start_paused = true)]
async fn one_hung_change_holds_up_nobody_else() {
    fastrand::seed(9);
    let admitting = Admitting::to(Scene::new(9, Profile::None)).await;
    // Until the admitter's own node is routed, and its buckets are full again.
    sleep(Duration::from_secs(20)).await;
    let hang = Rule::always(Fault::Timeout).on(Service::Ec2, "CreateRoute");
    admitting.scene.region.faults().add(hang.times(1));
    let mut agents = Vec::new();
    for _ in 0..NODES {
        let agent = Agent::new(&admitting.scene, admitting.worker().await, &key());
        agent.ask().await;
        agents.push(agent);
    }
    sleep(HUNG).await;
    let granted = join_all(agents.iter().map(Agent::look)).await;
    assert_eq!(granted.iter().flatten().count(), NODES - 1, "all but whom the change is for");
    let all = join_all(agents.iter().map(Agent::granted));
    timeout(Duration::from_secs(20), all)
        .await
        .expect("and the last one when it is asked for again");
}
