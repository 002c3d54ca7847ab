//! SDK clients of the region's EC2 and Auto Scaling, and a network to launch into.

use std::time::Duration;

use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use integration::region::ec2::{
    Author, IMAGE_X86_64, LaunchSpec, ProfileSpec, TemplateName, Timing,
};
use integration::region::iam::{ADMINISTRATOR, Credentials};
use integration::region::inprocess::InProcess;
use integration::region::{Region, Settings};
use time::OffsetDateTime;
use time::macros::datetime;

/// When every region of these tests begins.
pub const NOON: OffsetDateTime = datetime!(2026-11-23 12:00:00 UTC);

/// A region with a VPC, two subnets in two zones, a role and a launch template that uses it.
pub struct Lab {
    pub region: Region,
    pub vpc: String,
    pub subnets: [String; 2],
    pub template: String,
}

impl Lab {
    /// With delays like AWS' shortest; `worker` is the role's policy.
    pub fn new(worker: &str) -> Self {
        let region = Region::new(Settings::new(11, NOON));
        let (vpc, subnets, template) = region.with(|state, now| {
            state.ec2.timing = Timing::lifelike();
            state.iam.add_role(&mut state.ids, "worker", &[("worker", worker)]).expect("a policy");
            let (ec2, ids) = (&mut state.ec2, &mut state.ids);
            let vpc = ec2.create_vpc(ids, "10.0.0.0/16").expect("a VPC");
            let mut subnet =
                |zone, cidr| ec2.create_subnet(ids, &vpc, Some(zone), cidr).expect("a subnet");
            let subnets =
                [subnet("eu-west-1a", "10.0.1.0/24"), subnet("eu-west-1b", "10.0.2.0/24")];
            let spec = LaunchSpec {
                image: Some(IMAGE_X86_64.to_owned()),
                instance_type: Some("m5.large".to_owned()),
                profile: Some(ProfileSpec::Name("worker".to_owned())),
                ..LaunchSpec::default()
            };
            let by = Author { arn: "arn:aws:iam::123456789012:user/operator", now };
            let template = ec2.create_template(ids, "workers", None, spec, by).expect("a template");
            (vpc, subnets, template)
        });
        Self { region, vpc, subnets, template }
    }

    /// A user of that name with this policy.
    pub fn user(&self, name: &str, policy: &str) -> Credentials {
        let added = self
            .region
            .with(|state, _| state.iam.add_user(&mut state.ids, name, &[("test", policy)]));
        added.expect("a policy")
    }

    /// Somebody who may do everything.
    pub fn operator(&self) -> Credentials {
        self.user("operator", ADMINISTRATOR)
    }

    /// What an instance's metadata service hands out.
    pub fn instance(&self, id: &str) -> Credentials {
        let hour = Duration::from_secs(3600);
        let session = self
            .region
            .with(|state, now| state.iam.open_session(&mut state.ids, "worker", id, now, hour));
        session.expect("the role exists")
    }

    pub fn ec2(&self, credentials: &Credentials) -> aws_sdk_ec2::Client {
        let from = InProcess::outside(&self.region);
        let config = aws_sdk_ec2::Config::builder()
            .behavior_version_latest()
            .region(aws_sdk_ec2::config::Region::new("eu-west-1"))
            .credentials_provider(signing(credentials))
            .http_client(from.client())
            .time_source(from.time())
            .retry_config(RetryConfig::disabled());
        aws_sdk_ec2::Client::from_conf(config.build())
    }

    pub fn autoscaling(&self, credentials: &Credentials) -> aws_sdk_autoscaling::Client {
        let from = InProcess::outside(&self.region);
        let config = aws_sdk_autoscaling::Config::builder()
            .behavior_version_latest()
            .region(aws_sdk_autoscaling::config::Region::new("eu-west-1"))
            .credentials_provider(signing(credentials))
            .http_client(from.client())
            .time_source(from.time())
            .retry_config(RetryConfig::disabled());
        aws_sdk_autoscaling::Client::from_conf(config.build())
    }

    /// Lets time pass.
    pub fn after(&self, seconds: u64) {
        self.region.clock().advance(Duration::from_secs(seconds));
        self.region.with(|_, _| ());
    }

    /// A newer version of the launch template.
    pub fn new_version(&self, spec: LaunchSpec) {
        self.region.with(|state, now| {
            let (name, by) = (
                TemplateName::Name("workers".to_owned()),
                Author { arn: "arn:aws:iam::123456789012:user/operator", now },
            );
            state
                .ec2
                .create_template_version(&name, Some("$Latest"), None, spec, by)
                .expect("a version");
        });
    }
}

/// `400 InvalidInstanceID.NotFound: The instance ID …`
pub fn refusal<T: std::fmt::Debug, E: ProvideErrorMetadata + std::error::Error + 'static>(
    result: Result<T, SdkError<E, HttpResponse>>,
) -> String {
    let error = result.expect_err("a refusal");
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    format!(
        "{status} {}: {}",
        error.code().unwrap_or_default(),
        error.message().unwrap_or_default()
    )
}

/// A policy of one statement with a condition.
pub fn allow(actions: &[&str], resource: &str, condition: serde_json::Value) -> String {
    let statement = serde_json::json!({"Effect": "Allow", "Action": actions, "Resource": resource, "Condition": condition});
    serde_json::json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

fn signing(credentials: &Credentials) -> aws_sdk_ec2::config::Credentials {
    let Credentials { access_key, secret, session_token, .. } = credentials.clone();
    aws_sdk_ec2::config::Credentials::new(access_key, secret, session_token, None, "test")
}
