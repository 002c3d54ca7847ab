//! The policies that Windlass ships, judged by the region: DESIGN section 7's table, row by row.

use integration::region::call::Caller;
use integration::region::iam::{Access, Decision};
use integration::region::{Settings, State};
use windlass::policies::{CLUSTER_TAG, Identity, Scope, render};

use crate::region_fixture::START;

const INSTANCE: &str = "i-0123456789abcdef0";
const GROUP: &str = "arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:5c0f:autoScalingGroupName/prod-workers";

/// Somebody with one of the policies for the cluster `prod` in the bucket `acme`.
struct Somebody {
    state: State,
    caller: Caller,
    userid: String,
}

impl Somebody {
    fn with(identity: Identity) -> Self {
        let scope = Scope {
            cluster: "prod".into(),
            bucket: "acme".into(),
            region: Some("eu-west-1".into()),
            account: Some("123456789012".into()),
            kms_key: Some("arn:aws:kms:eu-west-1:123456789012:key/one".into()),
        };
        let policy = render(identity, &scope).unwrap();
        let mut state = State::new(Settings::new(1, START));
        let State { iam, ids, .. } = &mut state;
        iam.add_role(ids, "node", &[("shipped", &policy)]).unwrap();
        let session = iam
            .open_session(ids, "node", INSTANCE, START, std::time::Duration::from_secs(60))
            .unwrap();
        let principal = iam.secret_of(&session.access_key).unwrap().principal.clone();
        let caller = Caller { access_key: session.access_key, principal };
        let userid = caller.userid();
        Self { state, caller, userid }
    }

    fn may(&mut self, access: &Access) -> bool {
        self.state.iam.allows(&self.caller, access) == Decision::Allowed
    }

    fn may_s3(&mut self, action: &str, key: &str) -> bool {
        self.may(&Access::new(format!("s3:{action}"), format!("arn:aws:s3:::acme/{key}")))
    }

    fn may_list(&mut self, prefix: &str) -> bool {
        self.may(&Access::new("s3:ListBucket", "arn:aws:s3:::acme").with("s3:prefix", prefix))
    }
}

fn completes(cluster: Option<&str>) -> Access {
    let access = Access::new("autoscaling:CompleteLifecycleAction", GROUP);
    match cluster {
        Some(cluster) => access.with(format!("aws:ResourceTag/{CLUSTER_TAG}"), cluster),
        None => access,
    }
}

#[test]
fn a_worker_reads_configuration_and_its_own_answer_and_writes_its_own_request() {
    let mut worker = Somebody::with(Identity::Worker);
    let own = worker.userid.clone();
    for (action, key) in [
        ("GetObject", "prod/config/abc.toml".to_owned()),
        ("GetObject", "prod/groups/workers".to_owned()),
        ("PutObject", format!("prod/inbox/{own}")),
        ("PutObject", format!("prod/nodes/{own}/report.json")),
        ("PutObject", format!("prod/nodes/{own}/drain.json")),
        ("GetObject", format!("prod/nodes/{own}/grant.json")),
        ("GetObject", format!("prod/nodes/{own}/denied.json")),
    ] {
        assert!(worker.may_s3(action, &key), "{action} {key}");
    }
    assert!(worker.may(&completes(Some("prod"))));
}

#[test]
fn a_worker_may_not_touch_keys_other_nodes_or_other_clusters() {
    let mut worker = Somebody::with(Identity::Worker);
    let own = worker.userid.clone();
    let other = own.replace(INSTANCE, "i-0fedcba9876543210");
    for (action, key) in [
        ("PutObject", format!("prod/inbox/{other}")),
        ("PutObject", format!("prod/inbox/{own}/more")),
        ("GetObject", format!("prod/inbox/{other}")),
        ("GetObject", format!("prod/nodes/{other}/grant.json")),
        ("PutObject", format!("prod/nodes/{own}/grant.json")),
        ("GetObject", "prod/pki/cluster/1.key".to_owned()),
        ("GetObject", "prod/leases.json".to_owned()),
        ("GetObject", "test/config/abc.toml".to_owned()),
        ("DeleteObject", format!("prod/inbox/{own}")),
    ] {
        assert!(!worker.may_s3(action, &key), "{action} {key}");
    }
    assert!(!worker.may_list("prod/inbox/"));
    assert!(!worker.may(&Access::new("ec2:DescribeInstances", "*")));
    assert!(!worker.may(&completes(Some("test"))));
    assert!(!worker.may(&completes(None)), "a group without the tag");
}

#[test]
fn a_control_plane_answers_requests_and_an_operator_does_not() {
    let mut control_plane = Somebody::with(Identity::ControlPlane);
    let mut operator = Somebody::with(Identity::Operator);
    for key in [
        "prod/nodes/AROAX:i-1/grant.json",
        "prod/leases.json",
        "prod/leader",
        "prod/audit/2026-11-23/1.json",
    ] {
        assert!(control_plane.may_s3("PutObject", key), "{key}");
        assert!(!operator.may_s3("PutObject", key), "{key}");
    }
    assert!(control_plane.may_list("prod/inbox/"));
    assert!(!control_plane.may_list("test/inbox/"));
    assert!(!control_plane.may_s3("PutObject", "prod/config/abc.toml"));
    assert!(operator.may_s3("PutObject", "prod/config/abc.toml"));
    assert!(!control_plane.may(&Access::new("ec2:RunInstances", "*")));
    assert!(!control_plane.may(&Access::new("iam:PassRole", "*")));
}
