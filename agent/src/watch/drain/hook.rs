//! The group's termination hook, as the drain speaks to it.

use std::time::Duration;

use aws_config::SdkConfig;
use tokio::time::timeout;

use super::step::HookAnswer;
use crate::client::autoscaling::{Completed, Error, Hook, Verdict};
use crate::exchange::InstanceId;

/// A call that is not answered by then, tries of the SDK's own included, has failed.
const PATIENCE: Duration = Duration::from_secs(15);

/// No hook is called so. Whether the role may complete one is seen by an attempt at it: Auto Scaling
/// answers who may not ask with `AccessDenied`, and everybody else that there is no such action.
const NOBODYS: &str = "windlass-permission-check";

/// CONTINUE: at a termination the instance ends either way, and ABANDON would also stop the group's
/// other hooks.
pub(super) async fn complete(hook: &Hook) -> HookAnswer {
    answer(timeout(PATIENCE, hook.complete(Verdict::Continue)).await)
}

pub(super) async fn heartbeat(hook: &Hook) -> HookAnswer {
    answer(timeout(PATIENCE, hook.heartbeat()).await)
}

/// What the role may not do of it, said while there is time to change it.
pub(super) async fn refused(sdk: &SdkConfig, group: &str, instance: &InstanceId) -> Vec<String> {
    let hook = Hook::new(sdk, group, NOBODYS, instance);
    let answers = [complete(&hook).await, heartbeat(&hook).await];
    let denied = |answer| match answer {
        HookAnswer::Failed(said) if said.contains("AccessDenied") => Some(said),
        _ => None,
    };
    answers.into_iter().filter_map(denied).collect()
}

fn answer(answered: Result<Result<Completed, Error>, tokio::time::error::Elapsed>) -> HookAnswer {
    match answered {
        Ok(Ok(Completed::Now)) => HookAnswer::Done,
        Ok(Ok(Completed::Already)) => HookAnswer::NothingPending,
        Ok(Err(error)) => HookAnswer::Failed(error.to_string()),
        Err(_) => HookAnswer::Failed(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
