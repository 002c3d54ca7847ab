//! What instances are made of: networks, templates, tags, metadata options.

use aws_sdk_ec2::types::{
    HttpTokensState, InstanceMetadataTagsState, RequestLaunchTemplateData, ResourceType,
    RouteOrigin, RouteState, TagSpecification,
};
use integration::region::ec2::{IMAGE_X86_64, LaunchSpec, MetadataChange};
use integration::region::iam::ADMINISTRATOR;

use super::{by_template, filter, launch, tag};
use crate::region_clients::{Lab, refusal};

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
