//! An operator with the shipped policy, in front of a bucket and a KMS key.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use integration::region::iam::{self, ADMINISTRATOR, Permission};
use integration::region::inprocess::InProcess;
use integration::region::s3::kms::Home;
use integration::region::s3::store::Versioning;
use integration::region::{Region, Settings, State};
use windlass::config::ClusterFile;
use windlass::operator::Cluster;
use windlass::policies::{Identity, Scope, render};

use crate::region_fixture::START;

pub const BUCKET: &str = "acme-kubernetes";
pub const KMS_KEY: &str =
    "arn:aws:kms:eu-west-1:123456789012:key/1f2e3d4c-5b6a-7980-91a2-b3c4d5e6f708";

/// A region with a fit bucket, a key, and somebody called Ann.
pub struct Scene {
    pub region: Region,
    pub ann: iam::Credentials,
}

impl Scene {
    pub fn new() -> Self {
        let region = Region::new(Settings::new(7, START));
        let ann = region.with(|state, now| {
            let home = Home { region: "eu-west-1", account: "123456789012" };
            let id = KMS_KEY.rsplit('/').next().expect("an id");
            state.s3.kms.create_key(home, id);
            state.s3.create_bucket(BUCKET, now).versioning = Versioning::Enabled;
            add_user(state, "ann", &policy(Identity::Operator))
        });
        Self { region, ann }
    }

    /// The cluster `prod`, as Ann sees it.
    pub fn cluster(&self) -> Cluster {
        self.cluster_of(&self.ann)
    }

    /// The cluster `prod`, as somebody sees it.
    pub fn cluster_of(&self, credentials: &iam::Credentials) -> Cluster {
        Cluster::new(&self.sdk(credentials), BUCKET, "prod")
    }

    /// Another operator.
    pub fn colleague(&self, name: &str) -> iam::Credentials {
        self.region.with(|state, _| add_user(state, name, &policy(Identity::Operator)))
    }

    /// Somebody whom every policy lets do everything.
    pub fn administrator(&self) -> iam::Credentials {
        self.region.with(|state, _| add_user(state, "root", ADMINISTRATOR))
    }

    /// Somebody who may nothing.
    pub fn stranger(&self) -> iam::Credentials {
        let nothing = r#"{"Version":"2012-10-17","Statement":[]}"#;
        self.region.with(|state, _| add_user(state, "stranger", nothing))
    }

    /// Permissions of the operator's policy that nobody has used yet.
    pub fn unused(&self) -> Vec<Permission> {
        self.region.with(|state, _| state.iam.unused())
    }

    /// How many objects were written or deleted since the beginning.
    pub fn writes(&self) -> u64 {
        self.region.with(|state, _| state.s3.writes())
    }

    pub fn sdk(&self, credentials: &iam::Credentials) -> SdkConfig {
        sdk_in(&self.region, credentials)
    }
}

/// The SDK's configuration of somebody outside the VPC.
pub fn sdk_in(region: &Region, credentials: &iam::Credentials) -> SdkConfig {
    let wire = InProcess::outside(region);
    let token = credentials.session_token.clone();
    let credentials =
        Credentials::new(&credentials.access_key, &credentials.secret, token, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(aws_config::Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(wire.client())
        .time_source(wire.time())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .build()
}

fn add_user(state: &mut State, name: &str, policy: &str) -> iam::Credentials {
    state.iam.add_user(&mut state.ids, name, &[(name, policy)]).expect("a policy")
}

fn policy(identity: Identity) -> String {
    let scope = Scope {
        cluster: "prod".into(),
        bucket: BUCKET.into(),
        region: Some("eu-west-1".into()),
        account: Some("123456789012".into()),
        kms_key: Some(KMS_KEY.into()),
    };
    render(identity, &scope).expect("a policy")
}

/// A description with two groups; `label` is one of the workers'.
pub fn description(label: &str) -> ClusterFile {
    let text = include_str!("../../../docs/cluster.toml");
    let text = text.replace("\"acme.example/tier\" = \"general\"", label);
    ClusterFile::parse(&text).unwrap_or_else(|wrong| panic!("{wrong}"))
}
