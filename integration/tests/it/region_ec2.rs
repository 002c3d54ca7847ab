//! The region's EC2, driven by the Rust SDK. Each strict rule names the page of the AWS
//! documentation that it follows.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::builders::LaunchTemplateSpecificationBuilder;
use aws_sdk_ec2::types::{
    Filter, HttpTokensState, Instance, InstanceMetadataTagsState, LaunchTemplateSpecification,
    RequestLaunchTemplateData, ResourceType, RouteOrigin, RouteState, Tag, TagSpecification,
};
use integration::region::Event;
use integration::region::ec2::{IMAGE_X86_64, LaunchSpec, MetadataChange, Rate};
use integration::region::iam::ADMINISTRATOR;

use crate::region_clients::{Lab, allow, refusal};

const SECONDS_UNTIL_RUNNING: u64 = 2;

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

fn filter(name: &str, values: &[&str]) -> Filter {
    Filter::builder()
        .name(name)
        .set_values(Some(values.iter().map(|value| value.to_string()).collect()))
        .build()
}

fn by_template(lab: &Lab) -> LaunchTemplateSpecificationBuilder {
    LaunchTemplateSpecification::builder().launch_template_id(&lab.template)
}

/// RunInstances of the template, in the first subnet, with these tags.
fn order(lab: &Lab, ec2: &Client, count: i32, tags: &[(&str, &str)]) -> RunInstancesFluentBuilder {
    let tags = tags.iter().map(|(key, value)| tag(key, value)).collect();
    let order =
        ec2.run_instances().launch_template(by_template(lab).build()).subnet_id(&lab.subnets[0]);
    order.min_count(count).max_count(count).tag_specifications(
        TagSpecification::builder()
            .resource_type(ResourceType::Instance)
            .set_tags(Some(tags))
            .build(),
    )
}

async fn launch(lab: &Lab, ec2: &Client, count: i32, tags: &[(&str, &str)]) -> Vec<String> {
    let launched = order(lab, ec2, count, tags).send().await.expect("instances");
    launched.instances().iter().map(|held| held.instance_id().expect("an ID").to_owned()).collect()
}

async fn described(ec2: &Client, filters: &[Filter]) -> Vec<String> {
    let all = ec2
        .describe_instances()
        .set_filters(Some(filters.to_vec()))
        .send()
        .await
        .expect("a listing");
    let mut ids: Vec<String> = all
        .reservations()
        .iter()
        .flat_map(|held| held.instances())
        .map(|held| held.instance_id().expect("an ID").to_owned())
        .collect();
    ids.sort();
    ids
}

async fn one(ec2: &Client, id: &str) -> Instance {
    let found = ec2.describe_instances().instance_ids(id).send().await.expect("one instance");
    found.reservations()[0].instances()[0].clone()
}

/// EC2 API Reference, "Instance".
#[tokio::test]
async fn an_instance_is_described_whole() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let id = launch(&lab, &ec2, 1, &[("cluster", "lab")]).await.remove(0);
    lab.after(SECONDS_UNTIL_RUNNING);
    let held = one(&ec2, &id).await;

    let state = held.state().expect("a state");
    assert_eq!((state.code(), state.name().map(|name| name.as_str())), (Some(16), Some("running")));
    assert_eq!(held.private_ip_address(), Some("10.0.1.4"));
    assert_eq!(held.private_dns_name(), Some("ip-10-0-1-4.eu-west-1.compute.internal"));
    assert_eq!(held.launch_time().expect("a time").to_string(), "2026-11-23T12:00:00Z");
    assert_eq!(held.placement().and_then(|place| place.availability_zone()), Some("eu-west-1a"));
    assert_eq!(held.vpc_id(), Some(lab.vpc.as_str()));
    assert_eq!(held.subnet_id(), Some(lab.subnets[0].as_str()));
    let profile = held.iam_instance_profile().and_then(|profile| profile.arn());
    assert_eq!(profile, Some("arn:aws:iam::123456789012:instance-profile/worker"));
    assert_eq!(held.image_id(), Some(IMAGE_X86_64));
    let mut tags: Vec<_> =
        held.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?))).collect();
    tags.sort();
    let version = ("aws:ec2launchtemplate:version", "1");
    assert_eq!(
        tags,
        [("aws:ec2launchtemplate:id", lab.template.as_str()), version, ("cluster", "lab")]
    );

    let interface = &held.network_interfaces()[0];
    let attachment = interface.attachment().expect("attached");
    assert_eq!(
        (attachment.device_index(), attachment.delete_on_termination()),
        (Some(0), Some(true))
    );
    assert_eq!(interface.source_dest_check(), Some(true));
    let mac = interface.mac_address().expect("a MAC address");
    assert!(mac.len() == 17 && mac.starts_with("02:"), "{mac}");
    assert_eq!(held.security_groups()[0].group_name(), Some("default"));
    assert_eq!(
        held.metadata_options().and_then(|options| options.http_put_response_hop_limit()),
        Some(1)
    );
}

/// EC2 User Guide, "Terminate Amazon EC2 instances": "visible for approximately one hour".
#[tokio::test]
async fn a_terminated_instance_is_listed_without_its_network_for_an_hour() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let id = launch(&lab, &ec2, 1, &[]).await.remove(0);
    lab.after(SECONDS_UNTIL_RUNNING);
    let ended = ec2.terminate_instances().instance_ids(&id).send().await.expect("terminated");
    let change = &ended.terminating_instances()[0];
    let names = |state: Option<&aws_sdk_ec2::types::InstanceState>| {
        state
            .and_then(|state| state.name())
            .map(|name| name.as_str().to_owned())
            .unwrap_or_default()
    };
    assert_eq!(
        [names(change.previous_state()), names(change.current_state())],
        ["running", "shutting-down"]
    );
    lab.after(2);
    let held = one(&ec2, &id).await;
    assert_eq!(names(held.state()), "terminated");
    assert_eq!(
        (held.private_ip_address(), held.vpc_id(), held.network_interfaces().len()),
        (None, None, 0)
    );
    assert_eq!(
        held.state_reason().and_then(|reason| reason.code()),
        Some("Client.UserInitiatedShutdown")
    );
    assert_eq!(held.state_transition_reason(), Some("User initiated (2026-11-23 12:00:02 GMT)"));
    lab.after(3600);
    assert_eq!(described(&ec2, &[]).await, [""; 0]);
}

/// EC2 API Reference, "Eventual consistency"; "Error codes for the Amazon EC2 API".
#[tokio::test]
async fn a_new_instance_is_unknown_for_a_moment() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let id = launch(&lab, &ec2, 1, &[]).await.remove(0);
    let by_id = || ec2.describe_instances().instance_ids(&id).send();
    assert_eq!(
        refusal(by_id().await),
        format!("400 InvalidInstanceID.NotFound: The instance ID '{id}' does not exist")
    );
    assert_eq!(described(&ec2, &[]).await, [""; 0]);
    lab.after(1);
    assert!(by_id().await.is_ok());
    assert_eq!(described(&ec2, &[]).await, std::slice::from_ref(&id));

    let malformed = ec2.describe_instances().instance_ids("i-nonsense").send().await;
    assert_eq!(refusal(malformed), "400 InvalidInstanceID.Malformed: Invalid id: \"i-nonsense\"");
    let both = ["i-00000000000000001", "i-00000000000000002"].map(str::to_owned).to_vec();
    let unknown =
        ec2.describe_instances().set_instance_ids(Some(both)).instance_ids(&id).send().await;
    assert_eq!(
        refusal(unknown),
        "400 InvalidInstanceID.NotFound: The instance IDs 'i-00000000000000001, i-00000000000000002' do not exist"
    );
}

/// EC2 User Guide, "Filter your Amazon EC2 resources".
#[tokio::test]
async fn filters_are_all_to_hold_with_wildcards_and_any_value() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let mut lab_ids = launch(&lab, &ec2, 2, &[("kubernetes.io/cluster/lab", "owned")]).await;
    lab_ids.sort();
    let other =
        launch(&lab, &ec2, 1, &[("kubernetes.io/cluster/other", "owned"), ("team", "blue")]).await;
    lab.after(SECONDS_UNTIL_RUNNING);
    ec2.terminate_instances().instance_ids(&lab_ids[1]).send().await.expect("terminated");

    let vpc = filter("vpc-id", &[&lab.vpc]);
    let up = filter("instance-state-name", &["pending", "running"]);
    let ours = filter("tag:kubernetes.io/cluster/lab", &["owned"]);
    assert_eq!(described(&ec2, &[vpc.clone(), up, ours.clone()]).await, [lab_ids[0].clone()]);
    assert_eq!(described(&ec2, &[ours]).await, lab_ids);
    assert_eq!(described(&ec2, &[vpc, filter("tag-key", &["team"])]).await, other);
    assert_eq!(described(&ec2, &[filter("tag:team", &["b*"])]).await, other);
    assert_eq!(described(&ec2, &[filter("private-dns-name", &["ip-10-0-1-4.*"])]).await.len(), 1);
    assert_eq!(described(&ec2, &[filter("private-ip-address", &["10.0.9.9"])]).await, [""; 0]);
    let profile = "arn:aws:iam::123456789012:instance-profile/worker";
    assert_eq!(described(&ec2, &[filter("iam-instance-profile.arn", &[profile])]).await.len(), 3);

    let unknown = ec2.describe_instances().filters(filter("colour", &["red"])).send().await;
    assert_eq!(refusal(unknown), "400 InvalidParameterValue: The filter 'colour' is invalid");
}

/// EC2 API Reference, "DescribeInstances": MaxResults, NextToken.
#[tokio::test]
async fn a_long_listing_comes_in_pages() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let mut launched = launch(&lab, &ec2, 12, &[]).await;
    launched.sort();
    lab.after(SECONDS_UNTIL_RUNNING);
    let mut pages = ec2.describe_instances().into_paginator().page_size(5).send();
    let (mut sizes, mut seen) = (Vec::new(), Vec::new());
    while let Some(page) = pages.next().await {
        let page = page.expect("a page");
        let ids = page
            .reservations()
            .iter()
            .flat_map(|held| held.instances())
            .filter_map(|held| held.instance_id());
        let ids: Vec<String> = ids.map(str::to_owned).collect();
        sizes.push(ids.len());
        seen.extend(ids);
    }
    assert_eq!((sizes, seen), (vec![5, 5, 2], launched.clone()));

    let few = ec2.describe_instances().max_results(4).send().await;
    assert!(refusal(few).starts_with("400 InvalidParameterValue: "));
    let both = ec2.describe_instances().max_results(5).instance_ids(&launched[0]).send().await;
    assert!(refusal(both).starts_with("400 InvalidParameterCombination: "));
    let token = ec2.describe_instances().max_results(5).next_token("!").send().await;
    assert!(refusal(token).starts_with("400 InvalidNextToken: "));
}

/// EC2 API Reference, "Common query parameters": DryRun.
#[tokio::test]
async fn a_dry_run_says_whether_it_would_be_allowed_and_does_nothing() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let dry = order(&lab, &ec2, 1, &[]).dry_run(true).send().await;
    assert_eq!(
        refusal(dry),
        "412 DryRunOperation: Request would have succeeded, but DryRun flag is set."
    );
    assert_eq!(lab.region.with(|state, _| state.ec2.instances().count()), 0);

    let reader =
        lab.ec2(&lab.user("somebody", &allow(&["ec2:Describe*"], "*", serde_json::json!({}))));
    let dry = order(&lab, &reader, 1, &[]).dry_run(true).send().await;
    assert!(refusal(dry).starts_with("403 UnauthorizedOperation: "));
    assert!(reader.describe_instances().send().await.is_ok());
}

/// EC2 API Reference, "Request throttling for the Amazon EC2 API".
#[tokio::test]
async fn a_call_too_many_is_throttled_until_tokens_come_back() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    lab.region.with(|state, _| {
        state
            .ec2
            .limits
            .by_action
            .insert("DescribeInstances".to_owned(), Rate { burst: 2, per_second: 1 });
    });
    for _ in 0..2 {
        ec2.describe_instances().send().await.expect("within the burst");
    }
    let refused = refusal(ec2.describe_instances().send().await);
    assert_eq!(refused, "503 RequestLimitExceeded: Request limit exceeded.");
    ec2.describe_vpcs().send().await.expect("another bucket");
    lab.after(1);
    ec2.describe_instances().send().await.expect("a token came back");
}

/// Service Authorization Reference, "Actions, resources, and condition keys for Amazon EC2".
#[tokio::test]
async fn permissions_hold_for_resources_with_the_right_tags() {
    let lab = Lab::new(ADMINISTRATOR);
    let operator = lab.ec2(&lab.operator());
    let ours = launch(&lab, &operator, 1, &[("cluster", "lab")]).await.remove(0);
    let theirs = launch(&lab, &operator, 1, &[("cluster", "other")]).await.remove(0);
    let condition = serde_json::json!({"StringEquals": {"aws:ResourceTag/cluster": "lab"}});
    let arn = "arn:aws:ec2:eu-west-1:123456789012:instance/*";
    let ec2 =
        lab.ec2(&lab.user(
            "somebody",
            &allow(&["ec2:TerminateInstances", "ec2:CreateTags"], arn, condition),
        ));

    let refused = ec2.terminate_instances().instance_ids(&ours).instance_ids(&theirs).send().await;
    assert!(refusal(refused).starts_with("403 UnauthorizedOperation: "));
    assert_eq!(
        lab.region.with(|state, _| state.ec2.instance(&ours).map(|held| held.state.is_ending())),
        Some(false)
    );
    ec2.create_tags().resources(&ours).tags(tag("seen", "yes")).send().await.expect("ours");
    let refused = ec2.create_tags().resources(&theirs).tags(tag("cluster", "lab")).send().await;
    assert!(refusal(refused).starts_with("403 UnauthorizedOperation: "));
    ec2.terminate_instances().instance_ids(&ours).send().await.expect("ours");
}

/// EC2 User Guide, "Tag your Amazon EC2 resources".
#[tokio::test]
async fn tags_come_go_and_are_listed_but_those_of_aws_stay() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let id = launch(&lab, &ec2, 1, &[("a", "1")]).await.remove(0);
    ec2.create_tags()
        .resources(&id)
        .tags(tag("a", "2"))
        .tags(tag("b", ""))
        .send()
        .await
        .expect("tagged");
    let reserved = ec2.create_tags().resources(&id).tags(tag("aws:mine", "x")).send().await;
    assert!(refusal(reserved).starts_with("400 InvalidParameterValue: "));
    ec2.delete_tags()
        .resources(&id)
        .tags(tag("a", "other value"))
        .send()
        .await
        .expect("nothing to do");
    let listed = async || {
        let told =
            ec2.describe_tags().filters(filter("resource-id", &[&id])).send().await.expect("tags");
        let tags = told.tags().iter().map(|tag| {
            format!("{}={}", tag.key().unwrap_or_default(), tag.value().unwrap_or_default())
        });
        tags.filter(|tag| !tag.starts_with("aws:")).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, ["a=2", "b="]);
    ec2.delete_tags().resources(&id).send().await.expect("all of ours");
    assert_eq!(listed().await, [""; 0]);
    let of_aws = ec2
        .describe_tags()
        .filters(filter("key", &["aws:ec2launchtemplate:*"]))
        .send()
        .await
        .expect("tags");
    assert_eq!(of_aws.tags().len(), 2);
    let unknown =
        ec2.create_tags().resources("vpc-00000000000000000").tags(tag("a", "1")).send().await;
    assert!(refusal(unknown).starts_with("400 InvalidVpcID.NotFound: "));
}

/// Amazon VPC User Guide, "VPC CIDR blocks", "Subnet CIDR blocks", "Configure route tables".
#[tokio::test]
async fn a_network_is_made_and_described() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let vpc = ec2.create_vpc().cidr_block("10.8.0.1/16").send().await.expect("a VPC");
    let vpc = vpc.vpc().expect("told").clone();
    let id = vpc.vpc_id().expect("an ID");
    assert_eq!(vpc.cidr_block(), Some("10.8.0.0/16"));
    let more = ec2
        .associate_vpc_cidr_block()
        .vpc_id(id)
        .cidr_block("10.9.0.0/16")
        .send()
        .await
        .expect("a block");
    assert_eq!(
        more.cidr_block_association().and_then(|block| block.cidr_block()),
        Some("10.9.0.0/16")
    );
    let subnet = |cidr: &str| {
        ec2.create_subnet().vpc_id(id).cidr_block(cidr).availability_zone("eu-west-1c").send()
    };
    let made = subnet("10.9.1.0/24").await.expect("a subnet");
    let made = made.subnet().expect("told");
    assert_eq!(made.available_ip_address_count(), Some(251));
    assert_eq!(made.availability_zone_id(), Some("euw1-az3"));
    assert!(refusal(subnet("10.9.1.128/25").await).starts_with("400 InvalidSubnet.Conflict: "));
    assert!(refusal(subnet("192.168.0.0/24").await).starts_with("400 InvalidSubnet.Range: "));

    let table = ec2.create_route_table().vpc_id(id).send().await.expect("a table");
    let table =
        table.route_table().and_then(|table| table.route_table_id()).expect("an ID").to_owned();
    let associate = || {
        ec2.associate_route_table()
            .route_table_id(&table)
            .subnet_id(made.subnet_id().expect("an ID"))
            .send()
    };
    associate().await.expect("associated");
    assert!(refusal(associate().await).starts_with("400 Resource.AlreadyAssociated: "));

    let mains = ec2
        .describe_route_tables()
        .filters(filter("association.main", &["true"]))
        .filters(filter("vpc-id", &[id]));
    let mains = mains.send().await.expect("tables");
    assert_eq!(mains.route_tables().len(), 1);
    let routes: Vec<_> = mains.route_tables()[0]
        .routes()
        .iter()
        .map(|route| {
            (route.destination_cidr_block(), route.gateway_id(), route.state(), route.origin())
        })
        .collect();
    let local = |cidr| {
        (Some(cidr), Some("local"), Some(&RouteState::Active), Some(&RouteOrigin::CreateRouteTable))
    };
    assert_eq!(routes, [local("10.8.0.0/16"), local("10.9.0.0/16")]);
}

/// EC2 User Guide, "Create and manage Amazon EC2 launch template versions".
#[tokio::test]
async fn a_request_stands_before_its_template_and_versions_before_the_default() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let larger = RequestLaunchTemplateData::builder()
        .instance_type(aws_sdk_ec2::types::InstanceType::M5Xlarge)
        .build();
    let version =
        ec2.create_launch_template_version().launch_template_name("workers").source_version("1");
    let version = version.launch_template_data(larger).send().await.expect("a version");
    let told = version.launch_template_version().expect("told");
    assert_eq!((told.version_number(), told.default_version()), (Some(2), Some(false)));
    let data = told.launch_template_data().expect("its data");
    assert_eq!(data.image_id(), Some(IMAGE_X86_64));

    let run = async |version: Option<&str>| {
        let template = by_template(&lab).set_version(version.map(str::to_owned)).build();
        let run = ec2
            .run_instances()
            .launch_template(template)
            .subnet_id(&lab.subnets[1])
            .min_count(1)
            .max_count(1);
        run.send()
            .await
            .map(|run| run.instances()[0].instance_type().map(|kind| kind.as_str().to_owned()))
    };
    assert_eq!(run(None).await.expect("an instance").as_deref(), Some("m5.large"));
    assert_eq!(run(Some("$Latest")).await.expect("an instance").as_deref(), Some("m5.xlarge"));
    assert!(
        refusal(run(Some("7")).await).starts_with("400 InvalidLaunchTemplateId.VersionNotFound: ")
    );

    ec2.modify_launch_template()
        .launch_template_name("workers")
        .default_version("2")
        .send()
        .await
        .expect("modified");
    assert_eq!(run(None).await.expect("an instance").as_deref(), Some("m5.xlarge"));
    let templates =
        ec2.describe_launch_templates().launch_template_names("workers").send().await.expect("one");
    let held = &templates.launch_templates()[0];
    assert_eq!((held.default_version_number(), held.latest_version_number()), (Some(2), Some(2)));
    let missing = ec2.describe_launch_templates().launch_template_names("none").send().await;
    assert!(refusal(missing).starts_with("400 InvalidLaunchTemplateName.NotFoundException: "));
}

/// EC2 User Guide, "Configure the Instance Metadata Service options".
#[tokio::test]
async fn metadata_options_are_those_of_the_launch_until_they_are_modified() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let id = launch(&lab, &ec2, 1, &[]).await.remove(0);
    let modified = ec2
        .modify_instance_metadata_options()
        .instance_id(&id)
        .http_tokens(HttpTokensState::Required)
        .http_put_response_hop_limit(3)
        .instance_metadata_tags(InstanceMetadataTagsState::Enabled)
        .send()
        .await
        .expect("modified");
    let options = modified.instance_metadata_options().expect("told");
    assert_eq!(options.http_tokens(), Some(&HttpTokensState::Required));
    let machine = lab
        .region
        .with(|state, _| state.ec2.machine_at([10, 0, 1, 4].into()))
        .expect("the instance");
    assert_eq!(machine.options.http_put_response_hop_limit, 3);
    assert!(machine.options.tokens_required && machine.options.instance_tags_enabled);
    let far = ec2
        .modify_instance_metadata_options()
        .instance_id(&id)
        .http_put_response_hop_limit(65)
        .send()
        .await;
    assert!(refusal(far).starts_with("400 InvalidParameterValue: "));
}

/// EC2 API Reference, "DescribeInstanceTypes".
#[tokio::test]
async fn instance_types_tell_what_max_pods_are_computed_from() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let told =
        ec2.describe_instance_types().instance_types(aws_sdk_ec2::types::InstanceType::M6gLarge);
    let told = told.send().await.expect("one type");
    let held = &told.instance_types()[0];
    let network = held.network_info().expect("a network");
    assert_eq!(
        (network.maximum_network_interfaces(), network.ipv4_addresses_per_interface()),
        (Some(3), Some(10))
    );
    assert_eq!(held.v_cpu_info().and_then(|cpus| cpus.default_v_cpus()), Some(2));
    assert_eq!(held.memory_info().and_then(|memory| memory.size_in_mib()), Some(8192));
    let architectures = held.processor_info().expect("a processor").supported_architectures();
    assert_eq!(architectures.iter().map(|held| held.as_str()).collect::<Vec<_>>(), ["arm64"]);
    let unknown = ec2.describe_instance_types().instance_types("m5.huge".into()).send().await;
    assert_eq!(
        refusal(unknown),
        "400 InvalidInstanceType: The following supplied instance types do not exist: [m5.huge]"
    );
}

/// EC2 User Guide, "Stop and start Amazon EC2 instances": LaunchTime is that of the last start.
#[tokio::test]
async fn a_restart_is_a_launch_as_far_as_the_launch_time_goes() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let id = launch(&lab, &ec2, 1, &[]).await.remove(0);
    lab.after(SECONDS_UNTIL_RUNNING);
    ec2.stop_instances().instance_ids(&id).send().await.expect("stopping");
    let early = refusal(ec2.start_instances().instance_ids(&id).send().await);
    assert!(early.starts_with("400 IncorrectInstanceState: "), "{early}");
    lab.after(60);
    ec2.start_instances().instance_ids(&id).send().await.expect("starting");
    lab.after(SECONDS_UNTIL_RUNNING);
    let held = one(&ec2, &id).await;
    assert_eq!(held.launch_time().expect("a time").to_string(), "2026-11-23T12:01:02Z");
    assert_eq!(held.private_ip_address(), Some("10.0.1.4"));
    let status = ec2.describe_instance_status().send().await.expect("statuses");
    assert_eq!(status.instance_statuses().len(), 1);
}

/// EC2 API Reference, "StopInstances", "RebootInstances" and "InstanceState": all instances named, or
/// with an error none.
#[tokio::test]
async fn instances_are_stopped_and_rebooted_when_their_state_allows_it() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let ids = launch(&lab, &ec2, 2, &[]).await;
    let reboot =
        |ids: &[String]| ec2.reboot_instances().set_instance_ids(Some(ids.to_vec())).send();
    let wrong = |id: &str, wish: &str| {
        format!(
            "400 IncorrectInstanceState: The instance '{id}' is not in a state from which it can be {wish}."
        )
    };
    assert_eq!(refusal(reboot(&ids[..1]).await), wrong(&ids[0], "rebooted"), "it is pending");
    lab.after(SECONDS_UNTIL_RUNNING);
    let mut events = lab.region.events();
    reboot(&ids).await.expect("both run");
    for id in &ids {
        assert_eq!(events.recv().await, Ok(Event::InstanceRebooted { id: id.clone() }));
    }
    let stopped = ec2.stop_instances().instance_ids(&ids[0]).send().await.expect("it runs");
    let change = &stopped.stopping_instances()[0];
    let name = |state: Option<&aws_sdk_ec2::types::InstanceState>| {
        state.and_then(|state| state.name()).map(|name| name.as_str().to_owned())
    };
    assert_eq!(name(change.previous_state()).as_deref(), Some("running"));
    assert_eq!(name(change.current_state()).as_deref(), Some("stopping"));
    lab.after(2);
    let held = one(&ec2, &ids[0]).await;
    assert_eq!(name(held.state()).as_deref(), Some("stopped"));
    assert_eq!(
        held.state_reason().and_then(|reason| reason.code()),
        Some("Client.UserInitiatedShutdown")
    );
    let mut events = lab.region.events();
    let both = [ids[1].clone(), ids[0].clone()];
    assert_eq!(refusal(reboot(&both).await), wrong(&ids[0], "rebooted"));
    lab.region.with(|_, _| ());
    assert!(events.try_recv().is_err(), "the other one is not rebooted either");
}

/// EC2 User Guide, "View tags for your EC2 instances using instance metadata".
#[tokio::test]
async fn a_tag_that_would_be_no_path_is_refused_where_metadata_show_tags() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let shown = MetadataChange { tags_enabled: Some(true), ..MetadataChange::default() };
    lab.new_version(LaunchSpec { metadata: shown, ..LaunchSpec::default() });
    let latest = by_template(&lab).version("$Latest").build();
    let slash = "kubernetes.io/cluster/lab";
    let tags =
        TagSpecification::builder().resource_type(ResourceType::Instance).tags(tag(slash, "owned"));
    let launch = ec2
        .run_instances()
        .launch_template(latest)
        .subnet_id(&lab.subnets[0])
        .min_count(1)
        .max_count(1);
    let refused = refusal(launch.clone().tag_specifications(tags.build()).send().await);
    let why = format!("400 InvalidParameterValue: '{slash}' is not a valid tag key. ");
    assert!(refused.starts_with(&why), "{refused}");

    let launched = launch.send().await.expect("an instance");
    let id = launched.instances()[0].instance_id().expect("an ID");
    let refused = refusal(ec2.create_tags().resources(id).tags(tag(slash, "owned")).send().await);
    assert!(refused.starts_with(&why), "{refused}");
    ec2.create_tags()
        .resources(id)
        .tags(tag("windlass:cluster", "lab"))
        .send()
        .await
        .expect("a path");
}
