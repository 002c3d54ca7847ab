//! The region's clock: tokio's, so that a paused runtime pauses AWS too, plus an offset that tests
//! move.

use std::sync::Mutex;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The time of day in the region.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    started_at: OffsetDateTime,
    moved: Mutex<Moved>,
    changed: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    offset: Duration,
    skew: time::Duration,
}

impl Clock {
    /// A clock that shows `now` and runs with tokio's time.
    pub fn starting_at(now: OffsetDateTime) -> Self {
        let (started, moved) = (Instant::now(), Mutex::new(Moved::default()));
        Self { started, started_at: now, moved, changed: Notify::new() }
    }

    /// What the clock shows.
    pub fn now(&self) -> OffsetDateTime {
        self.unmoved() + self.moved().offset
    }

    /// What a client with a clock of its own shows: without the offset. Signatures and temporary
    /// credentials live by it, so that such clients survive [`Clock::advance`].
    pub fn unmoved(&self) -> OffsetDateTime {
        self.started_at + self.started.elapsed()
    }

    /// What signatures are judged by: with the skew that a test has set.
    pub fn signing(&self) -> OffsetDateTime {
        self.unmoved() + self.moved().skew
    }

    /// Moves the clock forward; it never goes back.
    pub fn advance(&self, by: Duration) {
        self.moved.lock().expect("the clock's lock").offset += by;
        self.changed.notify_waiters();
    }

    /// Makes every client's clock appear so much behind (or, negative, ahead).
    pub fn skew(&self, by: time::Duration) {
        self.moved.lock().expect("the clock's lock").skew = by;
    }

    /// Until the clock shows that time, however it gets there; without one, until it is moved.
    pub async fn reaches(&self, deadline: Option<OffsetDateTime>) {
        let changed = self.changed.notified();
        let Some(deadline) = deadline else { return changed.await };
        let left = (deadline - self.now()).try_into().unwrap_or(Duration::ZERO);
        tokio::select! {
            biased;
            () = tokio::time::sleep(left) => {}
            () = changed => {}
        }
    }

    fn moved(&self) -> Moved {
        *self.moved.lock().expect("the clock's lock")
    }
}
