//! The router forwards by EC2's route tables alone: real packets between namespaces that stand for
//! instances, each with the address of a pod behind it. With IPv6 it is the same router, and what
//! differs is in `region_forwarding_ipv6`.

use std::net::Ipv4Addr;
use std::time::Duration;

use integration::lab::network::Drops;
use integration::lab::network::forwarding::OUTSIDE_HOST;

use crate::forwarding_scene::{Scene, echo, stream};

const POD: [&str; 3] = ["100.64.1.5", "100.64.2.5", "100.64.3.5"];

/// Amazon VPC User Guide, "Configure route tables"; EC2 User Guide, "Elastic network interfaces",
/// source/destination checking.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_reaches_a_pod_only_by_routes_and_without_the_check() {
    let scene = Scene::new("pods", 2);
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
    let scene = Scene::new("replace", 3);
    for node in 0..3 {
        scene.check(node, false).await;
    }
    // The same pod behind two nodes, so that either may answer.
    scene.nodes[2].namespace.ip("addr add 100.64.2.5/32 dev lo\n").unwrap();
    echo(&scene.nodes[2].namespace, Ipv4Addr::new(100, 64, 2, 5).into());
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
    let scene = Scene::new("tables", 3);
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
    let scene = Scene::new("outside", 1);
    scene.check(0, false).await;
    scene.create("100.64.1.0/24", 0).await;
    echo(scene.router.outside(), OUTSIDE_HOST.into());
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
