//! IPv6 blocks of VPCs and subnets, and secondary IPv4 blocks, driven by the Rust SDK. Each strict rule names the
//! page of the AWS documentation that it follows, or where it was seen.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    AttributeBooleanValue, Filter, Instance, LaunchTemplateSpecification, Route, Subnet,
    SubnetCidrBlockStateCode, VpcCidrBlockStateCode,
};
use integration::region::iam::ADMINISTRATOR;
use ipnet::Ipv6Net;

use crate::region_clients::{Lab, refusal};

/// Pending takes two seconds and the moment after it, when routes are refused, another one.
const SECONDS_UNTIL_SETTLED: u64 = 3;

/// A region whose VPC has IPv6, and so does its first subnet.
pub struct Scene {
    pub lab: Lab,
    pub ec2: Client,
    /// The VPC's, a /56.
    pub block: Ipv6Net,
    /// The first subnet's, a /64.
    pub subnet_block: Ipv6Net,
}

impl Scene {
    pub async fn new() -> Self {
        let lab = Lab::new(ADMINISTRATOR);
        let ec2 = lab.ec2(&lab.operator());
        let associate = ec2.associate_vpc_cidr_block().vpc_id(&lab.vpc);
        let told = associate.amazon_provided_ipv6_cidr_block(true).send().await.expect("a block");
        let told = told.ipv6_cidr_block_association().expect("an IPv6 block");
        let state = told.ipv6_cidr_block_state().and_then(|state| state.state());
        assert_eq!(state, Some(&VpcCidrBlockStateCode::Associating));
        let block: Ipv6Net = told.ipv6_cidr_block().expect("a CIDR").parse().expect("a CIDR");
        let subnet_block = part(block, 1);
        let associate = ec2.associate_subnet_cidr_block().subnet_id(&lab.subnets[0]);
        associate.ipv6_cidr_block(subnet_block.to_string()).send().await.expect("a subnet's block");
        Self { lab, ec2, block, subnet_block }
    }

    pub async fn assign_on_creation(&self, on: bool) {
        let value = AttributeBooleanValue::builder().value(on).build();
        let modify = self.ec2.modify_subnet_attribute().subnet_id(&self.lab.subnets[0]);
        modify.assign_ipv6_address_on_creation(value).send().await.expect("changed");
    }

    /// An instance of the template in the first subnet.
    pub async fn launch(&self, ipv6: Option<i32>) -> Instance {
        let template =
            LaunchTemplateSpecification::builder().launch_template_id(&self.lab.template);
        let run = self.ec2.run_instances().launch_template(template.build());
        let run = run.min_count(1).max_count(1).subnet_id(&self.lab.subnets[0]);
        let launched = run.set_ipv6_address_count(ipv6).send().await.expect("an instance");
        launched.instances()[0].clone()
    }

    async fn subnet(&self) -> Subnet {
        let told = self.ec2.describe_subnets().subnet_ids(&self.lab.subnets[0]).send().await;
        told.expect("the subnet").subnets()[0].clone()
    }
}

/// The nth /64 of a VPC's block.
fn part(block: Ipv6Net, n: u128) -> Ipv6Net {
    Ipv6Net::new(Ipv6Addr::from(u128::from(block.network()) + (n << 64)), 64).expect("a /64")
}

pub fn interface_of(instance: &Instance) -> String {
    instance.network_interfaces()[0].network_interface_id().expect("an ID").to_owned()
}

pub fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// Amazon VPC User Guide, "VPC CIDR blocks": an Amazon-provided /56; "Configure route tables": a
/// local route for it. EC2 API Reference, "AssociateVpcCidrBlock", Ipv6CidrBlockNetworkBorderGroup:
/// "You can have one IPv6 CIDR block association per network border group."
#[tokio::test]
async fn a_vpc_has_one_ipv6_block_of_amazons_and_its_tables_a_local_route_for_it() {
    let scene = Scene::new().await;
    assert_eq!(scene.block.prefix_len(), 56);
    let told = scene.ec2.describe_vpcs().vpc_ids(&scene.lab.vpc).send().await.expect("the VPC");
    let [held] = told.vpcs()[0].ipv6_cidr_block_association_set() else { panic!("{told:?}") };
    assert!(held.association_id().is_some_and(|id| id.starts_with("vpc-cidr-assoc-")));
    assert_eq!(held.ipv6_cidr_block(), Some(scene.block.to_string().as_str()));
    let state = held.ipv6_cidr_block_state().and_then(|state| state.state());
    assert_eq!(state, Some(&VpcCidrBlockStateCode::Associated));
    assert_eq!(
        (held.network_border_group(), held.ipv6_pool()),
        (Some("eu-west-1"), Some("Amazon"))
    );

    let by_block = filter("ipv6-cidr-block-association.ipv6-cidr-block", &scene.block.to_string());
    let found = scene.ec2.describe_vpcs().filters(by_block).send().await.expect("a listing");
    assert_eq!(found.vpcs().len(), 1);

    let local = |route: &&Route| route.gateway_id() == Some("local");
    let tables = scene.ec2.describe_route_tables().send().await.expect("the tables");
    let mut routes = tables.route_tables()[0].routes().iter().filter(local);
    let ipv6 = routes.find_map(|route| route.destination_ipv6_cidr_block().map(str::to_owned));
    assert_eq!(ipv6, Some(scene.block.to_string()));

    let again = scene.ec2.associate_vpc_cidr_block().vpc_id(&scene.lab.vpc);
    assert_eq!(
        refusal(again.amazon_provided_ipv6_cidr_block(true).send().await),
        format!(
            "400 CidrLimitExceeded: This network '{}' has met its maximum number of allowed CIDRs: 1",
            scene.lab.vpc
        )
    );
    let neither = scene.ec2.associate_vpc_cidr_block().vpc_id(&scene.lab.vpc).send().await;
    assert!(refusal(neither).starts_with("400 MissingParameter: "));
}

/// EC2 API Reference, "CreateVpc": AmazonProvidedIpv6CidrBlock.
#[tokio::test]
async fn a_vpc_may_be_made_with_ipv6_and_no_two_have_the_same() {
    let scene = Scene::new().await;
    let mut blocks = BTreeSet::from([scene.block.to_string()]);
    for number in 1..4 {
        let create = scene.ec2.create_vpc().cidr_block(format!("10.{number}.0.0/16"));
        let made = create.amazon_provided_ipv6_cidr_block(true).send().await.expect("a VPC");
        let made = made.vpc().expect("a VPC");
        let told = made.ipv6_cidr_block_association_set()[0].ipv6_cidr_block().expect("a CIDR");
        assert!(blocks.insert(told.to_owned()), "{told} was given before");
    }
}

/// Amazon VPC User Guide, "Subnet CIDR blocks". The messages as seen in issues 28775 and 31913 of
/// hashicorp/terraform-provider-aws.
#[tokio::test]
async fn a_subnets_ipv6_block_is_a_part_of_the_vpcs_that_no_other_has() {
    let scene = Scene::new().await;
    let subnet = scene.subnet().await;
    let [held] = subnet.ipv6_cidr_block_association_set() else { panic!("{subnet:?}") };
    assert!(held.association_id().is_some_and(|id| id.starts_with("subnet-cidr-assoc-")));
    assert_eq!(held.ipv6_cidr_block(), Some(scene.subnet_block.to_string().as_str()));
    let state = held.ipv6_cidr_block_state().and_then(|state| state.state());
    assert_eq!(state, Some(&SubnetCidrBlockStateCode::Associated));

    let create = |ipv4: &str, ipv6: &str| {
        let create = scene.ec2.create_subnet().vpc_id(&scene.lab.vpc).cidr_block(ipv4);
        create.ipv6_cidr_block(ipv6).send()
    };
    let outside = "2600:1f18:7cb4:2e01::/64";
    assert_eq!(
        refusal(create("10.0.3.0/24", outside).await),
        format!("400 InvalidSubnet.Range: The IPv6 CIDR '{outside}' is invalid.")
    );
    let small = format!("{}/72", scene.block.network());
    assert_eq!(
        refusal(create("10.0.3.0/24", &small).await),
        format!("400 InvalidParameterValue: invalid value for parameter ipv6-cidr-block: {small}")
    );
    assert_eq!(
        refusal(create("10.0.3.0/24", &scene.subnet_block.to_string()).await),
        format!(
            "400 InvalidSubnet.Conflict: The IPv6 CIDR '{}' conflicts with another subnet",
            scene.subnet_block
        )
    );
    let told = scene.ec2.describe_subnets().send().await.expect("the subnets");
    assert_eq!(told.subnets().len(), 2, "a refused subnet is not there");

    let wanted = part(scene.block, 3).to_string();
    let made = create("10.0.3.0/24", &wanted).await.expect("a subnet");
    let made = made.subnet().expect("a subnet");
    assert_eq!(made.ipv6_cidr_block_association_set()[0].ipv6_cidr_block(), Some(wanted.as_str()));
    let second = scene.ec2.associate_subnet_cidr_block().subnet_id(&scene.lab.subnets[0]);
    let second = second.ipv6_cidr_block(part(scene.block, 4).to_string()).send().await;
    assert!(refusal(second).starts_with("400 InvalidSubnet.Conflict: "));
}

/// EC2 API Reference, "ModifySubnetAttribute": AssignIpv6AddressOnCreation; the message as seen in
/// issue 735 of terraform-aws-modules/terraform-aws-vpc.
#[tokio::test]
async fn only_a_subnet_with_ipv6_may_assign_it_on_creation() {
    let scene = Scene::new().await;
    let on = || AttributeBooleanValue::builder().value(true).build();
    let without = &scene.lab.subnets[1];
    let modify = scene.ec2.modify_subnet_attribute().subnet_id(without);
    assert_eq!(
        refusal(modify.assign_ipv6_address_on_creation(on()).send().await),
        format!(
            "400 InvalidParameterValue: Invalid value 'true' for assign-ipv6-address-on-creation. Cannot set assign-ipv6-address-on-creation to true unless the subnet ({without}) has an IPv6 CIDR block associated with it."
        )
    );
    let both = scene.ec2.modify_subnet_attribute().subnet_id(&scene.lab.subnets[0]);
    let both = both.assign_ipv6_address_on_creation(on()).map_public_ip_on_launch(on());
    assert_eq!(
        refusal(both.send().await),
        "400 InvalidParameterCombination: Only one subnet attribute can be modified at a time"
    );
    assert_eq!(scene.subnet().await.assign_ipv6_address_on_creation(), Some(false));
    scene.assign_on_creation(true).await;
    assert_eq!(scene.subnet().await.assign_ipv6_address_on_creation(), Some(true));
}

/// Amazon VPC User Guide, "Configure route tables": "You can add a route that is more specific than
/// the local route", for a subnet's whole IPv6 block too.
#[tokio::test]
async fn a_route_may_cover_a_subnets_ipv6_block_and_no_other_part_of_the_vpcs() {
    let scene = Scene::new().await;
    let instance = scene.launch(Some(1)).await;
    scene.lab.after(SECONDS_UNTIL_SETTLED);
    let table = scene.lab.region.with(|state, _| {
        state.ec2.table_of_subnet(&scene.lab.subnets[0]).expect("a table").id.clone()
    });
    let create = |destination: Ipv6Net| {
        let create = scene.ec2.create_route().route_table_id(&table);
        let create = create.destination_ipv6_cidr_block(destination.to_string());
        create.network_interface_id(interface_of(&instance)).send()
    };
    create(scene.subnet_block).await.expect("a subnet's whole block");
    let refused = refusal(create(part(scene.block, 9)).await);
    assert!(refused.starts_with("400 InvalidParameterValue: The destination CIDR block "));
    create("fd00:64:0:1::/64".parse().expect("a CIDR")).await.expect("not in the VPC");
}

/// Amazon VPC User Guide, "VPC CIDR blocks": "IPv4 CIDR block association restrictions"; "Amazon VPC
/// quotas": five IPv4 blocks.
#[tokio::test]
async fn secondary_ipv4_blocks_are_told_and_restricted() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let add = |cidr: &str| ec2.associate_vpc_cidr_block().vpc_id(&lab.vpc).cidr_block(cidr).send();
    let added = add("100.64.0.0/16").await.expect("a block");
    let added = added.cidr_block_association().expect("an IPv4 block");
    let state = added.cidr_block_state().and_then(|state| state.state());
    assert_eq!(state, Some(&VpcCidrBlockStateCode::Associating));
    assert_eq!(
        refusal(add("192.168.0.0/16").await),
        "400 InvalidVpc.Range: The CIDR '192.168.0.0/16' is restricted. Use a CIDR from the same private address range as the current VPC CIDR, or use a publicly-routable CIDR.\nFor additional restrictions, see https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html"
    );
    assert!(refusal(add("100.64.7.0/24").await).starts_with("400 CidrConflict: "));

    let table = lab
        .region
        .with(|state, _| state.ec2.table_of_subnet(&lab.subnets[0]).expect("a table").id.clone());
    let gateway = lab.region.with(|state, _| {
        let id = state.ec2.create_internet_gateway(&mut state.ids);
        state.ec2.attach_internet_gateway(&id, &lab.vpc).expect("attached");
        id
    });
    let route = ec2.create_route().route_table_id(&table).destination_cidr_block("10.9.1.0/24");
    route.gateway_id(&gateway).send().await.expect("a route");
    assert!(refusal(add("10.9.0.0/16").await).starts_with("400 CidrConflict: "));

    for third in ["10.1.0.0/16", "10.2.0.0/16", "203.0.113.0/24"] {
        add(third).await.expect("a block");
    }
    let told = ec2.describe_vpcs().vpc_ids(&lab.vpc).send().await.expect("the VPC");
    let blocks = told.vpcs()[0].cidr_block_association_set().iter();
    let blocks: Vec<&str> = blocks.filter_map(|held| held.cidr_block()).collect();
    let wanted = ["10.0.0.0/16", "100.64.0.0/16", "10.1.0.0/16", "10.2.0.0/16", "203.0.113.0/24"];
    assert_eq!(blocks, wanted);
    assert_eq!(
        refusal(add("10.3.0.0/16").await),
        format!(
            "400 CidrLimitExceeded: This network '{}' has met its maximum number of allowed CIDRs: 5",
            lab.vpc
        )
    );
}
