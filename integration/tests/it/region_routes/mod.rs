//! The region's routes, driven by the Rust SDK. Each strict rule names the page of the AWS
//! documentation that it follows, or where it was seen.

mod asked;
mod changed;
mod refused;
mod targets;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::create_route::builders::CreateRouteFluentBuilder;
use aws_sdk_ec2::types::{Filter, Route};
use integration::region::ec2::{IMAGE_X86_64, InterfaceSpec, LaunchSpec, Order, Tags};
use integration::region::iam::ADMINISTRATOR;

use crate::region_clients::Lab;

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
