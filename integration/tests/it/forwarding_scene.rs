//! A region, a router that follows it, and namespaces that stand for instances, each with the address
//! of a pod behind it, of both families where the subnets have IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::AttributeBooleanValue;
use integration::lab::network::{Attachment, Drops, Ipv6, Namespace, Router, advertisements};
use integration::region::ec2::{IMAGE_X86_64, LaunchSpec, Order, Tags};
use integration::region::iam::ADMINISTRATOR;
use tokio::task::JoinHandle;

use crate::region_clients::Lab;

/// What the kernel takes for it, and much more.
const DETECTION: Duration = Duration::from_secs(10);

/// Where instances and pods send back what they get.
const ECHO: u16 = 7;
/// A packet that is not back by then was dropped: all of it is one machine.
const LOST: Duration = Duration::from_millis(300);

/// Until EC2 takes routes to an instance.
const SECONDS_UNTIL_SETTLED: u64 = 3;

/// A region, a router that follows it, and instances; gone when dropped, also when the test failed.
pub struct Scene {
    pub lab: Lab,
    pub ec2: Client,
    /// The main one, which both subnets follow.
    pub table: String,
    pub router: Router,
    pub nodes: Vec<Node>,
    following: JoinHandle<()>,
}

pub struct Node {
    pub instance: String,
    interface: String,
    pub address: Ipv4Addr,
    pub ipv6: Option<Ipv6Addr>,
    pub namespace: Namespace,
}

impl Scene {
    /// So many instances, in the two subnets by turns, with pods at 100.64.N.5.
    pub fn new(test: &str, count: u8) -> Self {
        Self::of(Lab::new(ADMINISTRATOR), test, count)
    }

    /// The same with IPv6, and pods at fd00:64:0:N::5, too.
    pub fn dual_stack(test: &str, count: u8) -> Self {
        let lab = Lab::new(ADMINISTRATOR);
        lab.region.with(|state, _| {
            let (ec2, ids) = (&mut state.ec2, &mut state.ids);
            let block = ec2.add_ipv6_block(ids, &lab.vpc).unwrap().cidr;
            for (subnet, cidr) in lab.subnets.iter().zip(block.subnets(64).unwrap()) {
                ec2.add_subnet_ipv6_block(ids, subnet, &cidr.to_string()).unwrap();
                ec2.assign_ipv6_on_creation(subnet, true).unwrap();
            }
        });
        Self::of(lab, test, count)
    }

    fn of(lab: Lab, test: &str, count: u8) -> Self {
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
            let attachment = Attachment::of(&state.ec2, &id).unwrap();
            (attachment, state.ec2.interfaces_of(&id)[0].id.clone())
        });
        let namespace = Namespace::create(name).unwrap();
        namespace.sysctl(&[("net.ipv6.conf.default.accept_dad", "0")]).unwrap();
        self.router.attach(&namespace, &attachment).unwrap();
        let Attachment { address, subnet, ipv6, .. } = attachment;
        let gateway = attachment.gateway();
        namespace
            .ip(&format!(
                "link set lo up\nlink set ens5 up\naddr add {address}/{} dev ens5\n\
                 route add default via {gateway}\naddr add 100.64.{number}.5/32 dev lo\n",
                subnet.prefix_len()
            ))
            .unwrap();
        echo(&namespace, address.into());
        echo(&namespace, Ipv4Addr::new(100, 64, number, 5).into());
        if let Some(ipv6) = ipv6 {
            self.add_ipv6(&namespace, &attachment.router_interface(), ipv6, number);
        }
        let ipv6 = ipv6.and_then(|ipv6| ipv6.address);
        let instance = attachment.instance_id;
        self.nodes.push(Node { instance, interface, address, ipv6, namespace });
    }

    /// The kernel takes the way to everything else from the router's advertisements.
    fn add_ipv6(&self, node: &Namespace, interface: &str, ipv6: Ipv6, number: u8) {
        let (own, pod) = (ipv6.address.unwrap(), pod_ipv6(number));
        node.ip(&format!("addr add {own}/128 dev ens5\naddr add {pod}/128 dev lo\n")).unwrap();
        let socket = advertisements::listen(self.router.namespace(), interface).unwrap();
        tokio::spawn(advertisements::serve(socket, ipv6.subnet));
        echo(node, own.into());
        echo(node, pod.into());
    }

    pub async fn check(&self, node: usize, on: bool) {
        let modify = self.ec2.modify_network_interface_attribute();
        let value = AttributeBooleanValue::builder().value(on).build();
        let modify = modify.network_interface_id(&self.nodes[node].interface);
        modify.source_dest_check(value).send().await.unwrap();
    }

    pub async fn create(&self, destination: &str, node: usize) {
        let create = self.ec2.create_route().route_table_id(&self.table);
        let create = match destination.contains(':') {
            true => create.destination_ipv6_cidr_block(destination),
            false => create.destination_cidr_block(destination),
        };
        create.instance_id(&self.nodes[node].instance).send().await.unwrap();
    }

    pub async fn replace(&self, destination: &str, node: usize) {
        let replace = self.ec2.replace_route().route_table_id(&self.table);
        let replace = match destination.contains(':') {
            true => replace.destination_ipv6_cidr_block(destination),
            false => replace.destination_cidr_block(destination),
        };
        replace.instance_id(&self.nodes[node].instance).send().await.unwrap();
    }

    /// Whether one packet from an address of the first node comes back.
    pub fn reaches(&self, from: &str, to: &str) -> bool {
        self.reaches_within(LOST, from, to)
    }

    fn reaches_within(&self, wait: Duration, from: &str, to: &str) -> bool {
        let socket = self.nodes[0].socket(from);
        socket.set_read_timeout(Some(wait)).unwrap();
        socket.send_to(b"?", (to, ECHO)).unwrap();
        socket.recv(&mut [0; 8]).is_ok()
    }

    pub fn dropped_since(&self, before: Drops) -> Drops {
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
    pub async fn settled(&self, from: &str, to: &str) -> Duration {
        let started = Instant::now();
        while !self.reaches_within(Duration::from_millis(4), from, to) {
            assert!(started.elapsed() < Duration::from_secs(10), "{from} never reached {to}");
        }
        started.elapsed()
    }

    /// Lets the router apply what the API has taken.
    pub async fn applied(&self) {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

impl Node {
    pub fn socket(&self, address: &str) -> UdpSocket {
        bind(&self.namespace, address.parse().unwrap(), 0)
    }
}

/// An IPv6 address is not to be had before the kernel knows that nobody else has it (RFC 4862,
/// "Duplicate Address Detection").
fn bind(namespace: &Namespace, address: IpAddr, port: u16) -> UdpSocket {
    let started = Instant::now();
    loop {
        match namespace.inside(|| Ok(UdpSocket::bind((address, port)))).unwrap() {
            Ok(socket) => return socket,
            Err(error) => assert!(started.elapsed() < DETECTION, "{address}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends back what comes to this address, until the test ends.
pub fn echo(namespace: &Namespace, address: IpAddr) {
    let socket = bind(namespace, address, ECHO);
    socket.set_nonblocking(true).unwrap();
    let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 8];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..length], from).await;
        }
    });
}

fn pod_ipv6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x64, 0, number.into(), 0, 0, 0, 5)
}

/// Sends so many packets, one every 4 ms; the answer is how many came back.
pub fn stream(socket: &UdpSocket, to: &str, count: usize) -> usize {
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
