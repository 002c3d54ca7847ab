//! Heartbeats of the hook's action: often enough to keep it while pods leave, none when that is over or
//! the action's longest life ends.
//!
//! Source: "How lifecycle hooks work" (Amazon EC2 Auto Scaling User Guide).
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::Moment;
use super::rules::global_limit;
use super::step::HookAnswer;

/// After a heartbeat that failed.
const HEARTBEAT_AGAIN: Duration = Duration::from_secs(2);

/// Heartbeats of the hook's action.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Heartbeat {
    /// When the event of the action was seen.
    pub of: Moment,
    pub next: Moment,
    pub under_way: bool,
    /// None later: the action's longest life ends.
    pub until: Moment,
}

impl Heartbeat {
    /// Twice as often as the hook needs it.
    pub(super) fn of(seen: Moment, timeout: Duration) -> Self {
        let until = seen + global_limit(timeout) - timeout;
        Self { of: seen, next: seen + timeout / 2, under_way: false, until }
    }

    pub(super) fn begins(&mut self, now: Moment, timeout: Duration) -> bool {
        let begins = !self.under_way && self.next <= now && now < self.until;
        if begins {
            self.under_way = true;
            self.next = now + timeout / 2;
        } else if now >= self.until {
            self.next = self.until;
        }
        begins
    }

    pub(super) fn answered(&mut self, answer: &HookAnswer, now: Moment) {
        self.under_way = false;
        match answer {
            HookAnswer::Done => {}
            // The action is over; another one begins with another event.
            HookAnswer::NothingPending => self.until = self.next.min(self.until),
            // Half of the time is left for another try, and not for a second failure.
            HookAnswer::Failed(_) => self.next = self.next.min(now + HEARTBEAT_AGAIN),
        }
    }

    pub(super) fn wake(&self) -> Option<Moment> {
        (!self.under_way && self.next < self.until).then_some(self.next)
    }
}
