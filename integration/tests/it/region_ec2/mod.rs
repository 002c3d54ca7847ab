//! The region's EC2, driven by the Rust SDK. Each strict rule names the page of the AWS
//! documentation that it follows.

mod allowed;
mod described;
mod made;
mod states;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::builders::LaunchTemplateSpecificationBuilder;
use aws_sdk_ec2::types::{
    Filter, Instance, LaunchTemplateSpecification, ResourceType, Tag, TagSpecification,
};

use crate::region_clients::Lab;

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
