//! The rules one by one: `door` who comes in, `content` what is there, `announced` what AWS has in
//! mind. What EC2 says of an instance is given here; the way from a socket is tested with a whole
//! region.

mod announced;
mod content;
mod door;

use bytes::Bytes;
use http::{Request, StatusCode};
use time::macros::datetime;

use super::door::{Entered, enter};
use super::tree::tree;
use super::*;
use crate::region::ec2::Announced;
use crate::region::state::State;
use crate::region::{Profile, Settings};

const START: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

/// A region of one instance, and the time that it is there.
struct Instance {
    state: State,
    machine: Machine,
    now: OffsetDateTime,
}

impl Instance {
    fn launched() -> Self {
        let mut state = State::new(Settings::new(5, START));
        let State { iam, ids, .. } = &mut state;
        iam.add_role(ids, "worker", &[]).expect("a role");
        Self { state, machine: machine("i-0a", 10), now: START + Duration::from_secs(60) }
    }

    fn enters(&mut self, request: http::request::Builder) -> Result<Entered, StatusCode> {
        let request = request.body(()).expect("a request").into_parts().0;
        let State { imds, ids, .. } = &mut self.state;
        enter(imds, ids, &self.machine, &request, self.now)
    }

    fn token(&mut self, ttl_seconds: &str) -> String {
        match self.enters(
            Request::put("/latest/api/token")
                .header("x-aws-ec2-metadata-token-ttl-seconds", ttl_seconds),
        ) {
            Ok(Entered::Token { token, .. }) => token,
            other => panic!("wanted a token, got {other:?}"),
        }
    }

    /// What a read with that token is let in to, or the status.
    fn reads(&mut self, path: &str, token: &str) -> Result<Entered, StatusCode> {
        self.enters(Request::get(path).header("x-aws-ec2-metadata-token", token))
    }

    fn text(&mut self, path: &str) -> Option<String> {
        let tree = tree(&mut self.state, &self.machine, self.now, self.now);
        tree.read(path).map(|text| String::from_utf8(text.to_vec()).expect("UTF-8"))
    }

    fn json(&mut self, path: &str) -> serde_json::Value {
        serde_json::from_str(&self.text(path).unwrap_or_default()).expect("JSON")
    }

    fn later(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

fn machine(id: &str, last: u8) -> Machine {
    let interface = Interface {
        id: "eni-0a".into(),
        device_number: 0,
        mac: "02:00:00:00:00:0a".into(),
        private_dns_name: "ip-10-0-1-10.eu-west-1.compute.internal".into(),
        private_ipv4s: vec![[10, 0, 1, last].into(), [10, 0, 1, 99].into()],
        public_ipv4s: Vec::new(),
        ipv6s: vec!["2001:db8::a".parse().expect("an address")],
        subnet_id: "subnet-0a".into(),
        subnet_ipv4_cidr: "10.0.1.0/24".parse().expect("a network"),
        subnet_ipv6_cidrs: vec!["2001:db8::/64".parse().expect("a network")],
        vpc_id: "vpc-0a".into(),
        vpc_ipv4_cidrs: vec![
            "10.0.0.0/16".parse().expect("a network"),
            "100.64.0.0/16".parse().expect("a network"),
        ],
        vpc_ipv6_cidrs: vec!["2001:db8::/56".parse().expect("a network")],
        security_groups: vec![SecurityGroup { id: "sg-0a".into(), name: "nodes".into() }],
        owner_id: "123456789012".into(),
    };
    Machine {
        instance_id: id.into(),
        reservation_id: "r-0a".into(),
        ami_id: "ami-0a".into(),
        ami_launch_index: 0,
        instance_type: "m7g.large".into(),
        availability_zone: "eu-west-1a".into(),
        availability_zone_id: "euw1-az1".into(),
        life_cycle: "on-demand".into(),
        private_dns_name: interface.private_dns_name.clone(),
        public_dns_name: None,
        launched_at: START,
        user_data: Some(Bytes::from_static(b"\x1f\x8b\x00binary")),
        tags: BTreeMap::from([
            ("Name".into(), "one".into()),
            ("windlass:cluster".into(), "prod".into()),
        ]),
        instance_profile: Some("arn:aws:iam::123456789012:instance-profile/worker".into()),
        options: MetadataOptions::default(),
        announced: Announced::default(),
        interfaces: vec![interface],
    }
}
