//! The one question to STS: who are we?

use anyhow::{Context, anyhow};
use aws_config::SdkConfig;

use super::Chain;
use crate::exchange::UserId;

/// IAM's `aws:userid` of the credentials in use.
pub async fn user_id(config: &SdkConfig) -> anyhow::Result<UserId> {
    let answer = aws_sdk_sts::Client::new(config).get_caller_identity().send().await;
    let answer = answer.map_err(|error| anyhow!("sts:GetCallerIdentity: {}", Chain(error)))?;
    let user = answer.user_id().unwrap_or_default();
    user.parse().with_context(|| format!("STS says that the user id is `{user}`"))
}
