//! Lifecycle actions that are over. The service forgets them; whoever judges how an instance left has
//! to know by whom they ended.

use time::OffsetDateTime;

use super::hook::ActionResult;

/// An action that nobody waits for any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    pub instance: String,
    pub hook: String,
    pub result: ActionResult,
    pub by: By,
    pub at: OffsetDateTime,
}

/// What ended an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// CompleteLifecycleAction.
    Call,
    /// Nobody said anything in time.
    Timeout,
    /// DeleteLifecycleHook.
    Deletion,
}

impl By {
    /// As it is said of a launch that was abandoned so.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Call => "Lifecycle Action Completed with ABANDON Result",
            Self::Timeout => "Heartbeat Timeout",
            Self::Deletion => "Lifecycle Hook Deleted",
        }
    }
}
