//! How tables are asked for, by whom, how often, and how late the answer may be.

use aws_sdk_ec2::types::AttributeBooleanValue;
use integration::region::call::Service;
use integration::region::ec2::Tags;
use integration::region::{Fault, Rule};
use serde_json::json;

use super::{ONE, SECONDS_UNTIL_SETTLED, Scene, TWO, filter, interface_of, launch};
use crate::region_clients::{allow, refusal};

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
