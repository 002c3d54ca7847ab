//! What a scene's cluster consists of: networks, roles with the shipped policies, configuration.

use windlass::config::NodeConfig;
use windlass::pki::CertificateAuthority;
use windlass::policies::{CLUSTER_TAG, Identity, Scope, render};

use super::scene::{BUCKET, CLUSTER, CONTROL_PLANE, STRANGERS, Setting, WORKERS};
use crate::region::Region;
use crate::region::ec2::{Ec2, Tags};

/// The cluster's VPC and subnet, and the subnet of another one; the roles.
pub fn networks(region: &Region) -> (String, String, String) {
    let scope = Scope {
        cluster: CLUSTER.to_owned(),
        bucket: BUCKET.to_owned(),
        region: Some("eu-west-1".to_owned()),
        account: None,
        kms_key: None,
    };
    region.with(|state, _| {
        for (role, identity) in [
            (CONTROL_PLANE, Identity::ControlPlane),
            (WORKERS, Identity::Worker),
            (STRANGERS, Identity::Worker),
        ] {
            let policy = render(identity, &scope).expect("a policy");
            state.iam.add_role(&mut state.ids, role, &[(role, &policy)]).expect("a role");
        }
        let (ec2, ids) = (&mut state.ec2, &mut state.ids);
        let mut network = |cidr: &str, subnet: &str| {
            let vpc = ec2.create_vpc(ids, cidr).expect("a VPC");
            let subnet = ec2.create_subnet(ids, &vpc, None, subnet).expect("a subnet");
            (vpc, subnet)
        };
        let (vpc, subnet) = network("10.0.0.0/16", "10.0.0.0/20");
        let (_, other) = network("10.1.0.0/16", "10.1.0.0/20");
        tag_route_tables(ec2, &vpc, CLUSTER);
        (vpc, subnet, other)
    })
}

pub fn config(
    region: &Region,
    group: &str,
    vpc: &str,
    setting: &Setting,
    authority: &CertificateAuthority,
) -> NodeConfig {
    let (role_id, profile) = region.with(|state, _| {
        let role = state.iam.role(group).expect("a role").role_id.clone();
        (role, state.iam.profile_arn(group))
    });
    let Setting { endpoint, pods, routes_per_table, window, lifetime, .. } = setting;
    let text = format!(
        r#"
group = "{group}"

[cluster]
name = "{CLUSTER}"
region = "eu-west-1"
vpc = "{vpc}"

[api]
endpoint = "{endpoint}"
ca_generation = 1
certificate_authorities = """
{certificate}"""

[network]
pods = ["{pods}"]
services = ["10.96.0.0/16"]
dns = ["10.96.0.10"]
routes_per_table = {routes_per_table}

[admission]
role_ids = ["{role_id}"]
instance_profile = "{profile}"
window = "{window}s"
certificate_lifetime = "{lifetime}s"

[node]
role = "{role}"
labels = {{ "acme.node-restriction.kubernetes.io/tier" = "batch" }}

[[node.taints]]
key = "acme.example/dedicated"
value = "batch"
effect = "NoSchedule"

[host]
gpu = "{gpu}"
"#,
        gpu = if setting.gpu { "nvidia" } else { "none" },
        certificate = authority.certificate_pem(),
        window = window.as_secs(),
        lifetime = lifetime.as_secs(),
        role = if group == CONTROL_PLANE { "control-plane" } else { "worker" },
    );
    NodeConfig::parse(&text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// As an operator does who gives a VPC's route tables to a cluster.
pub fn tag_route_tables(ec2: &mut Ec2, vpc: &str, cluster: &str) {
    let tags = Tags::from([(CLUSTER_TAG.to_owned(), cluster.to_owned())]);
    let tables = ec2.route_tables().filter(|table| table.vpc == vpc);
    for table in tables.map(|table| table.id.clone()).collect::<Vec<_>>() {
        ec2.tag(&table, &tags).expect("a table of this VPC");
    }
}
