//! The keys and what is behind them.

use super::*;

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
        ("meta-data/ipv6", "2001:db8::a"),
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
    let primary = &mut instance.machine.interfaces[0];
    primary.ipv6s.clear();
    primary.subnet_ipv6_cidrs.clear();
    primary.vpc_ipv6_cidrs.clear();
    let mac = "meta-data/network/interfaces/macs/02:00:00:00:00:0a";
    for path in [
        "meta-data/ipv6",
        &format!("{mac}/ipv6s"),
        &format!("{mac}/subnet-ipv6-cidr-blocks"),
        &format!("{mac}/vpc-ipv6-cidr-blocks"),
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
