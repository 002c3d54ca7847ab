//! The model as a whole: `model` what launches, stops and ends leave behind, `announced` what AWS
//! does of its own accord.

mod announced;
mod model;

use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;

use super::*;
use crate::region::Settings;
use crate::region::call::ServiceError;

const NOON: OffsetDateTime = datetime!(2026-11-23 12:00:00 UTC);

/// A region with one VPC and one subnet, 10.0.1.0/28: eleven addresses.
struct Fixture {
    state: State,
    vpc: String,
    subnet: String,
}

impl Fixture {
    fn new() -> Self {
        let mut state = State::new(Settings::new(7, NOON));
        let (ec2, ids) = (&mut state.ec2, &mut state.ids);
        let vpc = ec2.create_vpc(ids, "10.0.0.0/16").expect("a VPC");
        let subnet = ec2.create_subnet(ids, &vpc, None, "10.0.1.0/28").expect("a subnet");
        Self { state, vpc, subnet }
    }

    fn order(&self, count: u32) -> Order {
        let spec = LaunchSpec {
            image: Some(IMAGE_X86_64.to_owned()),
            instance_type: Some("m5.large".to_owned()),
            subnet: Some(self.subnet.clone()),
            ..LaunchSpec::default()
        };
        Order { spec, count, client_token: None, aws_tags: Tags::new(), now: NOON }
    }

    fn launch(&mut self, order: &Order) -> Result<Vec<String>, ServiceError> {
        self.state.ec2.launch(&mut self.state.ids, &self.state.iam, order)
    }

    fn one(&mut self) -> String {
        self.launch(&self.order(1)).expect("an instance").remove(0)
    }

    /// So long after noon.
    fn after(&mut self, seconds: u64) {
        self.state.advance(at(seconds));
    }

    fn state_of(&self, id: &str) -> Option<&'static str> {
        self.state.ec2.instance(id).map(|held| held.state.name())
    }
}

fn at(seconds: u64) -> OffsetDateTime {
    NOON + Duration::from_secs(seconds)
}
