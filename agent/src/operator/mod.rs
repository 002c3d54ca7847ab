//! What an operator does to a cluster, without the command line around it: make its authority,
//! describe its groups, see its nodes, get a kubeconfig.
//!
//! Nothing here trusts that an absent object is told apart from a forbidden one: what may be absent
//! is listed first.

pub mod authority;
pub mod bucket;
pub mod kubeconfig;
pub mod kubernetes;
pub mod nodes;
pub mod reports;
pub mod revisions;
pub mod rows;

use std::fmt;

use aws_config::SdkConfig;
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::client::s3::{self, Store};
use crate::exchange::Keys;

/// One cluster, through one caller's credentials.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub name: String,
    pub store: Store,
    pub keys: Keys,
    time: SharedTimeSource,
}

/// Who the caller is to AWS, as an ARN: a note for whoever wonders later who did it.
pub async fn caller(config: &SdkConfig) -> String {
    let reply = aws_sdk_sts::Client::new(config).get_caller_identity().send().await;
    let arn = reply.ok().and_then(|reply| reply.arn);
    arn.unwrap_or_else(|| {
        tracing::warn!("STS does not say who the caller is; the change is noted without a name");
        "unknown".to_owned()
    })
}

/// `2026-11-23T12:00:00Z`
pub fn when(at: OffsetDateTime) -> String {
    let whole = at.replace_nanosecond(0).unwrap_or(at);
    whole.format(&Rfc3339).unwrap_or_else(|_| whole.to_string())
}

/// What is wrong, and what the reader can do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Hinted {
    pub message: String,
    pub hint: String,
}

impl Cluster {
    /// The cluster `name` in `bucket`. The clock is the configuration's.
    pub fn new(config: &SdkConfig, bucket: &str, name: &str) -> Self {
        let time = config.time_source();
        let time = time.unwrap_or_else(|| SharedTimeSource::new(SystemTimeSource::new()));
        let store = Store::new(config, bucket);
        Self { name: name.to_owned(), store, keys: Keys::of(name), time }
    }

    /// The time that certificates are made for and ages are counted by.
    pub fn now(&self) -> OffsetDateTime {
        self.time.now().into()
    }

    /// `s3://BUCKET/CLUSTER`
    pub fn address(&self) -> String {
        format!("s3://{}/{}", self.store.bucket(), self.name)
    }

    /// An error of S3 with what an operator can do about it.
    fn explain(&self, error: s3::Error) -> anyhow::Error {
        let hint = match &error {
            s3::Error::NoBucket { bucket } => format!(
                "is `{bucket}` the bucket's name, and are these the account's credentials? \
                 `aws sts get-caller-identity` says whose they are"
            ),
            s3::Error::Denied { .. } => format!(
                "the operator's policy allows it: `windlass cluster policy operator --cluster {} \
                 --bucket {}` prints it",
                self.name,
                self.store.bucket()
            ),
            s3::Error::Clock { .. } => "set this machine's clock".to_owned(),
            s3::Error::Failed { .. } | s3::Error::TooLarge { .. } => return error.into(),
        };
        Hinted { message: error.to_string(), hint }.into()
    }
}

impl Hinted {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  hint: {}", self.message, self.hint)
    }
}
