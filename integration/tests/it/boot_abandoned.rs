//! An instance whose boot never could say that it gives up.

use std::fs;
use std::time::Duration;

use integration::region::call::{Service, ServiceError};
use integration::region::{Fault, Rule};
use windlass::boot::abandon;
use windlass::cli::{Failure, Started};

use crate::boot_scene::{HOOK, Scene, Setting};
use crate::boot_worker::Cluster;

impl Scene {
    /// `windlass abandon` on this instance, after systemd gave its boot up.
    async fn abandon(&self) -> Result<(), Failure> {
        let how = Some("oom-kill");
        abandon(&self.machine, self.wire(), Started::now(), how).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_boot_that_said_nothing_is_abandoned_with_what_is_known() {
    let scene = Scene::usual();
    scene.abandon().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    assert_eq!(scene.lifecycle(), None, "Auto Scaling has given it up");
    let report = scene.report();
    assert_eq!(
        report.failure.as_deref(),
        Some(
            "windlass-boot.service is not started any more (oom-kill), and ended before it \
             could say why; its journal says last:\nnothing"
        )
    );
    assert_eq!(report.notes, [format!("completed hook `{HOOK}` with ABANDON")]);
}

#[tokio::test(start_paused = true)]
async fn what_a_boot_said_last_is_the_reason_and_its_steps_are_kept() {
    let scene = Scene::usual();
    // S3 takes nothing, so the request fails, and another boot might cure that.
    let rule = Rule::always(Fault::Unavailable).on(Service::S3, "PutObject");
    scene.region.faults().add(rule.by(&scene.instance));
    let (said, code) = scene.failure().await;
    assert_eq!((code, scene.lifecycle()), (1, Some("Pending:Wait")), "{said}");

    scene.region.faults().clear();
    scene.abandon().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    let report = scene.report();
    let wanted = format!(
        "windlass-boot.service is not started any more (oom-kill); it failed at last since {said}"
    );
    assert_eq!(report.failure, Some(wanted));
    assert!(report.steps.iter().any(|step| step.name == "request"), "{:?}", report.steps);
    assert_eq!(scene.lifecycle(), None);
}

#[tokio::test(start_paused = true)]
async fn an_auto_scaling_that_is_away_is_a_failure_that_another_try_cures() {
    let scene = Scene::usual();
    scene.region.faults().add(Rule::always(Fault::Unavailable).service(Service::AutoScaling));
    let Err(Failure::Failed(error)) = scene.abandon().await else { panic!("it went well") };
    assert!(format!("{error:#}").contains("CompleteLifecycleAction"), "{error:#}");
    assert_eq!(scene.lifecycle(), Some("Pending:Wait"));
    scene.region.faults().clear();
    tokio::time::sleep(Duration::from_secs(30)).await;
    scene.abandon().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    assert_eq!(scene.lifecycle(), None);
}

/// Its boot failed over and over at the last step alone.
#[tokio::test]
async fn a_ready_node_whose_group_was_never_told_is_not_given_up() {
    let cluster = Cluster::new(Setting::default()).await;
    let scene = &cluster.scene;
    scene.region.faults().add(Rule::always(Fault::Refuse(denied())).service(Service::AutoScaling));
    let (said, code) = scene.failure().await;
    assert_eq!((code, scene.lifecycle()), (1, Some("Pending:Wait")), "{said}");
    scene.region.faults().clear();
    scene.abandon().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    assert_eq!(scene.lifecycle(), Some("InService"));
}

/// Kubelet and `windlass watch` run, and Auto Scaling was told nothing; nor is there a report.
async fn killed_at_its_last_step(cluster: &Cluster) {
    let scene = &cluster.scene;
    scene.region.faults().add(Rule::always(Fault::Refuse(denied())).service(Service::AutoScaling));
    let (said, code) = scene.failure().await;
    assert_eq!((code, scene.lifecycle()), (1, Some("Pending:Wait")), "{said}");
    scene.region.faults().clear();
    for report in ["/run/windlass/report.json", "/var/lib/windlass/report.json"] {
        fs::remove_file(scene.machine.path(report)).expect("a report");
    }
}

#[tokio::test]
async fn where_a_drain_is_possible_it_completes_the_termination_hook_and_not_the_abandonment() {
    let cluster = Cluster::new(Setting::default()).await;
    killed_at_its_last_step(&cluster).await;
    let scene = &cluster.scene;
    scene.abandon().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    while scene.lifecycle() != Some("Terminating:Wait") {
        assert!(scene.lifecycle().is_some(), "its termination hook was completed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn where_no_api_server_answers_nobody_waits_for_a_drain() {
    let mut cluster = Cluster::new(Setting::default()).await;
    killed_at_its_last_step(&cluster).await;
    cluster.api.stop().await;
    cluster.scene.abandon().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    assert_eq!(cluster.scene.lifecycle(), None);
}

fn denied() -> ServiceError {
    ServiceError::new(403, "AccessDenied", "Refused by a rule of this test.")
}

#[tokio::test]
async fn a_node_in_service_is_not_given_up() {
    let cluster = Cluster::new(Setting::default()).await;
    let scene = &cluster.scene;
    scene.boot().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    let report = scene.report();
    scene.abandon().await.unwrap_or_else(|failure| panic!("{:#}", failure.error()));
    assert_eq!((scene.lifecycle(), scene.report()), (Some("InService"), report));
}
