//! The router forwards IPv6 by EC2's route tables alone, checks it like IPv4, and knows no NAT for it.

use std::time::Duration;

use integration::lab::network::Drops;
use integration::lab::network::forwarding::OUTSIDE_HOST_IPV6;

use crate::forwarding_scene::{Scene, echo};

const POD: [&str; 3] = ["fd00:64:0:1::5", "fd00:64:0:2::5", "fd00:64:0:3::5"];

fn own(scene: &Scene, node: usize) -> String {
    scene.nodes[node].ipv6.unwrap().to_string()
}

/// Amazon VPC User Guide, "Configure route tables"; EC2 User Guide, "Elastic network interfaces",
/// source/destination checking.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_reaches_a_pod_by_ipv6_only_by_routes_and_without_the_check() {
    let scene = Scene::dual_stack("pods6", 3);
    // The third node is a neighbour of the first, the second in another subnet.
    let (first, second, third) = (own(&scene, 0), own(&scene, 1), own(&scene, 2));
    scene.settled(&first, &second).await;
    scene.settled(&first, &third).await;

    let before = scene.router.drops().unwrap();
    assert!(!scene.reaches(POD[0], POD[1]));
    assert_eq!(scene.dropped_since(before), Drops { source_check: 1, ..Drops::default() });

    for node in 0..2 {
        scene.check(node, false).await;
    }
    scene.create("fd00:64:0:2::/64", 1).await;
    scene.applied().await;
    // The answer has no route.
    let before = scene.router.drops().unwrap();
    assert!(!scene.reaches(POD[0], POD[1]));
    assert_eq!(scene.dropped_since(before), Drops { no_route: 1, ..Drops::default() });
    scene.create("fd00:64:0:1::/64", 0).await;
    let took = scene.settled(POD[0], POD[1]).await;
    assert!(took < Duration::from_secs(1), "{took:?}");

    scene.check(1, true).await;
    scene.applied().await;
    let before = scene.router.drops().unwrap();
    assert!(!scene.reaches(POD[0], POD[1]));
    assert_eq!(scene.dropped_since(before), Drops { destination_check: 1, ..Drops::default() });
    assert!(scene.reaches(&first, &second));
}

/// EC2 API Reference, "ReplaceRoute"; "Route", State: blackhole. The two families have routes of their
/// own.
#[tokio::test(flavor = "multi_thread")]
async fn an_ipv6_route_moves_ends_and_says_nothing_of_ipv4() {
    let scene = Scene::dual_stack("moves6", 3);
    for node in 0..3 {
        scene.check(node, false).await;
    }
    scene.create("fd00:64:0:1::/64", 0).await;
    scene.create("fd00:64:0:2::/64", 2).await;
    scene.create("100.64.1.0/24", 0).await;
    scene.settled(&own(&scene, 0), &own(&scene, 1)).await;
    scene.applied().await;
    assert!(!scene.reaches(POD[0], POD[1]), "the third node has no such pod");
    scene.replace("fd00:64:0:2::/64", 1).await;
    scene.settled(POD[0], POD[1]).await;
    let before = scene.router.drops().unwrap();
    assert!(!scene.reaches("100.64.1.5", "100.64.2.5"));
    assert_eq!(scene.dropped_since(before), Drops { no_route: 1, ..Drops::default() });

    let terminate = scene.ec2.terminate_instances().instance_ids(&scene.nodes[1].instance);
    terminate.send().await.unwrap();
    scene.lab.after(2);
    scene.applied().await;
    let before = scene.router.drops().unwrap();
    assert!(!scene.reaches(POD[0], POD[1]));
    assert_eq!(scene.dropped_since(before), Drops { blackhole: 1, ..Drops::default() });
}

/// Amazon VPC User Guide, "Enable internet access for a VPC using an internet gateway": "IPv6 …
/// addresses are globally unique", so that nothing is translated.
#[tokio::test(flavor = "multi_thread")]
async fn the_world_sees_a_nodes_own_ipv6_address_and_never_a_pods() {
    let scene = Scene::dual_stack("outside6", 1);
    scene.check(0, false).await;
    scene.create("fd00:64:0:1::/64", 0).await;
    echo(scene.router.outside(), OUTSIDE_HOST_IPV6.into());
    let (own, host) = (own(&scene, 0), OUTSIDE_HOST_IPV6.to_string());
    let gateway = scene.ec2.create_internet_gateway().send().await.unwrap();
    let gateway = gateway.internet_gateway().unwrap().internet_gateway_id().unwrap();
    let attach = scene.ec2.attach_internet_gateway().internet_gateway_id(gateway);
    attach.vpc_id(&scene.lab.vpc).send().await.unwrap();
    let create = scene.ec2.create_route().route_table_id(&scene.table);
    create.destination_ipv6_cidr_block("::/0").gateway_id(gateway).send().await.unwrap();

    scene.settled(&own, &host).await;
    let before = scene.router.drops().unwrap();
    assert!(!scene.reaches(POD[0], &host));
    assert_eq!(scene.dropped_since(before), Drops { gateway: 1, ..Drops::default() });
}
