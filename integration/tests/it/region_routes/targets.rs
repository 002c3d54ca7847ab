//! What becomes of a route when its target does.

use aws_sdk_ec2::types::{AttributeBooleanValue, AttributeValue};

use super::{ONE, SECONDS_UNTIL_SETTLED, Scene, TWO, filter, gateway, interface_of, launch};
use crate::region_clients::refusal;

/// EC2 API Reference, "Route", State: "blackhole indicates that the route's target isn't
/// available"; the route stays.
#[tokio::test]
async fn a_route_outlives_its_target_as_a_blackhole() {
    let scene = Scene::new();
    scene.route_to_instance(ONE).await;
    let eni = scene.interface.clone();
    let stop = || scene.ec2.stop_instances().instance_ids(&scene.instance).send();
    stop().await.expect("stopping");
    assert_eq!(scene.lines().await, [format!("{ONE} {eni} active")]);
    scene.lab.after(2);
    assert_eq!(scene.lines().await, [format!("{ONE} {eni} blackhole")]);
    let start = scene.ec2.start_instances().instance_ids(&scene.instance);
    start.send().await.expect("starting");
    assert_eq!(scene.lines().await, [format!("{ONE} {eni} active")]);

    scene.lab.after(SECONDS_UNTIL_SETTLED);
    let terminate = scene.ec2.terminate_instances().instance_ids(&scene.instance);
    terminate.send().await.expect("terminating");
    scene.lab.after(2);
    let routes = scene.routes().await;
    assert_eq!(routes[0].instance_id(), None);
    assert_eq!(scene.lines().await, [format!("{ONE} {eni} blackhole")]);

    let other = launch(&scene.lab, 1);
    scene.lab.after(SECONDS_UNTIL_SETTLED);
    let replace = scene.ec2.replace_route().route_table_id(&scene.table);
    let replace = replace.destination_cidr_block(ONE).instance_id(&other).send();
    replace.await.expect("replaced");
    let eni = interface_of(&scene.lab, &other);
    assert_eq!(scene.lines().await, [format!("{ONE} {eni} active")]);
}

/// A gateway is a target while it is attached: EC2 API Reference, "Route", State.
#[tokio::test]
async fn a_detached_gateway_leaves_a_blackhole() {
    let scene = Scene::new();
    let gateway = gateway(&scene.lab);
    scene.create("0.0.0.0/0").gateway_id(&gateway).send().await.expect("a route");
    assert_eq!(scene.lines().await, [format!("0.0.0.0/0 {gateway} active")]);
    let vpc = scene.lab.vpc.clone();
    let detached =
        scene.lab.region.with(|state, _| state.ec2.detach_internet_gateway(&gateway, &vpc));
    detached.expect("attached");
    assert_eq!(scene.lines().await, [format!("0.0.0.0/0 {gateway} blackhole")]);
}

/// Seen in the field: "Instance with state 'pending-instance-creation' is not valid for this
/// operation", and so of 'unknown-running' for a moment after EC2 calls the instance running.
#[tokio::test]
async fn an_instance_that_is_not_quite_there_is_no_target() {
    let scene = Scene::new();
    let young = launch(&scene.lab, 1);
    let eni = interface_of(&scene.lab, &young);
    let by_id = || scene.create(ONE).instance_id(&young).send();
    assert_eq!(
        refusal(by_id().await),
        format!("400 InvalidInstanceID.NotFound: The instance ID '{young}' does not exist")
    );
    let wrong = |state| {
        format!(
            "400 IncorrectInstanceState: Instance with state '{state}' is not valid for this operation."
        )
    };
    scene.lab.after(1);
    assert_eq!(refusal(by_id().await), wrong("pending-instance-creation"));
    let by_interface = || scene.create(ONE).network_interface_id(&eni).send();
    assert_eq!(refusal(by_interface().await), wrong("pending-instance-creation"));
    scene.lab.after(1);
    let told = scene.ec2.describe_instances().instance_ids(&young).send().await.expect("known");
    let state = told.reservations()[0].instances()[0].state().and_then(|state| state.name());
    assert_eq!(state.map(|state| state.as_str()), Some("running"));
    assert_eq!(refusal(by_id().await), wrong("unknown-running"));
    assert_eq!(refusal(by_interface().await), wrong("unknown-running"));
    scene.lab.after(1);
    by_id().await.expect("settled");
    scene.ec2.stop_instances().instance_ids(&young).send().await.expect("stopping");
    scene.lab.after(2);
    let late = scene.create(TWO).instance_id(&young).send().await;
    assert_eq!(refusal(late), wrong("stopped"));
}

/// Seen in the field (kubernetes issue 92783, terraform-provider-aws issue 7107); EC2 User Guide,
/// "Elastic network interfaces": the source/destination check is the interface's.
#[tokio::test]
async fn an_instance_with_several_interfaces_must_be_named_by_one() {
    let scene = Scene::new();
    let instance = launch(&scene.lab, 2);
    scene.lab.after(SECONDS_UNTIL_SETTLED);
    let refused = format!(
        "400 InvalidInstanceID: There are multiple interfaces attached to instance '{instance}'. Please specify an interface ID for the operation instead."
    );
    assert_eq!(refusal(scene.create(ONE).instance_id(&instance).send().await), refused);
    let off = || AttributeBooleanValue::builder().value(false).build();
    let modify = scene.ec2.modify_instance_attribute().instance_id(&instance);
    assert_eq!(refusal(modify.source_dest_check(off()).send().await), refused);

    let eni = interface_of(&scene.lab, &instance);
    scene.create(ONE).network_interface_id(&eni).send().await.expect("a route");
    let routes = scene.routes().await;
    assert_eq!(
        (routes[0].instance_id(), routes[0].network_interface_id()),
        (Some(instance.as_str()), Some(eni.as_str()))
    );
}

/// EC2 User Guide, "Modify network interface attributes"; EC2 API Reference,
/// "ModifyInstanceAttribute", SourceDestCheck: of a single interface both are one.
#[tokio::test]
async fn the_check_of_an_instance_is_that_of_its_primary_interface() {
    let scene = Scene::new();
    let check = async || {
        let told = scene.ec2.describe_instances().instance_ids(&scene.instance).send().await;
        let instance = told.expect("known").reservations()[0].instances()[0].clone();
        let interfaces = scene.ec2.describe_network_interfaces();
        let interfaces = interfaces.filters(filter("source-dest-check", "false")).send().await;
        let off = interfaces.expect("a listing").network_interfaces().len();
        (instance.source_dest_check(), instance.network_interfaces()[0].source_dest_check(), off)
    };
    let value = |on: bool| AttributeBooleanValue::builder().value(on).build();
    assert_eq!(check().await, (Some(true), Some(true), 0));
    let modify =
        || scene.ec2.modify_network_interface_attribute().network_interface_id(&scene.interface);
    modify().source_dest_check(value(false)).send().await.expect("modified");
    assert_eq!(check().await, (Some(false), Some(false), 1));
    modify().source_dest_check(value(false)).send().await.expect("modified again");
    let by_instance = scene.ec2.modify_instance_attribute().instance_id(&scene.instance);
    by_instance.source_dest_check(value(true)).send().await.expect("modified");
    assert_eq!(check().await, (Some(true), Some(true), 0));

    assert_eq!(
        refusal(modify().send().await),
        "400 InvalidParameterCombination: No attributes specified."
    );
    let text = AttributeValue::builder().value("primary").build();
    let both = modify().source_dest_check(value(false)).description(text.clone()).send().await;
    assert_eq!(
        refusal(both),
        "400 InvalidParameterCombination: Fields for multiple attribute types specified: sourceDestCheck, description"
    );
    modify().description(text).send().await.expect("modified");
    let told = scene.ec2.describe_network_interfaces().network_interface_ids(&scene.interface);
    let told = told.send().await.expect("known");
    assert_eq!(told.network_interfaces()[0].description(), Some("primary"));
}
