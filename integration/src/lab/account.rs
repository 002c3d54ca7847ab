//! What the owner of an AWS account has set up before Windlass comes: a VPC over two zones, roles
//! with the shipped policies, a bucket, and an Auto Scaling group with its launch template for each
//! group of nodes.
//!
//! Network and identities are put into the region's state; the rest takes the API, as it would by
//! anybody's tool.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aws_config::{BehaviorVersion, Region as RegionName, SdkConfig};
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration,
    PublicAccessBlockConfiguration, VersioningConfiguration,
};
use ipnet::{IpNet, Ipv4Net};
use time::OffsetDateTime;
use windlass::policies::{self, Identity, Scope};

use super::balancer::DEREGISTRATION_DELAY;
use super::family::Family;
use super::groups::{LAUNCH_HOOK, TERMINATION_HOOK};
use super::public_vpc::PublicVpc;
use crate::region::call::ServiceError;
use crate::region::ec2::Instance;
use crate::region::iam::{ADMINISTRATOR, Credentials};
use crate::region::inprocess::InProcess;
use crate::region::s3::kms::Home;
use crate::region::{Region, State};

/// The instance profiles, and the roles in them, end so.
const CONTROL_PLANE: &str = "control-plane";
pub const WORKER: &str = "worker";

/// An ID as KMS would make one.
const KMS_KEY: &str = "1d5c6b0e-7a2f-4c38-9e41-0b6f2a7d93c5";

/// The account as the lab uses it.
#[derive(Clone, Debug)]
pub struct Account {
    pub cluster: String,
    pub family: Family,
    pub bucket: String,
    /// The ARN of the key that encrypts the cluster's authority.
    pub kms_key: String,
    pub vpc: String,
    pub vpc_cidr: Ipv4Net,
    pub subnets: Vec<String>,
    /// May do everything.
    pub administrator: Credentials,
    /// Has the shipped operator policy.
    pub operator: Credentials,
    pub roles: BTreeMap<&'static str, Role>,
}

/// A role and its instance profile.
#[derive(Clone, Debug)]
pub struct Role {
    pub id: String,
    pub profile: String,
    /// The profile's name.
    pub name: String,
}

/// Groups of nodes and whose role they have.
pub const GROUPS: [(&str, &str); 2] = [("control-plane", CONTROL_PLANE), ("workers", WORKER)];

impl Account {
    /// An account that is ready for a cluster of this name.
    pub async fn open(region: &Region, cluster: &str, family: Family) -> Result<Self> {
        let account = region
            .with(|state, now| Self::lay_out(state, cluster, family, now))
            .with_context(|| format!("cannot set up an account for the cluster `{cluster}`"))?;
        account
            .make_bucket(region)
            .await
            .with_context(|| format!("cannot make the bucket `{}`", account.bucket))?;
        Ok(account)
    }

    fn lay_out(
        state: &mut State,
        cluster: &str,
        family: Family,
        now: OffsetDateTime,
    ) -> Result<Self> {
        let bucket = format!("{cluster}-kubernetes");
        let (settings, ids) = (state.settings.clone(), &mut state.ids);
        let network = PublicVpc::lay_out(&mut state.ec2, ids, family, now)
            .and_then(|network| network.tag(&mut state.ec2, cluster).map(|()| network))
            .map_err(service_error)?;
        let home = Home { region: &settings.name, account: &settings.account };
        let kms_key = state.s3.kms.create_key(home, KMS_KEY).0;
        let scope = Scope {
            cluster: cluster.to_owned(),
            bucket: bucket.clone(),
            region: Some(settings.name.clone()),
            account: Some(settings.account.clone()),
            kms_key: Some(kms_key.clone()),
        };
        let mut roles = BTreeMap::new();
        for (kind, identity) in
            [(CONTROL_PLANE, Identity::ControlPlane), (WORKER, Identity::Worker)]
        {
            let (name, policy) = (format!("{cluster}-{kind}"), policies::render(identity, &scope)?);
            let id = state.iam.add_role(ids, &name, &[(kind, &policy)])?.role_id.clone();
            roles.insert(kind, Role { id, profile: state.iam.profile_arn(&name), name });
        }
        let operator = policies::render(Identity::Operator, &scope)?;
        Ok(Self {
            administrator: state.iam.add_user(
                ids,
                "administrator",
                &[("administrator", ADMINISTRATOR)],
            )?,
            operator: state.iam.add_user(ids, "operator", &[("operator", &operator)])?,
            cluster: cluster.to_owned(),
            family,
            vpc_cidr: network.cidr,
            kms_key,
            bucket,
            vpc: network.vpc,
            subnets: network.subnets,
            roles,
        })
    }

    async fn make_bucket(&self, region: &Region) -> Result<()> {
        let s3 = aws_sdk_s3::Client::new(&sdk(region, &self.administrator));
        let place = CreateBucketConfiguration::builder()
            .location_constraint(BucketLocationConstraint::from(region.settings().name.as_str()));
        s3.create_bucket()
            .bucket(&self.bucket)
            .create_bucket_configuration(place.build())
            .send()
            .await?;
        let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
        s3.put_bucket_versioning()
            .bucket(&self.bucket)
            .versioning_configuration(versioning.build())
            .send()
            .await?;
        let private = PublicAccessBlockConfiguration::builder()
            .block_public_acls(true)
            .block_public_policy(true)
            .ignore_public_acls(true)
            .restrict_public_buckets(true);
        s3.put_public_access_block()
            .bucket(&self.bucket)
            .public_access_block_configuration(private.build())
            .send()
            .await?;
        Ok(())
    }

    /// The operator's `cluster.toml` for this account.
    pub fn cluster_toml(&self, region: &str, api: &str, certificate_lifetime: Duration) -> String {
        let mut text = format!(
            "[cluster]\nname = \"{}\"\nregion = \"{region}\"\nvpc = \"{}\"\nbucket = \"{}\"\nkms_key = \"{}\"\n\n\
             [api]\nendpoint = \"{api}\"\n\n\
             [network]\npods = {}\nservices = {}\n\n\
             [admission]\ncertificate_lifetime = \"{}s\"\n\n\
             [drain]\nderegistration_delay = \"{}s\"\n",
            self.cluster,
            self.vpc,
            self.bucket,
            self.kms_key,
            listed(&self.family.pods()),
            listed(&self.family.services()),
            certificate_lifetime.as_secs(),
            DEREGISTRATION_DELAY.as_secs(),
        );
        for (group, kind) in GROUPS {
            let role = &self.roles[kind];
            text += &format!(
                "\n[groups.{group}]\nrole_ids = [\"{}\"]\ninstance_profile = \"{}\"\nhooks = {{ launch = \"{LAUNCH_HOOK}\", termination = \"{TERMINATION_HOOK}\" }}\n",
                role.id, role.profile,
            );
            if kind == CONTROL_PLANE {
                text += "role = \"control-plane\"\ntaints = [\"node-role.kubernetes.io/control-plane:NoSchedule\"]\n";
            }
        }
        text
    }

    /// The UserData of a group's launch template.
    pub fn user_data(&self, group: &str) -> String {
        format!(
            "cluster = \"{}\"\nbucket = \"{}\"\ngroup = \"{group}\"\n",
            self.cluster, self.bucket
        )
    }
}

/// As a list of TOML.
fn listed(cidrs: &[IpNet]) -> String {
    let cidrs: Vec<_> = cidrs.iter().map(|cidr| format!("\"{cidr}\"")).collect();
    format!("[{}]", cidrs.join(", "))
}

/// Whether an instance may read the CA key.
pub fn is_control_plane(instance: &Instance) -> bool {
    instance
        .profile
        .as_ref()
        .is_some_and(|profile| profile.arn.ends_with(&format!("-{CONTROL_PLANE}")))
}

/// A configuration of the AWS SDK that reaches the region within this program.
pub fn sdk(region: &Region, credentials: &Credentials) -> SdkConfig {
    let way = InProcess::outside(region);
    let credentials = aws_credential_types::Credentials::new(
        &credentials.access_key,
        &credentials.secret,
        credentials.session_token.clone(),
        None,
        "lab",
    );
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(RegionName::new(region.settings().name.clone()))
        .http_client(way.client())
        .time_source(way.time())
        .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(
            aws_smithy_async::rt::sleep::TokioSleep::new(),
        ))
        .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(
            credentials,
        ))
        .build()
}

fn service_error(error: ServiceError) -> anyhow::Error {
    anyhow!("{}: {}", error.code, error.message)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use time::macros::datetime;
    use windlass::config::ClusterFile;

    use super::*;
    use crate::region::Settings;

    #[test]
    fn every_family_makes_a_description_that_the_product_takes() {
        for family in Family::value_variants() {
            let now = datetime!(2026-11-23 12:00 UTC);
            let mut state = State::new(Settings::new(1, now));
            let account = Account::lay_out(&mut state, "lab", *family, now).unwrap();
            let text = account.cluster_toml(
                "eu-west-1",
                "https://api.lab.internal:6443",
                Duration::from_secs(24 * 3600),
            );
            if let Err(problems) = ClusterFile::parse(&text) {
                panic!("{family:?}: {problems}\n{text}");
            }
            let with_ipv6 = state.ec2.subnets().filter(|subnet| subnet.assigns_ipv6).count();
            assert_eq!(with_ipv6, if family.has_ipv6() { account.subnets.len() } else { 0 });
        }
    }
}
