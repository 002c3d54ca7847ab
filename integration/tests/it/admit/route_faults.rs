//! VPC routes when something is wrong with them: a reason for whom it concerns, nothing for the
//! others, and never a route of somebody else's.

use std::time::Duration;

use integration::region::call::Service;
use integration::region::ec2::{Route, Target, Towards};
use integration::region::{Fault, Profile, Rule};
use ipnet::IpNet;
use tokio::time::{sleep, timeout};
use windlass::exchange::{Denied, Grant, InstanceId};
use windlass::policies::CLUSTER_TAG;

use super::again::{Admitting, key};
use super::agent::Agent;
use super::scene::{Launch, Scene};

/// As long as drift may go unnoticed, and a little.
const DRIFT: Duration = Duration::from_secs(65);

fn scene() -> Scene {
    fastrand::seed(7);
    Scene::new(7, Profile::None)
}

impl Admitting {
    async fn agent(&self) -> Agent {
        let agent = Agent::new(&self.scene, self.worker().await, &key());
        agent.ask().await;
        agent
    }

    async fn granted(&self) -> Grant {
        let grant = self.agent().await;
        timeout(Duration::from_secs(60), grant.granted()).await.expect("a grant")
    }

    async fn denied(&self) -> (InstanceId, Denied) {
        let agent = self.agent().await;
        let denied = timeout(Duration::from_secs(60), agent.denied()).await.expect("a refusal");
        (agent.machine.user.instance, denied)
    }
}

/// What these tests do to a scene's VPC, and see of it.
trait Vpc {
    /// The cluster's only route table.
    fn table(&self) -> String;
    fn interface_of(&self, instance: &InstanceId) -> String;
    fn route_to(&self, destination: &IpNet) -> Option<Target>;
    fn holder_of(&self, interface: &str) -> String;
    /// A running instance of somebody else's in the cluster's VPC.
    async fn stranger(&self) -> String;
    fn create_route(&self, destination: IpNet, interface: &str);
    fn fail(&self, action: &str, fault: Fault, times: u64);
    fn count(&self, action: &str) -> u64;
}

impl Vpc for Scene {
    fn table(&self) -> String {
        self.region.with(|state, _| {
            let mut tables = state.ec2.route_tables();
            let tagged = tables.find(|it| state.ec2.tags_of(&it.id).contains_key(CLUSTER_TAG));
            tagged.expect("a tagged table").id.clone()
        })
    }

    fn interface_of(&self, instance: &InstanceId) -> String {
        self.region.with(|state, _| {
            state.ec2.instance(instance.as_str()).expect("an instance").interfaces[0].clone()
        })
    }

    fn route_to(&self, destination: &IpNet) -> Option<Target> {
        let table = self.table();
        self.region.with(|state, _| {
            let table = state.ec2.route_table(&table).expect("the table");
            table.route_to(*destination).map(|route: &Route| route.target.clone())
        })
    }

    fn holder_of(&self, interface: &str) -> String {
        self.region
            .with(|state, _| state.ec2.holder_of(interface).expect("its instance").id.clone())
    }

    async fn stranger(&self) -> String {
        let instance = self.launch(Launch { tagged: false, ..Launch::WORKER });
        self.until_running(&instance).await;
        self.interface_of(&instance)
    }

    fn create_route(&self, destination: IpNet, interface: &str) {
        let (table, towards) = (self.table(), Towards::Interface(interface.to_owned()));
        self.region.with(|state, now| {
            state.ec2.create_route(&table, destination, &towards, now).expect("a route");
        });
    }

    fn fail(&self, action: &str, fault: Fault, times: u64) {
        let rule = Rule::always(fault).on(Service::Ec2, action);
        self.region.faults().add(rule.times(times));
    }

    fn count(&self, action: &str) -> u64 {
        self.region.calls().count("", &format!("ec2:{action}"))
    }
}

#[tokio::test(start_paused = true)]
async fn untagged_route_tables_are_a_refusal_that_says_what_to_tag() {
    let scene = scene();
    let table = scene.table();
    let vpc = scene.region.with(|state, _| {
        state.ec2.untag(&table, CLUSTER_TAG, None).expect("untagged");
        state.ec2.route_table(&table).expect("the table").vpc.clone()
    });
    let (instance, denied) = Admitting::to(scene).await.denied().await;
    assert_eq!(denied.reason, "no-route");
    let wanted = format!(
        "the VPC cannot route pods to instance `{instance}`: no route table of {vpc} has the tag \
         `windlass:cluster` = `prod`\nhint: tag those that the nodes' subnets use"
    );
    assert_eq!(denied.message, wanted);
}

#[tokio::test(start_paused = true)]
async fn a_permission_that_is_missing_is_named_with_what_it_is_missing_on() {
    let admitting = Admitting::to(scene()).await;
    let instance = admitting.scene.launch(Launch::WORKER);
    let interface = admitting.scene.interface_of(&instance);
    // The policy allows the change of tagged interfaces only.
    admitting.scene.region.with(|state, _| {
        state.ec2.untag(&interface, CLUSTER_TAG, None).expect("untagged");
    });
    let machine = admitting.scene.machine(&instance).await;
    let agent = Agent::new(&admitting.scene, machine, &key());
    agent.ask().await;
    let denied = timeout(Duration::from_secs(60), agent.denied()).await.expect("a refusal");
    assert_eq!(denied.reason, "no-route");
    let starts = format!(
        "the VPC cannot route pods to instance `{instance}`: EC2 refuses {interface} without \
         source/destination check: EC2 denied it: UnauthorizedOperation: "
    );
    assert!(denied.message.starts_with(&starts), "{}", denied.message);
    let action = "ec2:ModifyNetworkInterfaceAttribute";
    assert!(denied.message.contains(action), "{}", denied.message);
    let ends = "hint: compare with `windlass cluster policy control-plane`; route tables and network \
                interfaces need the cluster's tag";
    assert!(denied.message.ends_with(ends), "{}", denied.message);
}

#[tokio::test(start_paused = true)]
async fn a_full_table_is_refused_before_a_lease_with_number_table_and_what_to_do() {
    let scene = scene();
    let (table, theirs) = (scene.table(), scene.stranger().await);
    // With the VPC's own route 499; the control plane takes the last one.
    for number in 0..498_u16 {
        let [high, low] = number.to_be_bytes();
        scene.create_route(
            format!("172.{}.{low}.0/24", 16 + high).parse().expect("a CIDR"),
            &theirs,
        );
    }
    let admitting = Admitting::to(scene).await;
    sleep(Duration::from_secs(10)).await;
    let (instance, denied) = admitting.denied().await;
    assert_eq!(denied.reason, "no-pod-cidr");
    let wanted = format!(
        "the pod network has no free CIDR for instance `{instance}`: route table {table} has 500 of \
         500 IPv4 routes, those of leases included\nhint: ask AWS to raise the quota \"Routes per \
         route table\" and set `network.routes_per_table`, or let ended nodes go"
    );
    assert_eq!(denied.message, wanted);
}

#[tokio::test(start_paused = true)]
async fn a_lower_quota_of_the_account_is_told_in_ec2s_words() {
    let scene = scene();
    scene.region.with(|state, _| state.ec2.routes_per_table = 2);
    let table = scene.table();
    let admitting = Admitting::to(scene).await;
    sleep(Duration::from_secs(10)).await;
    let (instance, denied) = admitting.denied().await;
    assert_eq!(denied.reason, "no-route");
    let interface = admitting.scene.interface_of(&instance);
    let wanted = format!(
        "the VPC cannot route pods to instance `{instance}`: EC2 refuses a route for 10.128.1.0/24 in \
         {table} to {interface}: the route table takes no more routes: RouteLimitExceeded: The maximum \
         number of routes has been reached."
    );
    assert_eq!(denied.message, wanted);
}

/// Where one foreign route stops the cloud controller manager's whole reconciliation
/// (cloud-provider-aws issues 627 and 1351).
#[tokio::test(start_paused = true)]
async fn a_foreign_route_hinders_only_whom_it_concerns() {
    let admitting = Admitting::to(scene()).await;
    let scene = &admitting.scene;
    let theirs = scene.stranger().await;
    let first = admitting.granted().await;
    let cidr = first.pod_cidrs[0];
    let table = scene.table();
    scene.region.with(|state, _| state.ec2.delete_route(&table, cidr).expect("deleted"));
    scene.create_route(cidr, &theirs);
    sleep(DRIFT).await;
    let second = admitting.granted().await;
    let own = Target::Interface(scene.interface_of(&second.instance));
    assert_eq!(scene.route_to(&second.pod_cidrs[0]), Some(own));
    assert_eq!(scene.route_to(&cidr), Some(Target::Interface(theirs.clone())), "left alone");
    // Whom it concerns is told when he asks again: stopped and started, that is within the window.
    scene.region.with(|state, now| state.ec2.stop(first.instance.as_str(), now).expect("stopped"));
    sleep(Duration::from_secs(5)).await;
    scene.region.with(|state, now| state.ec2.start(first.instance.as_str(), now).expect("started"));
    scene.until_running(&first.instance).await;
    let agent = Agent::new(scene, scene.machine(&first.instance).await, &key());
    agent.ask().await;
    let denied = timeout(Duration::from_secs(60), agent.denied()).await.expect("a refusal");
    let wanted = format!(
        "the VPC cannot route pods to instance `{}`: the route for {cidr} in {table} leads to {theirs} of \
         {}, which is not of this cluster",
        first.instance,
        scene.holder_of(&theirs),
    );
    assert_eq!((denied.reason.as_str(), denied.message), ("no-route", wanted));
    assert_eq!((scene.count("ReplaceRoute"), scene.count("DeleteRoute")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_route_that_somebody_deleted_comes_back_and_one_led_astray_is_replaced() {
    let admitting = Admitting::to(scene()).await;
    let scene = &admitting.scene;
    let (first, second) = (admitting.granted().await, admitting.granted().await);
    // EC2 is asked for what this admitter changed itself only after a while.
    sleep(DRIFT).await;
    let (table, astray) = (scene.table(), scene.interface_of(&first.instance));
    scene.region.with(|state, now| {
        state.ec2.delete_route(&table, first.pod_cidrs[0]).expect("deleted");
        let towards = Towards::Interface(astray.clone());
        let cidr = second.pod_cidrs[0];
        state.ec2.replace_route(&table, cidr, &towards, now).expect("replaced");
    });
    // It takes effect, and nobody hears of it.
    scene.fail("ReplaceRoute", Fault::Lost, 1);
    sleep(DRIFT + Duration::from_secs(15)).await;
    for grant in [&first, &second] {
        let own = Target::Interface(scene.interface_of(&grant.instance));
        assert_eq!(scene.route_to(&grant.pod_cidrs[0]), Some(own));
    }
    assert_eq!((scene.count("ReplaceRoute"), scene.count("DeleteRoute")), (1, 0));
}

/// Where an instance with several interfaces stops the route controller (kubernetes issue 92783).
#[tokio::test(start_paused = true)]
async fn an_instance_with_two_interfaces_is_routed_by_its_primary_one() {
    let admitting = Admitting::to(scene()).await;
    let scene = &admitting.scene;
    let instance = scene.launch(Launch { interfaces: 2, ..Launch::WORKER });
    let agent = Agent::new(scene, scene.machine(&instance).await, &key());
    agent.ask().await;
    let grant = timeout(Duration::from_secs(60), agent.granted()).await.expect("a grant");
    let own = Target::Interface(scene.interface_of(&instance));
    assert_eq!(scene.route_to(&grant.pod_cidrs[0]), Some(own));
    let other = admitting.granted().await;
    assert!(scene.route_to(&other.pod_cidrs[0]).is_some(), "it hinders nobody");
}

#[tokio::test(start_paused = true)]
async fn half_a_description_takes_nobodys_route_and_hinders_no_newcomer() {
    let admitting = Admitting::to(scene()).await;
    let scene = &admitting.scene;
    let first = admitting.granted().await;
    scene.fail("DescribeRouteTables", Fault::Cut, 1000);
    sleep(5 * DRIFT).await;
    let second = admitting.granted().await;
    for grant in [&first, &second] {
        let own = Target::Interface(scene.interface_of(&grant.instance));
        assert_eq!(scene.route_to(&grant.pod_cidrs[0]), Some(own));
    }
    assert_eq!(scene.count("DeleteRoute"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_route_whose_answer_was_lost_is_not_made_twice() {
    let admitting = Admitting::to(scene()).await;
    let scene = &admitting.scene;
    sleep(Duration::from_secs(10)).await;
    let before = scene.count("CreateRoute");
    scene.fail("CreateRoute", Fault::Lost, 1);
    let grant = admitting.granted().await;
    assert!(scene.route_to(&grant.pod_cidrs[0]).is_some());
    assert_eq!(scene.count("CreateRoute") - before, 1);
}

#[tokio::test(start_paused = true)]
async fn an_interface_that_goes_in_the_middle_hinders_nobody() {
    let admitting = Admitting::to(scene()).await;
    let scene = &admitting.scene;
    scene.fail("CreateRoute", Fault::Throttle, 3);
    let gone = admitting.agent().await;
    sleep(Duration::from_millis(300)).await;
    scene.terminate(&gone.machine.user.instance);
    let grant = admitting.granted().await;
    assert!(scene.route_to(&grant.pod_cidrs[0]).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_cidr_is_used_again_only_when_its_routes_are_gone() {
    let admitting = Admitting::to(scene()).await;
    let scene = &admitting.scene;
    let first = admitting.granted().await;
    let cidr = first.pod_cidrs[0];
    scene.terminate(&first.instance);
    sleep(Duration::from_secs(180)).await;
    assert_eq!(scene.route_to(&cidr), None, "its holder is gone");
    let second = admitting.granted().await;
    assert_ne!(second.pod_cidrs, first.pod_cidrs, "a deletion might still be on its way");
    sleep(Duration::from_secs(240)).await;
    let third = admitting.granted().await;
    assert_eq!(third.pod_cidrs, first.pod_cidrs);
    let own = Target::Interface(scene.interface_of(&third.instance));
    assert_eq!(scene.route_to(&cidr), Some(own));
}
