//! The group's termination hook, as the drain speaks to it.

use std::time::Duration;

use tokio::time::timeout;

use super::step::HookAnswer;
use crate::client::autoscaling::{Completed, Error, Hook, Verdict};

/// A call that is not answered by then, tries of the SDK's own included, has failed.
const PATIENCE: Duration = Duration::from_secs(15);

/// CONTINUE: at a termination the instance ends either way, and ABANDON would also stop the group's
/// other hooks.
pub(super) async fn complete(hook: &Hook) -> HookAnswer {
    answer(timeout(PATIENCE, hook.complete(Verdict::Continue)).await)
}

pub(super) async fn heartbeat(hook: &Hook) -> HookAnswer {
    answer(timeout(PATIENCE, hook.heartbeat()).await)
}

fn answer(answered: Result<Result<Completed, Error>, tokio::time::error::Elapsed>) -> HookAnswer {
    match answered {
        Ok(Ok(Completed::Now)) => HookAnswer::Done,
        Ok(Ok(Completed::Already)) => HookAnswer::NothingPending,
        Ok(Err(error)) => HookAnswer::Failed(error.to_string()),
        Err(_) => HookAnswer::Failed(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
