//! Routes that cannot be.

use aws_sdk_ec2::types::AttributeBooleanValue;

use super::{ONE, Scene, TWO, gateway};
use crate::region_clients::refusal;

/// EC2 API Reference, "CreateRoute": "you must specify … one of the targets".
#[tokio::test]
async fn a_route_has_exactly_one_target_and_one_destination() {
    let scene = Scene::new();
    let none = refusal(scene.create(ONE).send().await);
    assert!(
        none.starts_with(
            "400 MissingParameter: The request must contain exactly one of gatewayId, "
        ),
        "{none}"
    );
    let both = scene.create(ONE).instance_id(&scene.instance);
    let both = refusal(both.network_interface_id(&scene.interface).send().await);
    assert!(
        both.starts_with(
            "400 InvalidParameterCombination: The request must contain exactly one of "
        ),
        "{both}"
    );

    let to_instance = || scene.ec2.create_route().instance_id(&scene.instance);
    assert_eq!(
        refusal(to_instance().destination_cidr_block(ONE).send().await),
        "400 MissingParameter: The request must contain the parameter RouteTableId"
    );
    let nowhere = refusal(to_instance().route_table_id(&scene.table).send().await);
    assert!(nowhere.starts_with("400 MissingParameter: "), "{nowhere}");
    let twice = to_instance().route_table_id(&scene.table).destination_cidr_block(ONE);
    let twice = refusal(twice.destination_ipv6_cidr_block("fd00:10::/64").send().await);
    assert!(twice.starts_with("400 InvalidParameterCombination: "), "{twice}");
    assert_eq!(
        refusal(scene.create("100.64.0.0").instance_id(&scene.instance).send().await),
        "400 InvalidParameterValue: Value (100.64.0.0) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block."
    );
    assert_eq!(scene.lines().await, [""; 0]);
}

/// EC2 API Reference, "Error codes for the Amazon EC2 API".
#[tokio::test]
async fn what_does_not_exist_is_named() {
    let scene = Scene::new();
    let absent = "0123456789abcdef0";
    let table = scene.create(ONE).route_table_id(format!("rtb-{absent}"));
    assert_eq!(
        refusal(table.instance_id(&scene.instance).send().await),
        format!(
            "400 InvalidRouteTableID.NotFound: The routeTable ID 'rtb-{absent}' does not exist"
        )
    );
    assert_eq!(
        refusal(scene.create(ONE).instance_id(format!("i-{absent}")).send().await),
        format!("400 InvalidInstanceID.NotFound: The instance ID 'i-{absent}' does not exist")
    );
    assert_eq!(
        refusal(scene.create(ONE).instance_id("i-what").send().await),
        "400 InvalidInstanceID.Malformed: Invalid id: \"i-what\""
    );
    let eni = format!("eni-{absent}");
    let missing = format!(
        "400 InvalidNetworkInterfaceID.NotFound: The networkInterface ID '{eni}' does not exist"
    );
    assert_eq!(refusal(scene.create(ONE).network_interface_id(&eni).send().await), missing);
    let modify = scene.ec2.modify_network_interface_attribute().network_interface_id(&eni);
    let off = AttributeBooleanValue::builder().value(false).build();
    assert_eq!(refusal(modify.source_dest_check(off).send().await), missing);
    assert_eq!(
        refusal(scene.create(ONE).gateway_id(format!("igw-{absent}")).send().await),
        format!("400 InvalidGatewayID.NotFound: The gateway ID 'igw-{absent}' does not exist")
    );
    assert_eq!(
        refusal(scene.create(ONE).transit_gateway_id(format!("tgw-{absent}")).send().await),
        format!(
            "400 InvalidTransitGatewayID.NotFound: The transitGateway ID 'tgw-{absent}' does not exist"
        )
    );
}

/// Amazon VPC User Guide, "Configure route tables": a more specific route matches a whole subnet;
/// its target is an interface; some addresses are AWS' own.
#[tokio::test]
async fn a_route_inside_the_vpc_is_one_to_a_whole_subnet() {
    let scene = Scene::new();
    let gateway = gateway(&scene.lab);
    let refused = |result| {
        let said = refusal::<_, aws_sdk_ec2::operation::create_route::CreateRouteError>(result);
        said.split_once(" CIDR block ").map(|(_, rest)| rest.to_owned()).unwrap_or(said)
    };
    assert_eq!(
        refused(scene.create("10.0.1.0/24").gateway_id(&gateway).send().await),
        "10.0.1.0/24 is equal to or more specific than one of this VPC's CIDR blocks. This route can target only an interface or an instance."
    );
    assert_eq!(
        refused(scene.create("10.0.1.0/25").instance_id(&scene.instance).send().await),
        "10.0.1.0/25 is more specific than one of this VPC's CIDR blocks and does not match the CIDR block of a subnet."
    );
    assert_eq!(
        refused(scene.create("169.254.169.254/32").instance_id(&scene.instance).send().await),
        "169.254.169.254/32 is reserved for use by AWS services."
    );
    scene.route_to_instance("10.0.1.0/24").await;
    scene.create("10.0.0.0/8").gateway_id(&gateway).send().await.expect("less specific");
    let eni = &scene.interface;
    assert_eq!(
        scene.lines().await,
        [format!("10.0.1.0/24 {eni} active"), format!("10.0.0.0/8 {gateway} active")]
    );
}

/// Amazon VPC User Guide, "Configure route tables": a table belongs to one VPC.
#[tokio::test]
async fn a_target_in_another_vpc_is_refused() {
    let scene = Scene::new();
    let table = scene.lab.region.with(|state, _| {
        let (ec2, ids) = (&mut state.ec2, &mut state.ids);
        let other = ec2.create_vpc(ids, "10.9.0.0/16").expect("a VPC");
        ec2.create_route_table(ids, &other).expect("a table")
    });
    let refused = scene.create(ONE).route_table_id(&table).instance_id(&scene.instance);
    assert_eq!(
        refusal(refused.send().await),
        format!(
            "400 InvalidParameterValue: route table {table} and interface {} belong to different networks",
            scene.interface
        )
    );
}

/// Amazon VPC User Guide, "Amazon VPC quotas": routes per route table, for each family by itself.
#[tokio::test]
async fn a_full_table_takes_no_more_until_the_quota_is_raised() {
    let scene = Scene::new();
    let quota = |routes| scene.lab.region.with(|state, _| state.ec2.routes_per_table = routes);
    assert_eq!(scene.lab.region.with(|state, _| state.ec2.routes_per_table), 500);
    quota(2);
    scene.route_to_instance(ONE).await;
    let full = || scene.create(TWO).instance_id(&scene.instance).send();
    assert_eq!(
        refusal(full().await),
        "400 RouteLimitExceeded: The maximum number of routes has been reached."
    );
    let six = scene.ec2.create_route().route_table_id(&scene.table);
    let six = six.destination_ipv6_cidr_block("2001:db8::/64").instance_id(&scene.instance);
    six.send().await.expect("the other family has room");
    let replace = scene.ec2.replace_route().route_table_id(&scene.table);
    let replace = replace.destination_cidr_block(ONE).network_interface_id(&scene.interface);
    replace.send().await.expect("no route more");
    quota(3);
    full().await.expect("raised");
}
