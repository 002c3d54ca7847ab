//! The region's clock: tokio's, so that a paused runtime pauses AWS too, plus an offset that tests
//! move.

use std::sync::Mutex;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

/// The time of day in the region.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    started_at: OffsetDateTime,
    offset: Mutex<Duration>,
}

impl Clock {
    /// A clock that shows `now` and runs with tokio's time.
    pub fn starting_at(now: OffsetDateTime) -> Self {
        Self { started: Instant::now(), started_at: now, offset: Mutex::new(Duration::ZERO) }
    }

    /// What the clock shows.
    pub fn now(&self) -> OffsetDateTime {
        let offset = *self.offset.lock().expect("the clock's lock");
        self.started_at + self.started.elapsed() + offset
    }

    /// Moves the clock forward; it never goes back.
    pub fn advance(&self, by: Duration) {
        *self.offset.lock().expect("the clock's lock") += by;
    }
}
