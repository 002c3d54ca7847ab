//! Something that is asked of somebody until it succeeds, or is refused for good.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::Moment;
use super::step::NodeAnswer;

/// Something that is asked of somebody until it succeeds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attempt {
    Due {
        at: Moment,
        failures: u32,
    },
    UnderWay {
        failures: u32,
    },
    Done,
    /// It was refused, and would be again.
    Refused(String),
}

/// The pause after a failure, doubled with each that follows…
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// …up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// What to wait after `failures` in a row.
pub(super) fn pause(failures: u32) -> Duration {
    (FIRST_PAUSE * 2_u32.saturating_pow(failures.saturating_sub(1).min(10))).min(LONGEST_PAUSE)
}

impl Attempt {
    pub(super) fn due(at: Moment) -> Self {
        Self::Due { at, failures: 0 }
    }

    /// Whether it is to begin now; it is under way from then on.
    pub(super) fn begins(&mut self, now: Moment) -> bool {
        match *self {
            Self::Due { at, failures } if at <= now => {
                *self = Self::UnderWay { failures };
                true
            }
            _ => false,
        }
    }

    /// It failed, and is to be tried again.
    pub(super) fn failed(&mut self, now: Moment) {
        if let Self::UnderWay { failures } = *self {
            let failures = failures + 1;
            *self = Self::Due { at: now + pause(failures), failures };
        }
    }

    pub(super) fn wake(&self) -> Option<Moment> {
        match self {
            Self::Due { at, .. } => Some(*at),
            _ => None,
        }
    }

    /// The program that had it under way is no more.
    pub(super) fn interrupted(&mut self, now: Moment) {
        if let Self::UnderWay { failures } = *self {
            *self = Self::Due { at: now, failures };
        }
    }

    pub(super) fn answer(&mut self, answer: NodeAnswer, now: Moment) {
        if !matches!(self, Self::UnderWay { .. }) {
            return;
        }
        match answer {
            NodeAnswer::Done => *self = Self::Done,
            NodeAnswer::Refused(said) => *self = Self::Refused(said),
            NodeAnswer::Failed(_) => self.failed(now),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Done | Self::Refused(_))
    }

    pub(super) fn is_under_way(&self) -> bool {
        matches!(self, Self::UnderWay { .. })
    }
}
