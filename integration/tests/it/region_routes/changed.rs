//! Routes that are made, replaced and deleted.

use aws_sdk_ec2::types::Route;

use super::{ONE, SECONDS_UNTIL_SETTLED, Scene, TWO, launch};
use crate::region_clients::refusal;

/// EC2 API Reference, "Route"; "CreateRoute": InstanceId is the instance's interface.
#[tokio::test]
async fn a_route_to_an_instance_is_told_with_its_interface_and_owner() {
    let scene = Scene::new();
    scene.route_to_instance(ONE).await;
    let routes = scene.routes().await;
    let expected = Route::builder()
        .destination_cidr_block(ONE)
        .instance_id(&scene.instance)
        .instance_owner_id("123456789012")
        .network_interface_id(&scene.interface)
        .origin("CreateRoute".into())
        .state("active".into())
        .build();
    assert_eq!(routes, std::slice::from_ref(&expected));

    let by_interface = scene.create(TWO).network_interface_id(&scene.interface).send().await;
    by_interface.expect("a route");
    assert_eq!(scene.routes().await[1].instance_id(), expected.instance_id());
}

/// EC2 API Reference, "Error codes for the Amazon EC2 API": RouteAlreadyExists.
#[tokio::test]
async fn a_destination_has_one_route_whoever_made_it() {
    let scene = Scene::new();
    scene.route_to_instance(ONE).await;
    let other = launch(&scene.lab, 1);
    scene.lab.after(SECONDS_UNTIL_SETTLED);
    for (destination, target) in [(ONE, &scene.instance), (ONE, &other), ("100.64.0.7/24", &other)]
    {
        assert_eq!(
            refusal(scene.create(destination).instance_id(target).send().await),
            format!("400 RouteAlreadyExists: The route identified by {ONE} already exists.")
        );
    }
    assert_eq!(
        refusal(scene.create("10.0.0.0/16").instance_id(&other).send().await),
        "400 RouteAlreadyExists: The route identified by 10.0.0.0/16 already exists."
    );
}

/// EC2 API Reference, "CreateRoute": "we modify 100.68.0.18/18 to 100.68.0.0/18".
#[tokio::test]
async fn host_bits_are_cleared() {
    let scene = Scene::new();
    scene.route_to_instance("100.68.0.18/18").await;
    let six = scene.ec2.create_route().route_table_id(&scene.table);
    let six = six.destination_ipv6_cidr_block("2001:DB8:1::7/56").instance_id(&scene.instance);
    six.send().await.expect("a route");
    let eni = &scene.interface;
    assert_eq!(
        scene.lines().await,
        [format!("100.68.0.0/18 {eni} active"), format!("2001:db8:1::/56 {eni} active")]
    );
}

/// EC2 API Reference, "DeleteRoute", "ReplaceRoute": the CIDR must match exactly. That ReplaceRoute
/// has a code of its own for a missing route is not on the page: seen in the field with Terraform.
#[tokio::test]
async fn what_is_replaced_or_deleted_must_be_there_exactly() {
    let scene = Scene::new();
    scene.route_to_instance(ONE).await;
    let delete = |destination: &str| {
        let delete = scene.ec2.delete_route().route_table_id(&scene.table);
        delete.destination_cidr_block(destination).send()
    };
    let replace = |destination: &str| {
        let replace = scene.ec2.replace_route().route_table_id(&scene.table);
        replace.destination_cidr_block(destination).instance_id(&scene.instance).send()
    };
    for destination in [TWO, "100.64.0.7/24", "100.64.0.0/25"] {
        assert_eq!(
            refusal(delete(destination).await),
            format!(
                "400 InvalidRoute.NotFound: no route with destination-cidr-block {destination} in route table {}",
                scene.table
            )
        );
        assert_eq!(
            refusal(replace(destination).await),
            format!(
                "400 InvalidParameterValue: There is no route defined for '{destination}' in the route table. Use CreateRoute instead."
            )
        );
    }
    replace(ONE).await.expect("replaced");
    delete(ONE).await.expect("deleted");
    assert_eq!(scene.lines().await, [""; 0]);
    assert_eq!(
        refusal(delete("10.0.0.0/16").await),
        format!(
            "400 InvalidParameterValue: cannot remove local route 10.0.0.0/16 in route table {}",
            scene.table
        )
    );
}

/// Amazon VPC User Guide, "Replace or restore the target for a local route".
#[tokio::test]
async fn a_local_route_gets_another_target_and_its_own_back() {
    let scene = Scene::new();
    let replace = || {
        let replace = scene.ec2.replace_route().route_table_id(&scene.table);
        replace.destination_cidr_block("10.0.0.0/16")
    };
    replace().network_interface_id(&scene.interface).send().await.expect("replaced");
    assert_eq!(scene.lines().await, [format!("10.0.0.0/16 {} active", scene.interface)]);
    replace().local_target(true).send().await.expect("restored");
    assert_eq!(scene.lines().await, [""; 0]);

    scene.route_to_instance(ONE).await;
    let local = replace().destination_cidr_block(ONE).local_target(true).send().await;
    assert_eq!(
        refusal(local),
        "400 InvalidParameterValue: local-target only allowed with network local destination CIDRs"
    );
}
