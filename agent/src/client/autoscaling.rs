//! Auto Scaling: the call by which an instance says that its group may go on, the one by which it
//! asks for more time, and what an admitter asks about an instance.
//!
//! Source: "Amazon EC2 Auto Scaling lifecycle hooks" (Amazon EC2 Auto Scaling User Guide).

use aws_config::SdkConfig;
use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::error::ProvideErrorMetadata;

use super::Chain;
use crate::exchange::InstanceId;

/// A hook of one group, for one instance.
#[derive(Clone, Debug)]
pub struct Hook {
    client: Client,
    group: String,
    name: String,
    instance: InstanceId,
}

/// What shall become of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Continue,
    /// At a launch: it is terminated and replaced.
    Abandon,
}

/// What a call for an action found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completed {
    /// The action was pending, and the call took effect.
    Now,
    /// There is no pending action: it was completed before, or it timed out.
    Already,
}

/// Auto Scaling, as an admitter asks it.
#[derive(Clone, Debug)]
pub struct Groups(Client);

/// Auto Scaling did not say.
#[derive(Debug, thiserror::Error)]
pub enum NotSaid {
    #[error("Auto Scaling denied DescribeAutoScalingInstances: {0}")]
    Denied(String),
    #[error("Auto Scaling failed DescribeAutoScalingInstances: {0}")]
    Failed(String),
}

/// Auto Scaling did not take the call.
#[derive(Debug, thiserror::Error)]
#[error("autoscaling:{action} for hook `{hook}` of Auto Scaling group `{group}`: {message}")]
pub struct Error {
    action: &'static str,
    hook: String,
    group: String,
    message: String,
    denied: bool,
}

impl Error {
    /// The role may not ask that.
    pub fn is_denied(&self) -> bool {
        self.denied
    }
}

impl Hook {
    /// The hook `name` of the Auto Scaling group `group`, as it concerns `instance`.
    pub fn new(config: &SdkConfig, group: &str, name: &str, instance: &InstanceId) -> Self {
        let (group, name) = (group.to_owned(), name.to_owned());
        Self { client: Client::new(config), group, name, instance: instance.clone() }
    }

    /// Another hook of the same group, for the same instance.
    pub fn sibling(&self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self.clone() }
    }

    /// The hook's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Completes the pending action.
    pub async fn complete(&self, verdict: Verdict) -> Result<Completed, Error> {
        let call = self.client.complete_lifecycle_action();
        let call = call.auto_scaling_group_name(&self.group).lifecycle_hook_name(&self.name);
        let call =
            call.instance_id(self.instance.as_str()).lifecycle_action_result(verdict.as_str());
        self.ended("CompleteLifecycleAction", call.send().await)
    }

    /// Asks for as much time again as the hook gives.
    pub async fn heartbeat(&self) -> Result<Completed, Error> {
        let call = self.client.record_lifecycle_action_heartbeat();
        let call = call.auto_scaling_group_name(&self.group).lifecycle_hook_name(&self.name);
        let call = call.instance_id(self.instance.as_str());
        self.ended("RecordLifecycleActionHeartbeat", call.send().await)
    }

    fn ended<T, E>(&self, action: &'static str, sent: Result<T, E>) -> Result<Completed, Error>
    where
        E: ProvideErrorMetadata + std::error::Error,
    {
        match sent {
            Ok(_) => Ok(Completed::Now),
            Err(error) if nothing_pending(error.code(), error.message()) => Ok(Completed::Already),
            Err(error) => {
                let denied = error.code() == Some("AccessDenied");
                let message = match (error.code(), error.message()) {
                    (Some(code), Some(said)) => format!("{code}: {said}"),
                    _ => Chain(error).to_string(),
                };
                let (hook, group) = (self.name.clone(), self.group.clone());
                Err(Error { action, hook, group, message, denied })
            }
        }
    }
}

impl Groups {
    /// In the region and with the credentials of `config`.
    pub fn new(config: &SdkConfig) -> Self {
        Self(Client::new(config))
    }

    /// The state of `instance` in its group, such as `Pending:Wait`; none where it is of no group.
    pub async fn lifecycle_state(&self, instance: &InstanceId) -> Result<Option<String>, NotSaid> {
        let call = self.0.describe_auto_scaling_instances().instance_ids(instance.as_str());
        match call.send().await {
            Ok(told) => {
                let state =
                    told.auto_scaling_instances().first().and_then(|it| it.lifecycle_state());
                Ok(state.map(str::to_owned))
            }
            Err(error) if error.code() == Some("AccessDenied") => {
                Err(NotSaid::Denied(error.message().unwrap_or_default().to_owned()))
            }
            Err(error) => Err(NotSaid::Failed(Chain(error).to_string())),
        }
    }
}

impl Verdict {
    /// As the API calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "CONTINUE",
            Self::Abandon => "ABANDON",
        }
    }
}

/// The API has one code for everything that is wrong with a request; only the words tell.
fn nothing_pending(code: Option<&str>, said: Option<&str>) -> bool {
    let said = said.unwrap_or_default();
    code == Some("ValidationError") && said.contains("No active Lifecycle Action found")
}
