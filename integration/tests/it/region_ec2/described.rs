//! What is told of instances, when, and in which order.

use integration::region::ec2::IMAGE_X86_64;
use integration::region::iam::ADMINISTRATOR;

use super::{SECONDS_UNTIL_RUNNING, described, filter, launch, one};
use crate::region_clients::{Lab, refusal};

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
