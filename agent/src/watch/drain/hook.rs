//! The group's termination hook, as the drain speaks to it.

use std::time::Duration;

use tokio::time::timeout;

use super::step::HookAnswer;
use crate::client::autoscaling::{Completed, Error, Hook, Verdict};

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

/// Says what the role may not do of it, while there is time to change that.
pub(super) async fn try_permissions(hook: &Hook) {
    let nobodys = hook.sibling(NOBODYS);
    for answer in [complete(&nobodys).await, heartbeat(&nobodys).await] {
        if let HookAnswer::Failed(said) = answer
            && said.contains("AccessDenied")
        {
            tracing::error!(
                "this instance will not be able to complete its termination hook: {said}\n\
                 hint: `windlass cluster policy worker` prints what the role needs"
            );
        }
    }
}

fn answer(answered: Result<Result<Completed, Error>, tokio::time::error::Elapsed>) -> HookAnswer {
    match answered {
        Ok(Ok(Completed::Now)) => HookAnswer::Done,
        Ok(Ok(Completed::Already)) => HookAnswer::NothingPending,
        Ok(Err(error)) => HookAnswer::Failed(error.to_string()),
        Err(_) => HookAnswer::Failed(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
