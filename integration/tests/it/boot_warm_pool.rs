//! Boots in a warm pool: prepared, at rest, and a node when the group calls.

use std::pin::{Pin, pin};
use std::time::Duration;

use integration::region::autoscaling::{PoolState, delete_warm_pool};
use tokio::time::{sleep, timeout};
use windlass::boot::boot;
use windlass::cli::{Failure, Started};
use windlass::host::Machine;
use windlass::report::Stage;

use crate::boot_scene::{GROUP, Scene, Setting, put_revision};
use crate::boot_worker::Cluster;

async fn pooled(rest: PoolState) -> Cluster {
    Cluster::new(Setting { pool: Some(rest), ..Setting::default() }).await
}

/// Boots until Auto Scaling calls the instance's state so; the boot goes on when it is polled again.
async fn until(
    scene: &Scene,
    boot: Pin<&mut impl Future<Output = Result<(), Failure>>>,
    state: Option<&str>,
) {
    let reached = async {
        while scene.lifecycle() != state {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        ended = timeout(Duration::from_secs(60), boot) => {
            panic!("{:?} instead of {state:?}, and {ended:?}", scene.lifecycle())
        }
        () = reached => {}
    }
}

/// It asked nobody, and its machine is prepared without a kubelet.
fn is_prepared(scene: &Scene) {
    let did = scene.machine.kept();
    assert!(!did.iter().any(|it| it.starts_with("systemctl")), "{did:?}");
    assert!(did.contains(&"nft replace table inet windlass".to_owned()), "{did:?}");
    for key in [scene.keys().request(&scene.user), scene.keys().grant(&scene.user)] {
        assert_eq!(scene.object(&key), None, "{key}");
    }
    let report = scene.report();
    assert_eq!((report.stage, report.ready_ms), (Stage::WarmPool, None));
    assert_eq!(report.failure, None);
    assert!(report.notes[0].starts_with("prepared for the warm pool (`Warmed:"), "{report:?}");
}

fn hooks_completed(scene: &Scene) -> usize {
    let calls = scene.region.calls().records().into_iter();
    let completed = |call: &integration::region::calls::Record| {
        call.action == "CompleteLifecycleAction" && call.status == 200
    };
    calls.filter(completed).count()
}

fn fine(ended: Result<(), Failure>) {
    ended.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
}

#[tokio::test]
async fn a_machine_that_was_stopped_in_the_pool_becomes_a_node_when_it_starts() {
    let cluster = pooled(PoolState::Stopped).await;
    let scene = &cluster.scene;
    until(scene, pin!(scene.boot()), Some("Warmed:Stopped")).await;
    is_prepared(scene);

    scene.scale(1);
    // What a stop leaves: files, no running units.
    let started = Machine::folder(scene.machine.path("/"));
    fine(boot(&started, scene.wire(), Started::now()).await);
    assert_eq!((scene.lifecycle(), hooks_completed(scene)), (Some("InService"), 2));
    let last = started.kept().pop().expect("something was done");
    assert!(last.contains("kubelet.service"), "{last}");
    let report = scene.report();
    assert_eq!((report.stage, report.ready_ms.is_some()), (Stage::Launch, true));
}

#[tokio::test]
async fn a_machine_that_runs_in_the_pool_becomes_a_node_as_soon_as_it_is_called() {
    let cluster = pooled(PoolState::Running).await;
    let scene = &cluster.scene;
    let mut boot = pin!(scene.boot());
    until(scene, boot.as_mut(), Some("Warmed:Running")).await;
    let waited = timeout(Duration::from_secs(3), boot.as_mut()).await;
    assert!(waited.is_err(), "it rests until it is called: {waited:?}");
    is_prepared(scene);

    scene.scale(1);
    fine(timeout(Duration::from_secs(30), boot).await.expect("called, it joins"));
    assert_eq!((scene.lifecycle(), hooks_completed(scene)), (Some("InService"), 2));
    let report = scene.report();
    assert_eq!((report.stage, &report.failure), (Stage::FromWarmPool, &None));
    // From the call on, not from the machine's start, more than 8 s before.
    assert!(report.ready_ms.expect("Ready") < 8000.0, "{report:?}");
}

/// Nobody else would complete the hook that the group waits for then.
#[tokio::test]
async fn a_machine_that_leaves_the_pool_for_good_lets_the_group_go_on() {
    let cluster = pooled(PoolState::Running).await;
    let scene = &cluster.scene;
    let mut boot = pin!(scene.boot());
    until(scene, boot.as_mut(), Some("Warmed:Running")).await;
    scene.region.with(|state, now| delete_warm_pool(state, GROUP, false, now)).expect("a pool");
    assert_eq!(scene.lifecycle(), Some("Warmed:Terminating:Wait"));
    until(scene, boot, None).await;
}

#[tokio::test]
async fn a_machine_that_cannot_be_prepared_is_replaced_in_the_pool() {
    let cluster = pooled(PoolState::Stopped).await;
    let scene = &cluster.scene;
    let text = scene.object(&scene.keys().config(&scene.revision)).expect("the revision");
    let text = String::from_utf8(text).expect("text").replace("10.128.0.0/16", "10.0.0.0/16");
    scene.region.with(|state, now| put_revision(state, "workers", &text, now));
    let (said, code) = scene.failure().await;
    assert_eq!(code, 78, "{said}");
    assert_eq!(scene.lifecycle(), None, "Auto Scaling has given it up");
    assert_eq!(scene.report().stage, Stage::WarmPool);
}
