//! The region's routes, driven by the Rust SDK. Each strict rule names the page of the AWS
//! documentation that it follows, or where it was seen.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::create_route::builders::CreateRouteFluentBuilder;
use aws_sdk_ec2::types::{AttributeBooleanValue, AttributeValue, Filter, Route};
use integration::region::call::Service;
use integration::region::ec2::{IMAGE_X86_64, InterfaceSpec, LaunchSpec, Order, Tags};
use integration::region::iam::ADMINISTRATOR;
use integration::region::{Fault, Rule};
use serde_json::json;

use crate::region_clients::{Lab, allow, refusal};

/// Pending takes two seconds and the moment after it another one.
const SECONDS_UNTIL_SETTLED: u64 = 3;

const ONE: &str = "100.64.0.0/24";
const TWO: &str = "100.64.1.0/24";

/// A region with a table of its own and an instance that routes can be made to.
struct Scene {
    lab: Lab,
    ec2: Client,
    table: String,
    instance: String,
    interface: String,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new(ADMINISTRATOR);
        let ec2 = lab.ec2(&lab.operator());
        let table = lab
            .region
            .with(|state, _| state.ec2.create_route_table(&mut state.ids, &lab.vpc))
            .expect("a table");
        let instance = launch(&lab, 1);
        lab.after(SECONDS_UNTIL_SETTLED);
        let interface = interface_of(&lab, &instance);
        Self { lab, ec2, table, instance, interface }
    }

    /// CreateRoute without a target.
    fn create(&self, destination: &str) -> CreateRouteFluentBuilder {
        self.ec2.create_route().route_table_id(&self.table).destination_cidr_block(destination)
    }

    /// A route that is there from now on.
    async fn route_to_instance(&self, destination: &str) {
        self.create(destination).instance_id(&self.instance).send().await.expect("a route");
    }

    /// The table's routes that were made by somebody.
    async fn routes(&self) -> Vec<Route> {
        let told = self.ec2.describe_route_tables().route_table_ids(&self.table).send().await;
        let told = told.expect("the table").route_tables()[0].clone();
        let routes = told.routes().iter().filter(|route| route.gateway_id() != Some("local"));
        routes.cloned().collect()
    }

    /// `100.64.0.0/24 eni-… active`, for each such route.
    async fn lines(&self) -> Vec<String> {
        let line = |route: Route| {
            let destination =
                route.destination_cidr_block().or(route.destination_ipv6_cidr_block());
            let target = route.network_interface_id().or(route.gateway_id());
            let state = route.state().map(|state| state.as_str()).unwrap_or_default();
            format!("{} {} {state}", destination.unwrap_or_default(), target.unwrap_or_default())
        };
        self.routes().await.into_iter().map(line).collect()
    }
}

/// An instance with so many interfaces, all in the first subnet.
fn launch(lab: &Lab, interfaces: u32) -> String {
    let interfaces = (0..interfaces).map(|device_index| InterfaceSpec {
        device_index,
        subnet: Some(lab.subnets[0].clone()),
        ..InterfaceSpec::default()
    });
    let spec = LaunchSpec {
        image: Some(IMAGE_X86_64.to_owned()),
        instance_type: Some("m5.large".to_owned()),
        interfaces: interfaces.collect(),
        ..LaunchSpec::default()
    };
    lab.region.with(|state, now| {
        let order = Order { spec, count: 1, client_token: None, aws_tags: Tags::new(), now };
        let launched = state.ec2.launch(&mut state.ids, &state.iam, &order);
        launched.expect("an instance").remove(0)
    })
}

fn interface_of(lab: &Lab, instance: &str) -> String {
    lab.region.with(|state, _| state.ec2.interfaces_of(instance)[0].id.clone())
}

/// An internet gateway of the lab's VPC.
fn gateway(lab: &Lab) -> String {
    lab.region.with(|state, _| {
        let id = state.ec2.create_internet_gateway(&mut state.ids);
        state.ec2.attach_internet_gateway(&id, &lab.vpc).expect("attached");
        id
    })
}

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

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

/// EC2 API Reference, "DescribeRouteTables": filters; MaxResults from 5 to 100.
#[tokio::test]
async fn tables_are_found_by_tag_vpc_and_route_and_listed_in_pages() {
    let scene = Scene::new();
    scene.route_to_instance(ONE).await;
    scene.lab.region.with(|state, _| {
        let cluster = Tags::from([("windlass:cluster".to_owned(), "prod".to_owned())]);
        state.ec2.tag(&scene.table, &cluster).expect("tagged");
    });
    let found = async |name: &str, value: &str| {
        let told = scene.ec2.describe_route_tables().filters(filter(name, value)).send().await;
        let told = told.expect("a listing");
        told.route_tables()
            .iter()
            .filter_map(|table| table.route_table_id().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    for (name, value) in [
        ("tag:windlass:cluster", "prod"),
        ("tag-key", "windlass:*"),
        ("route-table-id", &scene.table),
        ("route.destination-cidr-block", ONE),
        ("route.instance-id", &scene.instance),
        ("route.origin", "CreateRoute"),
    ] {
        assert_eq!(found(name, value).await, std::slice::from_ref(&scene.table), "{name}");
    }
    assert_eq!(found("vpc-id", &scene.lab.vpc).await.len(), 2);
    assert_eq!(found("route.state", "blackhole").await, [""; 0]);
    assert_eq!(found("route.nat-gateway-id", "*").await, [""; 0]);
    let unknown = scene.ec2.describe_route_tables();
    let unknown = unknown.filters(filter("route.network-interface-id", &scene.interface));
    assert_eq!(
        refusal(unknown.send().await),
        "400 InvalidParameterValue: The filter 'route.network-interface-id' is invalid"
    );

    scene.lab.region.with(|state, _| {
        for _ in 0..5 {
            state.ec2.create_route_table(&mut state.ids, &scene.lab.vpc).expect("a table");
        }
    });
    let mut pages = scene.ec2.describe_route_tables().into_paginator().page_size(5).send();
    let mut sizes = Vec::new();
    while let Some(page) = pages.next().await {
        sizes.push(page.expect("a page").route_tables().len());
    }
    assert_eq!(sizes, [5, 2]);
    let many = refusal(scene.ec2.describe_route_tables().max_results(101).send().await);
    assert!(many.starts_with("400 InvalidParameterValue: "), "{many}");
}

/// EC2 API Reference, "Common query parameters": DryRun.
#[tokio::test]
async fn a_dry_run_changes_nothing_and_says_whether_it_might() {
    let scene = Scene::new();
    scene.route_to_instance(ONE).await;
    let reader = allow(&["ec2:Describe*"], "*", json!({}));
    let reader = scene.lab.ec2(&scene.lab.user("reader", &reader));
    let dry = "412 DryRunOperation: Request would have succeeded, but DryRun flag is set.";
    for (ec2, expected) in [(&scene.ec2, dry), (&reader, "403 UnauthorizedOperation: ")] {
        let (table, eni) = (&scene.table, &scene.interface);
        let create = ec2.create_route().route_table_id(table).destination_cidr_block(TWO);
        let replace = ec2.replace_route().route_table_id(table).destination_cidr_block(ONE);
        let delete = ec2.delete_route().route_table_id(table).destination_cidr_block(ONE);
        let off = AttributeBooleanValue::builder().value(false).build();
        let interface = ec2.modify_network_interface_attribute().network_interface_id(eni);
        let instance = ec2.modify_instance_attribute().instance_id(&scene.instance);
        for said in [
            refusal(create.network_interface_id(eni).dry_run(true).send().await),
            refusal(replace.network_interface_id(eni).dry_run(true).send().await),
            refusal(delete.dry_run(true).send().await),
            refusal(interface.source_dest_check(off.clone()).dry_run(true).send().await),
            refusal(instance.source_dest_check(off).dry_run(true).send().await),
        ] {
            assert!(said.starts_with(expected), "{said}");
        }
    }
    let tables = scene.ec2.describe_route_tables().dry_run(true).send().await;
    assert_eq!(refusal(tables), dry);
    assert_eq!(scene.lines().await, [format!("{ONE} {} active", scene.interface)]);
}

/// EC2 API Reference, "Request throttling for the Amazon EC2 API": 50 and 5 a second for each
/// mutating action, 100 and 20 for DescribeRouteTables.
#[tokio::test(start_paused = true)]
async fn each_action_has_a_bucket_of_its_own() {
    let scene = Scene::new();
    let throttled = "503 RequestLimitExceeded: Request limit exceeded.";
    for third in 0..50 {
        scene.route_to_instance(&format!("100.64.{third}.0/24")).await;
    }
    let create = || scene.create("100.65.0.0/24").instance_id(&scene.instance).send();
    assert_eq!(refusal(create().await), throttled);
    let replace = scene.ec2.replace_route().route_table_id(&scene.table);
    let replace = replace.destination_cidr_block(ONE).instance_id(&scene.instance).send();
    replace.await.expect("another bucket");
    scene.lab.after(1);
    create().await.expect("a token came back");

    let describe = || scene.ec2.describe_route_tables().send();
    for _ in 0..100 {
        describe().await.expect("within the burst");
    }
    assert_eq!(refusal(describe().await), throttled);
    scene.lab.after(1);
    for _ in 0..20 {
        describe().await.expect("tokens came back");
    }
    assert_eq!(refusal(describe().await), throttled);
}

/// EC2 API Reference, "Eventual consistency": what is described may be older than what was done.
#[tokio::test]
async fn a_description_may_lag_behind_the_change() {
    let scene = Scene::new();
    let five_seconds = Fault::Stale(std::time::Duration::from_secs(5));
    let rule = Rule::always(five_seconds).on(Service::Ec2, "DescribeRouteTables");
    scene.lab.region.faults().add(rule);
    scene.lab.after(1);
    scene.route_to_instance(ONE).await;
    assert_eq!(scene.lines().await, [""; 0]);
    assert_eq!(
        refusal(scene.create(ONE).instance_id(&scene.instance).send().await),
        format!("400 RouteAlreadyExists: The route identified by {ONE} already exists.")
    );
    scene.lab.after(6);
    assert_eq!(scene.lines().await, [format!("{ONE} {} active", scene.interface)]);
}

/// Service Authorization Reference, "Actions, resources, and condition keys for Amazon EC2": the
/// table, or the interface, is the resource.
#[tokio::test]
async fn permissions_hold_for_tables_and_interfaces_with_the_right_tag() {
    let scene = Scene::new();
    let theirs = scene
        .lab
        .region
        .with(|state, _| {
            let cluster = Tags::from([("windlass:cluster".to_owned(), "prod".to_owned())]);
            state.ec2.tag(&scene.table, &cluster)?;
            state.ec2.tag(&scene.interface, &cluster)?;
            state.ec2.create_route_table(&mut state.ids, &scene.lab.vpc)
        })
        .expect("tagged");
    let other = interface_of(&scene.lab, &launch(&scene.lab, 1));
    scene.lab.after(SECONDS_UNTIL_SETTLED);
    let actions = [
        "ec2:CreateRoute",
        "ec2:ReplaceRoute",
        "ec2:DeleteRoute",
        "ec2:ModifyNetworkInterfaceAttribute",
    ];
    let condition = json!({"StringEquals": {"aws:ResourceTag/windlass:cluster": "prod"}});
    let ec2 = scene.lab.ec2(&scene.lab.user("admit", &allow(&actions, "*", condition)));
    let create = |table: &str| {
        let create = ec2.create_route().route_table_id(table).destination_cidr_block(ONE);
        create.instance_id(&scene.instance).send()
    };
    create(&scene.table).await.expect("tagged");
    assert!(refusal(create(&theirs).await).starts_with("403 UnauthorizedOperation: "));
    let delete = ec2.delete_route().route_table_id(&scene.table).destination_cidr_block(ONE);
    delete.send().await.expect("tagged");
    let modify = |eni: &str| {
        let off = AttributeBooleanValue::builder().value(false).build();
        let modify = ec2.modify_network_interface_attribute().network_interface_id(eni);
        modify.source_dest_check(off).send()
    };
    modify(&scene.interface).await.expect("tagged");
    assert!(refusal(modify(&other).await).starts_with("403 UnauthorizedOperation: "));
    let by_instance = ec2.modify_instance_attribute().instance_id(&scene.instance);
    let off = AttributeBooleanValue::builder().value(false).build();
    let by_instance = refusal(by_instance.source_dest_check(off).send().await);
    assert!(by_instance.starts_with("403 UnauthorizedOperation: "), "{by_instance}");
}
