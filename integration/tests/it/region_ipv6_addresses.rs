//! IPv6 addresses of interfaces: at launch, through launch templates and groups, by the API, and in
//! the metadata service. Each strict rule names the page of the AWS documentation that it follows, or
//! where it was seen.

use std::net::Ipv6Addr;

use aws_sdk_ec2::types::{Instance, InstanceIpv6Address, InstanceNetworkInterfaceSpecification};
use integration::region::ec2::{
    Author, IMAGE_X86_64, InterfaceSpec, Ipv6Wish, LaunchSpec, TemplateName,
};

use crate::region_clients::refusal;
use crate::region_ipv6::{Scene, filter, interface_of};

const SECONDS_UNTIL_RUNNING: u64 = 2;

/// The IPv6 addresses of the primary interface.
fn addresses(instance: &Instance) -> Vec<Ipv6Addr> {
    let all = instance.network_interfaces()[0].ipv6_addresses().iter();
    all.map(|held| held.ipv6_address().expect("one").parse().expect("an address")).collect()
}

/// EC2 API Reference, "CreateNetworkInterface", Ipv6AddressCount: "If your subnet has the
/// AssignIpv6AddressOnCreation attribute set, you can override that setting by specifying 0".
#[tokio::test]
async fn an_instance_has_the_ipv6_addresses_that_its_launch_or_its_subnet_says() {
    let scene = Scene::new().await;
    assert_eq!(addresses(&scene.launch(None).await), [] as [Ipv6Addr; 0]);
    let two = scene.launch(Some(2)).await;
    let given = addresses(&two);
    assert_eq!(given.len(), 2);
    assert!(given.iter().all(|address| scene.subnet_block.contains(address)), "{given:?}");
    assert_eq!(two.ipv6_address(), Some(given[0].to_string().as_str()));

    scene.assign_on_creation(true).await;
    assert_eq!(addresses(&scene.launch(None).await).len(), 1);
    assert_eq!(addresses(&scene.launch(Some(0)).await).len(), 0);
    scene.lab.after(SECONDS_UNTIL_RUNNING);
    for name in ["ipv6-address", "network-interface.ipv6-addresses.ipv6-address"] {
        let by_address = filter(name, &given[0].to_string());
        let found = scene.ec2.describe_instances().filters(by_address).send().await;
        let found = found.expect("a listing").reservations()[0].instances()[0].clone();
        assert_eq!(found.instance_id(), two.instance_id(), "{name}");
    }
    let by_address = filter("ipv6-addresses.ipv6-address", &given[1].to_string());
    let found = scene.ec2.describe_network_interfaces().filters(by_address).send().await;
    let found = found.expect("a listing").network_interfaces()[0].clone();
    assert_eq!(found.network_interface_id(), Some(interface_of(&two).as_str()));
    assert_eq!(found.ipv6_addresses()[1].ipv6_address(), Some(given[1].to_string().as_str()));
}

/// EC2 API Reference, "RunInstances": Ipv6Address.N, Ipv6AddressCount. The message about both as
/// seen in pull request 40334 of ansible/ansible.
#[tokio::test]
async fn an_instance_may_name_its_ipv6_addresses() {
    let scene = Scene::new().await;
    let wanted = Ipv6Addr::from(u128::from(scene.subnet_block.network()) + 0xa);
    let named = |address: Ipv6Addr| {
        InstanceIpv6Address::builder().ipv6_address(address.to_string()).build()
    };
    let run = |address: Ipv6Addr, count: Option<i32>| {
        let interface = InstanceNetworkInterfaceSpecification::builder()
            .device_index(0)
            .subnet_id(&scene.lab.subnets[0])
            .set_ipv6_address_count(count)
            .ipv6_addresses(named(address));
        let run = scene.ec2.run_instances().image_id(IMAGE_X86_64).instance_type("m5.large".into());
        run.min_count(1).max_count(1).network_interfaces(interface.build()).send()
    };
    let launched = run(wanted, None).await.expect("an instance");
    assert_eq!(addresses(&launched.instances()[0]), [wanted]);
    assert_eq!(
        refusal(run(wanted, None).await),
        format!("400 InvalidIPAddress.InUse: Address {wanted} is in use.")
    );
    let reserved = Ipv6Addr::from(u128::from(scene.subnet_block.network()) + 3);
    assert!(refusal(run(reserved, None).await).starts_with("400 InvalidParameterValue: "));
    assert_eq!(
        refusal(run(wanted, Some(1)).await),
        "400 InvalidParameterCombination: IPv6 addresses and IPv6 address count may not be specified on the same request"
    );
    let without = scene.ec2.run_instances().image_id(IMAGE_X86_64).instance_type("m5.large".into());
    let without = without.min_count(1).max_count(1).subnet_id(&scene.lab.subnets[1]);
    let refused = refusal(without.ipv6_addresses(named(wanted)).send().await);
    assert!(refused.starts_with("400 InvalidParameterValue: "), "{refused}");
}

/// EC2 API Reference, "CreateLaunchTemplate": NetworkInterface.N.Ipv6AddressCount. A group launches
/// by the template, in each of its subnets.
#[tokio::test]
async fn a_launch_template_gives_ipv6_to_what_a_group_launches() {
    let scene = Scene::new().await;
    scene.lab.region.with(|state, now| {
        let name = TemplateName::Id(scene.lab.template.clone());
        let interface = InterfaceSpec {
            ipv6: Ipv6Wish { count: Some(1), addresses: Vec::new() },
            ..InterfaceSpec::default()
        };
        let spec = LaunchSpec { interfaces: vec![interface], ..LaunchSpec::default() };
        let by = Author { arn: "arn:aws:iam::123456789012:user/operator", now };
        let made = state.ec2.create_template_version(&name, Some("$Latest"), None, spec, by);
        made.expect("a version");
    });
    let versions = scene.ec2.describe_launch_template_versions().versions("$Latest");
    let told = versions.launch_template_id(&scene.lab.template).send().await.expect("a version");
    let data = told.launch_template_versions()[0].launch_template_data().expect("its data");
    assert_eq!(data.network_interfaces()[0].ipv6_address_count(), Some(1));

    let autoscaling = scene.lab.autoscaling(&scene.lab.operator());
    let template = aws_sdk_autoscaling::types::LaunchTemplateSpecification::builder()
        .launch_template_id(&scene.lab.template)
        .version("$Latest");
    let create = autoscaling.create_auto_scaling_group().auto_scaling_group_name("workers");
    let create =
        create.launch_template(template.build()).vpc_zone_identifier(&scene.lab.subnets[0]);
    create.min_size(1).max_size(1).send().await.expect("a group");
    scene.lab.after(SECONDS_UNTIL_RUNNING);
    let found = scene.ec2.describe_instances().send().await.expect("a listing");
    let launched = &found.reservations()[0].instances()[0];
    assert!(scene.subnet_block.contains(&addresses(launched)[0]));
}

/// EC2 API Reference, "AssignIpv6Addresses", "UnassignIpv6Addresses"; "Error codes for the Amazon EC2
/// API", PrivateIpAddressLimitExceeded.
#[tokio::test]
async fn addresses_are_assigned_and_taken_away_as_far_as_the_type_allows() {
    let scene = Scene::new().await;
    let interface = interface_of(&scene.launch(Some(1)).await);
    let assign = || scene.ec2.assign_ipv6_addresses().network_interface_id(&interface);
    let more = assign().ipv6_address_count(2).send().await.expect("two more");
    assert_eq!(more.network_interface_id(), Some(interface.as_str()));
    assert_eq!(more.assigned_ipv6_addresses().len(), 2);
    let wanted = Ipv6Addr::from(u128::from(scene.subnet_block.network()) + 0x10);
    let named = assign().ipv6_addresses(wanted.to_string()).send().await.expect("this one");
    assert_eq!(named.assigned_ipv6_addresses(), [wanted.to_string()]);
    let held = || {
        let interfaces = scene
            .lab
            .region
            .with(|state, _| state.ec2.interface(&interface).expect("the interface").ipv6.clone());
        interfaces.len()
    };
    assert_eq!(held(), 4);
    assert_eq!(
        refusal(assign().ipv6_address_count(7).send().await),
        "400 PrivateIpAddressLimitExceeded: Number of private addresses will exceed limit."
    );
    assert!(refusal(assign().send().await).starts_with("400 MissingParameter: "));

    let unassign = |address: Ipv6Addr| {
        let unassign = scene.ec2.unassign_ipv6_addresses().network_interface_id(&interface);
        unassign.ipv6_addresses(address.to_string()).send()
    };
    let taken = unassign(wanted).await.expect("it is assigned");
    assert_eq!(taken.unassigned_ipv6_addresses(), [wanted.to_string()]);
    assert_eq!(held(), 3);
    assert_eq!(
        refusal(unassign(wanted).await),
        format!(
            "400 InvalidParameterValue: Some of the specified addresses are not assigned to interface {interface}"
        )
    );
    let absent = "eni-0123456789abcdef0";
    let assign = scene.ec2.assign_ipv6_addresses().network_interface_id(absent);
    assert_eq!(
        refusal(assign.ipv6_address_count(1).send().await),
        format!(
            "400 InvalidNetworkInterfaceID.NotFound: The networkInterface ID '{absent}' does not exist"
        )
    );
}

/// EC2 User Guide, "Instance metadata categories": ipv6, ipv6s, subnet-ipv6-cidr-blocks,
/// vpc-ipv6-cidr-blocks, vpc-ipv4-cidr-blocks; "if no IPv6 address exists … 404".
#[tokio::test]
async fn the_metadata_service_shows_an_interfaces_blocks_of_both_families() {
    let scene = Scene::new().await;
    let add = scene.ec2.associate_vpc_cidr_block().vpc_id(&scene.lab.vpc);
    add.cidr_block("100.64.0.0/16").send().await.expect("a secondary block");
    let with = scene.launch(Some(2)).await;
    let without = scene.launch(None).await;
    scene.lab.after(SECONDS_UNTIL_RUNNING);
    let shown = |instance: &Instance| {
        let address = instance.private_ip_address().expect("one").parse().expect("an address");
        let machine = scene.lab.region.with(|state, _| state.ec2.machine_at(address));
        let primary = machine.expect("it runs").interfaces[0].clone();
        (primary.ipv6s, primary.subnet_ipv6_cidrs, primary.vpc_ipv6_cidrs, primary.vpc_ipv4_cidrs)
    };
    let ipv4 = ["10.0.0.0/16", "100.64.0.0/16"].map(|cidr| cidr.parse().expect("a CIDR")).to_vec();
    let (subnet, vpc) = (vec![scene.subnet_block], vec![scene.block]);
    assert_eq!(shown(&with), (addresses(&with), subnet.clone(), vpc.clone(), ipv4.clone()));
    assert_eq!(shown(&without), (Vec::new(), subnet, vpc, ipv4));
    let by_ipv6 = addresses(&with)[1].into();
    let machine = scene.lab.region.with(|state, _| state.ec2.machine_at(by_ipv6));
    assert_eq!(machine.map(|machine| machine.instance_id).as_deref(), with.instance_id());
}
