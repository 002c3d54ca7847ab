//! The router forwards by EC2's route tables alone: real packets between namespaces that stand for
//! instances, each with the address of a pod behind it.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::AttributeBooleanValue;
use integration::lab::network::forwarding::OUTSIDE_HOST;
use integration::lab::network::{Attachment, Drops, Namespace, Router};
use integration::region::ec2::{IMAGE_X86_64, LaunchSpec, Order, Tags};
use integration::region::iam::ADMINISTRATOR;
use tokio::task::JoinHandle;

use crate::region_clients::Lab;

/// Where instances and pods send back what they get.
const ECHO: u16 = 7;
/// A packet that is not back by then was dropped: all of it is one machine.
const LOST: Duration = Duration::from_millis(300);

/// Until EC2 takes routes to an instance.
const SECONDS_UNTIL_SETTLED: u64 = 3;

/// A region, a router that follows it, and instances; gone when dropped, also when the test failed.
struct Scene {
    lab: Lab,
    ec2: Client,
    /// The main one, which both subnets follow.
    table: String,
    router: Router,
    nodes: Vec<Node>,
    following: JoinHandle<()>,
}

struct Node {
    instance: String,
    interface: String,
    address: Ipv4Addr,
    namespace: Namespace,
}

impl Scene {
    /// So many instances, in the two subnets by turns, with pods at 100.64.N.5.
    async fn new(test: &str, count: u8) -> Self {
        let lab = Lab::new(ADMINISTRATOR);
        let ec2 = lab.ec2(&lab.operator());
        let name = format!("wl-fwd-{test}-{}", std::process::id());
        let router = Router::create(&format!("{name}-vpc"), &[]).unwrap();
        let following = router.follow(&lab.region);
        let table = lab
            .region
            .with(|state, _| state.ec2.table_of_subnet(&lab.subnets[0]).unwrap().id.clone());
        let mut scene = Self { lab, ec2, table, router, nodes: Vec::new(), following };
        for number in 1..=count {
            scene.add_node(&format!("{name}-{number}"), number);
        }
        scene.lab.after(SECONDS_UNTIL_SETTLED);
        scene
    }

    fn add_node(&mut self, name: &str, number: u8) {
        let subnet = self.lab.subnets[usize::from(number + 1) % 2].clone();
        let spec = LaunchSpec {
            image: Some(IMAGE_X86_64.to_owned()),
            instance_type: Some("m5.large".to_owned()),
            subnet: Some(subnet),
            ..LaunchSpec::default()
        };
        let (attachment, interface) = self.lab.region.with(|state, now| {
            let order = Order { spec, count: 1, client_token: None, aws_tags: Tags::new(), now };
            let id = state.ec2.launch(&mut state.ids, &state.iam, &order).unwrap().remove(0);
            let held = state.ec2.interfaces_of(&id)[0];
            let attachment = Attachment {
                instance_id: id.clone(),
                mac: held.mac.clone(),
                address: held.address(),
                subnet: state.ec2.subnet(&held.subnet).unwrap().cidr,
            };
            (attachment, held.id.clone())
        });
        let namespace = Namespace::create(name).unwrap();
        self.router.attach(&namespace, &attachment).unwrap();
        let Attachment { address, subnet, .. } = attachment;
        let gateway = attachment.gateway();
        namespace
            .ip(&format!(
                "link set lo up\nlink set ens5 up\naddr add {address}/{} dev ens5\n\
                 route add default via {gateway}\naddr add 100.64.{number}.5/32 dev lo\n",
                subnet.prefix_len()
            ))
            .unwrap();
        echo(&namespace, address);
        echo(&namespace, Ipv4Addr::new(100, 64, number, 5));
        let instance = attachment.instance_id;
        self.nodes.push(Node { instance, interface, address, namespace });
    }

    async fn check(&self, node: usize, on: bool) {
        let modify = self.ec2.modify_network_interface_attribute();
        let value = AttributeBooleanValue::builder().value(on).build();
        let modify = modify.network_interface_id(&self.nodes[node].interface);
        modify.source_dest_check(value).send().await.unwrap();
    }

    async fn create(&self, destination: &str, node: usize) {
        let create = self.ec2.create_route().route_table_id(&self.table);
        let create = create.destination_cidr_block(destination);
        create.instance_id(&self.nodes[node].instance).send().await.unwrap();
    }

    async fn replace(&self, destination: &str, node: usize) {
        let replace = self.ec2.replace_route().route_table_id(&self.table);
        let replace = replace.destination_cidr_block(destination);
        replace.instance_id(&self.nodes[node].instance).send().await.unwrap();
    }

    /// Whether one packet from an address of the first node comes back.
    fn reaches(&self, from: &str, to: &str) -> bool {
        self.reaches_within(LOST, from, to)
    }

    fn reaches_within(&self, wait: Duration, from: &str, to: &str) -> bool {
        let socket = self.nodes[0].socket(from);
        socket.set_read_timeout(Some(wait)).unwrap();
        socket.send_to(b"?", (to, ECHO)).unwrap();
        socket.recv(&mut [0; 8]).is_ok()
    }

    fn dropped_since(&self, before: Drops) -> Drops {
        let now = self.router.drops().unwrap();
        Drops {
            no_route: now.no_route - before.no_route,
            blackhole: now.blackhole - before.blackhole,
            absent: now.absent - before.absent,
            source_check: now.source_check - before.source_check,
            destination_check: now.destination_check - before.destination_check,
            gateway: now.gateway - before.gateway,
        }
    }

    /// Waits until the router has applied what EC2 said; the answer is how long that took.
    async fn settled(&self, from: &str, to: &str) -> Duration {
        let started = Instant::now();
        while !self.reaches_within(Duration::from_millis(4), from, to) {
            assert!(started.elapsed() < Duration::from_secs(10), "{from} never reached {to}");
        }
        started.elapsed()
    }

    /// Lets the router apply what the API has taken.
    async fn applied(&self) {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

impl Node {
    fn socket(&self, address: &str) -> UdpSocket {
        self.namespace.inside(|| Ok(UdpSocket::bind((address, 0))?)).unwrap()
    }
}

/// Sends back what comes to this address, until the test ends.
fn echo(namespace: &Namespace, address: Ipv4Addr) {
    let socket = namespace.inside(|| Ok(UdpSocket::bind((address, ECHO))?)).unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 8];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..length], from).await;
        }
    });
}

/// Sends so many packets, one every 4 ms; the answer is how many came back.
fn stream(socket: &UdpSocket, to: &str, count: usize) -> usize {
    let mut back = 0;
    let mut hear = |wait: Duration| {
        socket.set_read_timeout(Some(wait)).unwrap();
        if socket.recv(&mut [0; 8]).is_ok() {
            back += 1;
        }
    };
    for _ in 0..count {
        socket.send_to(b"?", (to, ECHO)).unwrap();
        hear(Duration::from_millis(4));
    }
    // Those that took longer than their turn.
    (0..count / 10).for_each(|_| hear(Duration::from_millis(10)));
    back
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.following.abort();
        let nodes = self.nodes.iter().map(|node| &node.namespace);
        for namespace in nodes.chain([self.router.namespace(), self.router.outside()]) {
            if let Err(error) = namespace.delete() {
                eprintln!("{error:#}");
            }
        }
    }
}

const POD: [&str; 3] = ["100.64.1.5", "100.64.2.5", "100.64.3.5"];

/// Amazon VPC User Guide, "Configure route tables"; EC2 User Guide, "Elastic network interfaces",
/// source/destination checking.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_reaches_a_pod_only_by_routes_and_without_the_check() {
    let scene = Scene::new("pods", 2).await;
    let other = scene.nodes[1].address.to_string();
    let own = scene.nodes[0].address.to_string();
    scene.settled(&own, &other).await;

    let before = scene.router.drops().unwrap();
    assert!(!scene.reaches(POD[0], POD[1]));
    let one = Drops { source_check: 1, ..Drops::default() };
    assert_eq!(scene.dropped_since(before), one);

    for node in 0..2 {
        scene.check(node, false).await;
    }
    scene.applied().await;
    let before = scene.router.drops().unwrap();
    assert!(!scene.reaches(POD[0], POD[1]));
    assert_eq!(scene.dropped_since(before), Drops { no_route: 1, ..Drops::default() });

    // An answer needs a route, too.
    scene.create("100.64.2.0/24", 1).await;
    scene.applied().await;
    let before = scene.router.drops().unwrap();
    assert!(!scene.reaches(POD[0], POD[1]));
    assert_eq!(scene.dropped_since(before), Drops { no_route: 1, ..Drops::default() });
    scene.create("100.64.1.0/24", 0).await;
    let took = scene.settled(POD[0], POD[1]).await;
    eprintln!("a route was real {} ms after CreateRoute was answered", took.as_millis());
    assert!(took < Duration::from_secs(1), "{took:?}");

    scene.check(1, true).await;
    scene.applied().await;
    let before = scene.router.drops().unwrap();
    assert!(!scene.reaches(POD[0], POD[1]));
    assert_eq!(scene.dropped_since(before), Drops { destination_check: 1, ..Drops::default() });
    assert!(scene.reaches(&own, &other));
    let before = scene.router.drops().unwrap();
    assert!(!scene.reaches(&own, "10.0.1.200"));
    assert_eq!(scene.dropped_since(before), Drops { absent: 1, ..Drops::default() });
}

/// EC2 API Reference, "ReplaceRoute": one step.
#[tokio::test(flavor = "multi_thread")]
async fn no_packet_is_lost_while_a_route_changes_its_target() {
    let scene = Scene::new("replace", 3).await;
    for node in 0..3 {
        scene.check(node, false).await;
    }
    // The same pod behind two nodes, so that either may answer.
    scene.nodes[2].namespace.ip("addr add 100.64.2.5/32 dev lo\n").unwrap();
    echo(&scene.nodes[2].namespace, Ipv4Addr::new(100, 64, 2, 5));
    scene.create("100.64.1.0/24", 0).await;
    scene.create("100.64.2.0/24", 1).await;
    scene.settled(POD[0], POD[1]).await;

    let before = scene.router.drops().unwrap();
    let socket = scene.nodes[0].socket(POD[0]);
    let (changed, changing) = std::sync::mpsc::channel::<()>();
    let packets = tokio::task::spawn_blocking(move || {
        let (mut sent, mut back) = (0, 0);
        while changing.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            sent += 50;
            back += stream(&socket, POD[1], 50);
        }
        (sent, back)
    });
    for turn in 0..30 {
        scene.replace("100.64.2.0/24", 1 + (turn + 1) % 2).await;
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    drop(changed);
    let (sent, back) = packets.await.unwrap();
    eprintln!("{back} of {sent} packets came back over 30 changes");
    assert_eq!(back, sent);
    assert_eq!(scene.dropped_since(before), Drops::default());
}

/// EC2 API Reference, "Route", State; "Configure route tables": each subnet follows its table, the
/// most specific route wins.
#[tokio::test(flavor = "multi_thread")]
async fn tables_are_followed_by_subnet_and_the_most_specific_route_wins() {
    let scene = Scene::new("tables", 3).await;
    for node in 0..3 {
        scene.check(node, false).await;
    }
    scene.create("100.64.1.0/24", 0).await;
    scene.create("100.64.2.0/24", 1).await;
    scene.create("100.64.0.0/10", 2).await;
    scene.settled(POD[0], POD[1]).await;
    scene.settled(POD[0], POD[2]).await;

    // Another table for the first node's subnet: no routes for pods in it.
    let own = scene.lab.region.with(|state, _| {
        let (ec2, ids) = (&mut state.ec2, &mut state.ids);
        let own = ec2.create_route_table(ids, &scene.lab.vpc).unwrap();
        ec2.associate(ids, &own, &scene.lab.subnets[0]).unwrap()
    });
    scene.applied().await;
    let before = scene.router.drops().unwrap();
    assert!(!scene.reaches(POD[0], POD[1]));
    assert_eq!(scene.dropped_since(before), Drops { no_route: 1, ..Drops::default() });
    scene.lab.region.with(|state, _| state.ec2.disassociate(&own)).unwrap();
    scene.settled(POD[0], POD[1]).await;

    let terminate = scene.ec2.terminate_instances().instance_ids(&scene.nodes[1].instance);
    terminate.send().await.unwrap();
    scene.lab.after(2);
    scene.applied().await;
    let before = scene.router.drops().unwrap();
    assert!(!scene.reaches(POD[0], POD[1]), "the less specific route would lead elsewhere");
    assert_eq!(scene.dropped_since(before), Drops { blackhole: 1, ..Drops::default() });
    assert!(scene.reaches(POD[0], POD[2]));
}

/// Amazon VPC User Guide, "Enable internet access for a VPC using an internet gateway": it knows the
/// addresses of interfaces, and no others.
#[tokio::test(flavor = "multi_thread")]
async fn the_world_sees_a_node_and_never_a_pod() {
    let scene = Scene::new("outside", 1).await;
    scene.check(0, false).await;
    scene.create("100.64.1.0/24", 0).await;
    echo(scene.router.outside(), OUTSIDE_HOST);
    let (own, host) = (scene.nodes[0].address.to_string(), OUTSIDE_HOST.to_string());
    scene.applied().await;
    let before = scene.router.drops().unwrap();
    assert!(!scene.reaches(&own, &host));
    assert_eq!(scene.dropped_since(before), Drops { no_route: 1, ..Drops::default() });

    let gateway = scene.ec2.create_internet_gateway().send().await.unwrap();
    let gateway = gateway.internet_gateway().unwrap().internet_gateway_id().unwrap();
    let attach = scene.ec2.attach_internet_gateway().internet_gateway_id(gateway);
    attach.vpc_id(&scene.lab.vpc).send().await.unwrap();
    let told = scene.ec2.describe_internet_gateways().send().await.unwrap();
    let attached = &told.internet_gateways()[0].attachments()[0];
    assert_eq!(attached.vpc_id(), Some(scene.lab.vpc.as_str()));
    let create = scene.ec2.create_route().route_table_id(&scene.table);
    create.destination_cidr_block("0.0.0.0/0").gateway_id(gateway).send().await.unwrap();

    // Only what comes from the node's own address can come back to it.
    scene.settled(&own, &host).await;
    let before = scene.router.drops().unwrap();
    assert!(!scene.reaches(POD[0], &host));
    assert_eq!(scene.dropped_since(before), Drops { gateway: 1, ..Drops::default() });

    let detach = scene.ec2.detach_internet_gateway().internet_gateway_id(gateway);
    detach.vpc_id(&scene.lab.vpc).send().await.unwrap();
    scene.applied().await;
    let before = scene.router.drops().unwrap();
    assert!(!scene.reaches(&own, &host));
    assert_eq!(scene.dropped_since(before), Drops { blackhole: 1, ..Drops::default() });
}
