//! `windlass nodes` and `windlass report`: what S3 and EC2 say, read with the shipped operator's
//! policy.

use integration::region::ec2::{IMAGE_X86_64, LaunchSpec, Order, Tags};
use integration::region::s3::store::Versioning;
use integration::region::{Region, Settings, State};
use serde::Serialize;
use time::macros::datetime;
use windlass::client::ec2::Ec2;
use windlass::exchange::{Denied, Grant, InstanceId, Keys, UserId};
use windlass::operator::authority::{self, Ensured};
use windlass::operator::rows::{GrantState, Row, rows};
use windlass::operator::{Cluster, bucket, nodes, reports, revisions};
use windlass::policies::CLUSTER_TAG;
use windlass::report::Report;

use crate::operator_scene::{BUCKET, KMS_KEY, Scene, description};

/// Launches an instance that is tagged for `cluster`.
fn launch(scene: &Scene, cluster: &str) -> InstanceId {
    let tags = Tags::from_iter([(CLUSTER_TAG.to_owned(), cluster.to_owned())]);
    scene.region.with(|state, now| {
        let State { ec2, iam, ids, .. } = state;
        let vpc = ec2.create_vpc(ids, "10.0.0.0/16").expect("a VPC");
        let subnet = ec2.create_subnet(ids, &vpc, None, "10.0.1.0/24").expect("a subnet");
        let spec = LaunchSpec {
            image: Some(IMAGE_X86_64.to_owned()),
            instance_type: Some("m5.large".to_owned()),
            subnet: Some(subnet),
            tags: [("instance".to_owned(), tags)].into(),
            ..LaunchSpec::default()
        };
        let order = Order { spec, count: 1, client_token: None, aws_tags: Tags::new(), now };
        let id = ec2.launch(ids, iam, &order).expect("room for an instance").remove(0);
        id.parse().expect("an instance id")
    })
}

fn user(instance: &InstanceId) -> UserId {
    UserId { role_id: "AROAWORKER".into(), instance: instance.clone() }
}

fn put(scene: &Scene, key: &str, object: &impl Serialize) {
    let bytes = serde_json::to_vec(object).expect("JSON");
    scene.region.with(|state, now| state.s3.put(BUCKET, key, bytes, now)).expect("a bucket");
}

fn grant(instance: &InstanceId, node: &str) -> Grant {
    Grant {
        version: 1,
        instance: instance.clone(),
        node: node.into(),
        group: "workers".into(),
        certificate: String::new(),
        not_after: datetime!(2026-11-24 12:00 UTC),
        pod_cidrs: vec!["10.64.0.0/24".parse().expect("a CIDR")],
        at: datetime!(2026-11-23 12:00 UTC),
        public_key_sha256: String::new(),
    }
}

fn denied(instance: &InstanceId) -> Denied {
    Denied {
        version: 1,
        instance: instance.clone(),
        reason: "role-not-listed".into(),
        message: "role AROAX is not listed for group `workers`".into(),
        at: datetime!(2026-11-23 12:00 UTC),
    }
}

fn report(instance: &InstanceId, revision: &str) -> Report {
    let report = serde_json::json!({
        "version": 1, "instance": instance, "cluster": "prod", "group": "workers",
        "revision": revision, "origin": "2026-11-23T12:00:00Z", "steps": [], "calls": {},
    });
    serde_json::from_value(report).expect("a report")
}

async fn seen(cluster: &Cluster, scene: &Scene) -> Vec<Row> {
    let ec2 = Ec2::new(&scene.sdk(&scene.ann));
    let known = nodes::gather(cluster, &ec2).await.expect("gathered");
    rows(&known, cluster.now())
}

/// Applies the description with this label.
async fn apply(cluster: &Cluster, label: &str) {
    let wanted = revisions::wanted(cluster, &description(label)).await.expect("an authority");
    let comparison = revisions::compare(cluster, &wanted).await.expect("compared");
    revisions::apply(cluster, &comparison.changes, "ann").await.expect("applied");
}

#[tokio::test(start_paused = true)]
async fn every_instance_is_seen_with_what_stands_in_its_way() {
    let scene = Scene::new();
    let (cluster, keys) = (scene.cluster(), Keys::of("prod"));
    authority::ensure(&cluster, KMS_KEY).await.expect("an authority");
    apply(&cluster, "tier = \"old\"").await;
    let old = revisions::pointers(&cluster).await.expect("pointers")["workers"].revision.clone();
    apply(&cluster, "tier = \"new\"").await;

    let [behind, refused, waiting, silent] = [(); 4].map(|()| launch(&scene, "prod"));
    launch(&scene, "test");
    put(&scene, &keys.grant(&user(&behind)), &grant(&behind, "n1"));
    put(&scene, &keys.report(&user(&behind)), &report(&behind, &old));
    put(&scene, &keys.denied(&user(&refused)), &denied(&refused));
    put(&scene, &keys.request(&user(&waiting)), &"a request");

    let rows = seen(&cluster, &scene).await;
    let of = |id: &InstanceId| {
        let row = rows.iter().find(|row| row.instance == *id).expect("a row");
        (row.group.as_deref(), row.grant, row.behind, row.why_not.as_deref())
    };
    assert_eq!(of(&behind), (Some("workers"), GrantState::Granted, Some(true), None));
    let reason = "denied: role AROAX is not listed for group `workers`";
    assert_eq!(of(&refused), (None, GrantState::Denied, None, Some(reason)));
    assert_eq!(of(&waiting), (None, GrantState::Asked, None, Some("asked 0 s ago")));
    assert_eq!(of(&silent), (None, GrantState::None, None, Some("has not asked yet")));
    assert_eq!(rows.len(), 4, "none of another cluster: {rows:?}");
}

#[tokio::test]
async fn one_broken_object_does_not_hide_the_others() {
    let scene = Scene::new();
    let (cluster, keys) = (scene.cluster(), Keys::of("prod"));
    let (good, broken) = (launch(&scene, "prod"), launch(&scene, "prod"));
    put(&scene, &keys.grant(&user(&good)), &grant(&good, "n1"));
    put(&scene, &keys.grant(&user(&broken)), &"garbage");
    let rows = seen(&cluster, &scene).await;
    let nodes: Vec<Option<&str>> = rows.iter().map(|row| row.node.as_deref()).collect();
    assert_eq!(rows.len(), 2);
    assert!(nodes.contains(&Some("n1")), "{nodes:?}");
}

#[tokio::test]
async fn a_report_is_found_by_instance_and_by_the_nodes_name() {
    let scene = Scene::new();
    let (cluster, keys) = (scene.cluster(), Keys::of("prod"));
    let (one, two) = (launch(&scene, "prod"), launch(&scene, "prod"));
    for (instance, name) in [(&one, "ip-10-0-1-4.ec2.internal"), (&two, "ip-10-0-1-5.ec2.internal")]
    {
        put(&scene, &keys.grant(&user(instance)), &grant(instance, name));
        put(&scene, &keys.report(&user(instance)), &report(instance, "abc"));
    }
    let found = reports::find(&cluster, two.as_str()).await.expect("a report");
    assert_eq!(found.boot.map(|it| it.instance), Some(two));
    let found = reports::find(&cluster, "ip-10-0-1-4.ec2.internal").await.expect("a report");
    assert_eq!(found.boot.map(|it| it.instance), Some(one));
}

#[tokio::test]
async fn where_there_is_no_report_the_reason_is_said() {
    let scene = Scene::new();
    let (cluster, keys) = (scene.cluster(), Keys::of("prod"));
    let (refused, granted) = (launch(&scene, "prod"), launch(&scene, "prod"));
    put(&scene, &keys.denied(&user(&refused)), &denied(&refused));
    put(&scene, &keys.grant(&user(&granted)), &grant(&granted, "n1"));
    let said =
        async |node: &str| reports::find(&cluster, node).await.expect_err("none").to_string();
    let nodes =
        "hint: `windlass nodes` lists the cluster's instances and says why each is not Ready";
    assert_eq!(
        said(refused.as_str()).await,
        format!(
            "{refused} has no boot report: it was denied: role AROAX is not listed for group `workers`\n  {nodes}"
        )
    );
    assert_eq!(
        said(granted.as_str()).await,
        format!(
            "{granted} has no boot report yet\n  hint: it is written when the node is Ready, or when its boot is given up"
        )
    );
    assert_eq!(
        said("n2").await,
        format!("s3://acme-kubernetes/prod knows no instance or node `n2`\n  {nodes}")
    );
}

/// Every permission of the shipped operator's policy is needed by some command, and no command
/// needs another.
#[tokio::test]
async fn the_operators_policy_is_neither_too_little_nor_too_much() {
    let scene = Scene::new();
    let cluster = scene.cluster();
    assert_eq!(bucket::shortcomings(&cluster).await.expect("init checks"), []);
    let made = authority::ensure(&cluster, KMS_KEY).await.expect("init makes");
    let Ensured::Made(made) = made else { panic!("{made:?}") };
    apply(&cluster, "tier = \"old\"").await;
    seen(&cluster, &scene).await;
    authority::load(&cluster, &made).await.expect("kubeconfig signs");
    assert_eq!(scene.unused(), []);
}

/// The region's default is what AWS gives: nothing was loosened for these tests.
#[test]
fn a_new_bucket_is_not_versioned() {
    let region = Region::new(Settings::new(1, datetime!(2026-11-23 12:00 UTC)));
    let versioning = region.with(|state, now| state.s3.create_bucket("b", now).versioning);
    assert_eq!(versioning, Versioning::Never);
}
