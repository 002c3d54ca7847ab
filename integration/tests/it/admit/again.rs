//! Who asks again, who asks for itself, and what happens when there is nothing to give.

use std::time::Duration;

use integration::region::Profile;
use integration::region::ec2::Target;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use windlass::admit::audit::{Decision, Entry};
use windlass::admit::lease::Leases;
use windlass::admit::{NotAdmitted, Refusal};
use windlass::exchange::{Grant, InstanceId};
use windlass::pki::PrivateKey;

use super::agent::Agent;
use super::scene::{BUCKET, CONTROL_PLANE, LIFETIME, Launch, Machine, Scene};

/// One admitter that works, and the region's own time.
pub struct Admitting {
    pub scene: Scene,
    tasks: Vec<JoinHandle<()>>,
}

impl Admitting {
    async fn new() -> Self {
        fastrand::seed(1);
        Self::to(Scene::new(1, Profile::None)).await
    }

    /// To a scene that was prepared.
    pub async fn to(scene: Scene) -> Self {
        let region = tokio::spawn(scene.region.clone().run());
        let machine = control_plane(&scene).await;
        let admitter = tokio::spawn(scene.admitter(&machine));
        Self { scene, tasks: vec![region, admitter] }
    }

    pub async fn worker(&self) -> Machine {
        let instance = self.scene.launch(Launch::WORKER);
        self.scene.machine(&instance).await
    }

    fn audited(&self, instance: &InstanceId) -> Vec<Decision> {
        let keys = self.scene.all_keys().into_iter().filter(|key| key.contains("/audit/"));
        let entries = keys.filter_map(|key| self.scene.history(&key).pop().flatten());
        let entries = entries.map(|it| serde_json::from_slice::<Entry>(&it).expect("an entry"));
        let own = entries.filter(|entry| entry.user.instance == *instance);
        own.map(|entry| entry.decision).collect()
    }

    fn put(&self, key: &str, bytes: Vec<u8>) {
        let put = |state: &mut integration::region::State, now| {
            state.s3.put(BUCKET, key, bytes, now).expect("the bucket is there");
        };
        self.scene.region.with(put);
    }
}

impl Drop for Admitting {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn control_plane(scene: &Scene) -> Machine {
    let own = scene.launch(Launch { role: CONTROL_PLANE, ..Launch::WORKER });
    scene.machine(&own).await
}

pub fn key() -> PrivateKey {
    PrivateKey::generate().expect("a key")
}

#[tokio::test(start_paused = true)]
async fn the_same_key_is_delivered_again_and_signed_afresh_when_its_certificate_has_ended() {
    let admitting = Admitting::new().await;
    let machine = admitting.worker().await;
    let instance = machine.user.instance.clone();
    let agent = Agent::new(&admitting.scene, machine, &key());
    agent.ask().await;
    let first = agent.granted().await;
    agent.ask().await;
    sleep(Duration::from_secs(12)).await;
    assert_eq!(agent.granted().await, first);

    // Stopped while the certificate ends, then started: EC2 says another launch time.
    let stop_and_start = |start: bool| {
        admitting.scene.region.with(|state, now| match start {
            true => state.ec2.start(instance.as_str(), now).expect("started"),
            false => state.ec2.stop(instance.as_str(), now).expect("stopped"),
        });
    };
    stop_and_start(false);
    sleep(LIFETIME + Duration::from_secs(1)).await;
    stop_and_start(true);
    agent.ask().await;
    let again = agent.granted().await;
    assert_eq!(again.pod_cidrs, first.pod_cidrs);
    assert_eq!(again.public_key_sha256, first.public_key_sha256);
    assert!(again.not_after > first.not_after);
    sleep(Duration::from_secs(1)).await;
    let wanted = [Decision::Granted, Decision::DeliveredAgain, Decision::SignedAfresh];
    assert_eq!(admitting.audited(&instance), wanted);
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_instance_lets_itself_into_an_empty_cluster() {
    let scene = Scene::new(2, Profile::None);
    let machine = control_plane(&scene).await;
    let key = key();
    let agent = Agent::of_group(CONTROL_PLANE, &scene, machine.clone(), &key);
    let admitter = scene.idle_admitter(&machine);
    let grant = admitter.admit_self(&machine.user, &agent.request).await.expect("admitted");
    assert_eq!(grant.public_key_sha256, key.public_key_sha256());
    assert_eq!(grant.pod_cidrs, ["10.128.0.0/24".parse().expect("a CIDR")]);
    let written = scene.history(&scene.keys.grant(&machine.user)).pop().flatten();
    let written: Grant = serde_json::from_slice(&written.expect("a grant")).expect("a grant");
    assert_eq!(written, grant);
    let leases = scene.history(&scene.keys.leases()).pop().flatten().expect("leases");
    let leases: Leases = serde_json::from_slice(&leases).expect("leases");
    assert_eq!(leases.held_by(&machine.user.instance), grant.pod_cidrs);
    scene.region.with(|state, _| {
        let own = state.ec2.interfaces_of(machine.user.instance.as_str())[0];
        let mut routes = state.ec2.route_tables().flat_map(|table| &table.routes);
        let route = routes.find(|route| route.destination == grant.pod_cidrs[0]).expect("a route");
        assert_eq!(route.target, Target::Interface(own.id.clone()));
        assert!(!own.source_dest_check);
    });

    // Killed after that and run again: the same. With another key: no.
    let again = admitter.admit_self(&machine.user, &agent.request).await.expect("admitted");
    assert_eq!(again, grant);
    let other = Agent::of_group(CONTROL_PLANE, &scene, machine.clone(), &self::key());
    match admitter.admit_self(&machine.user, &other.request).await {
        Err(NotAdmitted::Refused(Refusal::OtherKey { .. })) => {}
        other => panic!("found {other:?}, wanted a refusal for another key"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_pod_network_is_a_refusal_with_the_reason() {
    let admitting = Admitting::new().await;
    let leases: serde_json::Map<_, _> = (0..=255)
        .map(|third| {
            let holder = json!({
                "instance": format!("i-{third:017x}"),
                "network_interface": null,
                "since": "2026-11-23T12:00:00Z",
            });
            (format!("10.128.{third}.0/24"), holder)
        })
        .collect();
    let leases = json!({ "version": 1, "leases": leases });
    admitting.put(&admitting.scene.keys.leases(), leases.to_string().into_bytes());
    let agent = Agent::new(&admitting.scene, admitting.worker().await, &key());
    agent.ask().await;
    let denied = agent.denied().await;
    assert_eq!(denied.reason, "no-pod-cidr");
    assert_eq!(
        denied.message,
        format!(
            "the pod network has no free CIDR for instance `{}`: all 256 pod CIDRs of /24 in \
             10.128.0.0/16 are leased\nhint: take a larger pod network, or a longer node mask",
            agent.machine.user.instance
        )
    );
}

#[tokio::test(start_paused = true)]
async fn leases_that_cannot_be_read_are_left_alone_and_nobody_is_granted() {
    let admitting = Admitting::new().await;
    let leases = admitting.scene.keys.leases();
    // The admitter's own instance is expected too, and leased for.
    sleep(Duration::from_secs(10)).await;
    admitting.put(&leases, b"not leases".to_vec());
    let written = admitting.scene.history(&leases).len();
    let agent = Agent::new(&admitting.scene, admitting.worker().await, &key());
    agent.ask().await;
    let granted = tokio::time::timeout(Duration::from_secs(30), agent.granted()).await;
    assert!(granted.is_err(), "granted without a lease: {granted:?}");
    assert_eq!(admitting.scene.history(&leases).len(), written);
    // Put right by the operator: the request has waited.
    admitting.put(&leases, br#"{"version":1,"leases":{}}"#.to_vec());
    agent.granted().await;
}
