//! The rules one by one. What EC2 says of an instance is given here; the way from a socket is
//! tested with a whole region.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use time::macros::datetime;

use super::door::{Entered, enter};
use super::tree::tree;
use super::*;
use crate::region::Settings;
use crate::region::state::State;

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
        interfaces: vec![interface],
    }
}

/// Amazon EC2 User Guide, "How Instance Metadata Service Version 2 works".
#[test]
fn a_token_wants_a_ttl_between_a_second_and_six_hours() {
    let mut instance = Instance::launched();
    let mut put = |ttl: Option<&str>| {
        let request = Request::put("/latest/api/token");
        let request = match ttl {
            Some(ttl) => request.header("x-aws-ec2-metadata-token-ttl-seconds", ttl),
            None => request,
        };
        instance.enters(request).map(|_| ())
    };
    for refused in [None, Some("0"), Some("21601"), Some("-1"), Some(""), Some("1h"), Some("1.5")] {
        assert_eq!(put(refused), Err(StatusCode::BAD_REQUEST), "{refused:?}");
    }
    assert_eq!(put(Some("1")), Ok(()));
    assert_eq!(put(Some("21600")), Ok(()));
}

/// The same page: "requests with an X-Forwarded-For header are rejected".
#[test]
fn a_token_is_not_given_through_a_proxy() {
    let request = Request::put("/latest/api/token")
        .header("x-aws-ec2-metadata-token-ttl-seconds", "60")
        .header("x-forwarded-for", "10.0.0.1");
    assert_eq!(Instance::launched().enters(request), Err(StatusCode::FORBIDDEN));
}

/// Amazon EC2 User Guide, "Access instance metadata", its table of response codes.
#[test]
fn other_methods_are_405() {
    let mut instance = Instance::launched();
    let token = instance.token("60");
    let with = |method: Method, path: &str| {
        Request::builder()
            .method(method)
            .uri(path)
            .header("x-aws-ec2-metadata-token", token.clone())
    };
    for (method, path) in [
        (Method::POST, "/latest/meta-data/"),
        (Method::DELETE, "/latest/meta-data/"),
        (Method::PUT, "/latest/meta-data/"),
        (Method::PUT, "/latest/user-data"),
        (Method::GET, "/latest/api/token"),
    ] {
        assert_eq!(
            instance.enters(with(method.clone(), path)),
            Err(StatusCode::METHOD_NOT_ALLOWED),
            "{method} {path}"
        );
    }
    assert!(instance.enters(with(Method::HEAD, "/latest/meta-data/")).is_ok());
}

/// The same table, 401: a token that is missing, of somebody else, or expired.
#[test]
fn without_a_good_token_of_ones_own_nothing_is_read() {
    let mut instance = Instance::launched();
    let token = instance.token("60");
    let read = |path: &str| Request::get(path.to_owned());
    assert_eq!(
        instance.enters(read("/latest/meta-data/instance-id")),
        Err(StatusCode::UNAUTHORIZED)
    );
    assert_eq!(instance.enters(read("/latest/no-such-thing")), Err(StatusCode::UNAUTHORIZED));
    assert_eq!(instance.reads("/latest/user-data", "AQAEAAAA"), Err(StatusCode::UNAUTHORIZED));
    let entered = Entered::Read { path: "user-data".into(), left: Some(Duration::from_secs(60)) };
    assert_eq!(instance.reads("/latest/user-data", &token), Ok(entered));

    let other = machine("i-0b", 11);
    let own = std::mem::replace(&mut instance.machine, other);
    assert_eq!(instance.reads("/latest/user-data", &token), Err(StatusCode::UNAUTHORIZED));
    instance.machine = own;

    instance.later(59);
    assert!(instance.reads("/latest/user-data", &token).is_ok());
    instance.later(1);
    assert_eq!(instance.reads("/latest/user-data", &token), Err(StatusCode::UNAUTHORIZED));
}

#[test]
fn tokens_do_not_survive_a_stop() {
    let mut instance = Instance::launched();
    let token = instance.token("21600");
    instance.machine.launched_at += Duration::from_secs(30);
    assert_eq!(instance.reads("/latest/user-data", &token), Err(StatusCode::UNAUTHORIZED));
}

/// Amazon EC2 User Guide, "Configure the Instance Metadata Service options": `HttpTokens`,
/// `HttpEndpoint`.
#[test]
fn version_one_is_served_only_where_tokens_are_optional() {
    let mut instance = Instance::launched();
    instance.machine.options.tokens_required = false;
    let entered = Entered::Read { path: "meta-data/mac".into(), left: None };
    assert_eq!(instance.enters(Request::get("/latest/meta-data/mac")), Ok(entered));
    assert_eq!(instance.reads("/latest/meta-data/mac", "AQAEAAAA"), Err(StatusCode::UNAUTHORIZED));
    instance.machine.options.endpoint_enabled = false;
    assert_eq!(instance.enters(Request::get("/latest/meta-data/mac")), Err(StatusCode::FORBIDDEN));
    assert_eq!(instance.enters(Request::put("/latest/api/token")), Err(StatusCode::FORBIDDEN));
}

#[test]
fn versions_are_listed_and_others_are_404() {
    let mut instance = Instance::launched();
    let token = instance.token("60");
    assert_eq!(instance.reads("/", &token), Ok(Entered::Versions));
    assert!(instance.reads("/2021-07-15/meta-data/", &token).is_ok());
    assert_eq!(instance.reads("/2021-07-16/meta-data/", &token), Err(StatusCode::NOT_FOUND));
}

/// Amazon EC2 User Guide, "Instance metadata categories".
#[test]
fn every_key_that_a_boot_reads_is_there() {
    let mut instance = Instance::launched();
    let mac = "meta-data/network/interfaces/macs/02:00:00:00:00:0a";
    for (path, wanted) in [
        ("meta-data/instance-id", "i-0a"),
        ("meta-data/instance-type", "m7g.large"),
        ("meta-data/ami-id", "ami-0a"),
        ("meta-data/local-ipv4", "10.0.1.10"),
        ("meta-data/local-hostname", "ip-10-0-1-10.eu-west-1.compute.internal"),
        ("meta-data/mac", "02:00:00:00:00:0a"),
        ("meta-data/instance-life-cycle", "on-demand"),
        ("meta-data/placement", "availability-zone\navailability-zone-id\nregion"),
        ("meta-data/placement/availability-zone", "eu-west-1a"),
        ("meta-data/placement/availability-zone-id", "euw1-az1"),
        ("meta-data/placement/region", "eu-west-1"),
        ("meta-data/services/domain", "amazonaws.com"),
        ("meta-data/services/partition", "aws"),
        ("meta-data/network/interfaces/macs/", "02:00:00:00:00:0a/"),
        (&format!("{mac}/interface-id"), "eni-0a"),
        (&format!("{mac}/device-number"), "0"),
        (&format!("{mac}/local-ipv4s"), "10.0.1.10\n10.0.1.99"),
        (&format!("{mac}/ipv6s"), "2001:db8::a"),
        (&format!("{mac}/subnet-id"), "subnet-0a"),
        (&format!("{mac}/subnet-ipv4-cidr-block"), "10.0.1.0/24"),
        (&format!("{mac}/subnet-ipv6-cidr-blocks"), "2001:db8::/64"),
        (&format!("{mac}/vpc-id"), "vpc-0a"),
        (&format!("{mac}/vpc-ipv4-cidr-block"), "10.0.0.0/16"),
        (&format!("{mac}/vpc-ipv4-cidr-blocks"), "10.0.0.0/16\n100.64.0.0/16"),
        (&format!("{mac}/vpc-ipv6-cidr-blocks"), "2001:db8::/56"),
        (&format!("{mac}/security-group-ids"), "sg-0a"),
        (&format!("{mac}/security-groups"), "nodes"),
        (&format!("{mac}/owner-id"), "123456789012"),
        ("meta-data/iam/", "info\nsecurity-credentials/"),
        ("meta-data/iam/security-credentials/", "worker"),
    ] {
        assert_eq!(instance.text(path).as_deref(), Some(wanted), "{path}");
    }
    let document = instance.json("dynamic/instance-identity/document");
    assert_eq!(document["instanceId"], "i-0a");
    assert_eq!(document["architecture"], "arm64");
    assert_eq!(document["privateIp"], "10.0.1.10");
    assert_eq!(document["pendingTime"], "2026-11-23T12:00:00Z");
    assert_eq!(document["region"], "eu-west-1");
    let tree = tree(&mut instance.state, &instance.machine, START, START);
    assert_eq!(tree.read("user-data").as_deref(), Some(&b"\x1f\x8b\x00binary"[..]));
}

#[test]
fn what_is_not_there_is_absent() {
    let mut instance = Instance::launched();
    instance.machine.user_data = None;
    for path in [
        "user-data",
        "meta-data/public-ipv4",
        "meta-data/spot/instance-action",
        "meta-data/spot/termination-time",
        "meta-data/events/recommendations/rebalance",
        "meta-data/events/maintenance/scheduled",
        "meta-data/autoscaling/target-lifecycle-state",
        "meta-data/tags/instance",
        "meta-data/mac/",
    ] {
        assert_eq!(instance.text(path), None, "{path}");
    }
}

/// Amazon EC2 User Guide, "View tags for your EC2 instances using instance metadata".
#[test]
fn tags_are_there_when_the_metadata_options_say_so() {
    let mut instance = Instance::launched();
    instance.machine.options.instance_tags_enabled = true;
    assert_eq!(instance.text("meta-data/tags/instance").as_deref(), Some("Name\nwindlass:cluster"));
    assert_eq!(instance.text("meta-data/tags/instance/windlass:cluster").as_deref(), Some("prod"));
}

/// Amazon EC2 User Guide, "Retrieve security credentials from instance metadata".
#[test]
fn role_credentials_come_after_a_moment_and_are_renewed_before_they_expire() {
    let mut instance = Instance::launched();
    instance.state.imds.credentials_delay = Duration::from_secs(2);
    instance.state.imds.credentials_lifetime = Duration::from_secs(3600);
    let path = "meta-data/iam/security-credentials/worker";
    instance.now = START + Duration::from_secs(1);
    assert_eq!(instance.text("meta-data/iam/security-credentials/"), None);
    assert_eq!(instance.text("meta-data/iam/info"), None);

    instance.now = START + Duration::from_secs(2);
    let first = instance.json(path);
    assert_eq!(first["Code"], "Success");
    assert_eq!(first["Expiration"], "2026-11-23T13:00:02Z");
    let access_key = first["AccessKeyId"].as_str().expect("a key").to_owned();
    let key = instance.state.iam.secret_of(&access_key).expect("IAM knows it").clone();
    assert_eq!(first["SecretAccessKey"], key.secret);
    assert_eq!(first["Token"].as_str(), key.session_token.as_deref());
    assert_eq!(key.principal.label(), "i-0a");

    instance.later(1799);
    assert_eq!(instance.json(path)["AccessKeyId"], first["AccessKeyId"]);
    instance.later(1);
    assert_ne!(instance.json(path)["AccessKeyId"], first["AccessKeyId"]);
    assert!(
        instance.state.iam.secret_of(&access_key).is_some(),
        "the old ones are good until they expire"
    );

    instance.machine.instance_profile = None;
    assert_eq!(instance.text("meta-data/iam/info"), None);
}

/// Amazon EC2 User Guide, "Spot Instance interruption notices", "EC2 instance rebalance
/// recommendations" and "Scheduled events for your instances".
#[test]
fn notices_are_there_once_they_are_given() {
    let mut instance = Instance::launched();
    let at = datetime!(2026-11-23 12:02:00 UTC);
    *instance.state.imds.notices("i-0a") = Notices {
        spot: Some(SpotAction { action: "terminate".into(), at }),
        rebalance: Some(at),
        maintenance: vec![Maintenance {
            event_id: "instance-event-0d59937288b749b32".into(),
            code: "system-reboot".into(),
            description: "scheduled reboot".into(),
            not_before: at,
            not_after: None,
            state: "active".into(),
        }],
    };
    assert_eq!(instance.json("meta-data/spot/instance-action")["time"], "2026-11-23T12:02:00Z");
    assert_eq!(
        instance.text("meta-data/spot/termination-time").as_deref(),
        Some("2026-11-23T12:02:00Z")
    );
    assert_eq!(
        instance.json("meta-data/events/recommendations/rebalance")["noticeTime"],
        "2026-11-23T12:02:00Z"
    );
    assert_eq!(
        instance.json("meta-data/events/maintenance/scheduled")[0]["NotBefore"],
        "23 Nov 2026 12:02:00 GMT"
    );
    instance.state.imds.notices("i-0b");
    instance.machine.instance_id = "i-0b".into();
    assert_eq!(instance.text("meta-data/spot/instance-action"), None);
}
