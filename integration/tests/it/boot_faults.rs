//! Every call of a boot failed in every way, once: the node is Ready all the same.

use std::time::Duration;

use futures_util::future::join_all;
use integration::region::call::Service;
use integration::region::{Fault, Rule};

use crate::boot_scene::Setting;
use crate::boot_worker::Cluster;

/// The calls of a worker's boot to AWS, in their order; IMDS has a test of its own.
const CALLS: [(Service, &str, u64); 6] = [
    (Service::S3, "GetObject", 1),
    (Service::S3, "GetObject", 2),
    (Service::S3, "PutObject", 1),
    (Service::S3, "GetObject", 3),
    (Service::AutoScaling, "CompleteLifecycleAction", 1),
    (Service::S3, "PutObject", 2),
];

async fn boot_with(fault: Fault, (service, action, nth): (Service, &str, u64)) {
    let cluster = Cluster::new(Setting::default()).await;
    let scene = &cluster.scene;
    let rule = Rule::always(fault.clone()).on(service, action).by(&scene.instance);
    scene.region.faults().add(rule.from_call(nth).times(1));
    let what = format!("{fault} on the {nth}. {action}");
    Box::pin(scene.boot()).await.unwrap_or_else(|failure| panic!("{what}: {:#}", failure.error()));
    assert_eq!(scene.lifecycle(), Some("InService"), "{what}");
    let struck = scene.region.faults().list().iter().map(|(_, hits)| hits).sum::<u64>();
    assert!(struck >= nth, "{what} was never met");
    assert_eq!(scene.report().failure, None, "{what}");
}

#[tokio::test]
async fn one_failure_of_any_call_does_not_keep_a_node_from_being_ready() {
    let faults = [
        Fault::Throttle,
        Fault::InternalError,
        Fault::Unavailable,
        Fault::Cut,
        Fault::Lost,
        Fault::Slow(Duration::from_secs(2)),
        Fault::Timeout,
    ];
    let each = |fault: Fault| CALLS.map(|call| Box::pin(boot_with(fault.clone(), call)));
    join_all(faults.into_iter().flat_map(each)).await;
}
