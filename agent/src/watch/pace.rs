//! When `windlass watch` looks at the kernel, as a function of what happened and when. There is no
//! clock in here: every time is an argument, counted from the daemon's start.

use std::time::Duration;

use crate::host::Stirred;

/// One look for a burst of changes: when there was none for so long…
const QUIET: Duration = Duration::from_millis(50);

/// …or when the first is so long ago.
const PATIENCE: Duration = Duration::from_millis(500);

/// After a look that left something not as planned; doubled with each that follows.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// When to look, and at what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub at: Duration,
    pub what: Stirred,
}

/// How a look ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Well,
    /// Something is not as planned.
    Badly,
}

/// What is known of the past.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Between two looks at everything when nothing happens.
    seldom: Duration,
    /// The next look at everything.
    everything: Duration,
    burst: Option<Burst>,
    /// Looks in a row that ended badly.
    failures: u32,
}

/// Changes that one look will answer.
#[derive(Clone, Copy, Debug)]
struct Burst {
    first: Duration,
    last: Duration,
    what: Stirred,
}

impl Pace {
    /// Everything is looked at first of all, and `seldom` from then on.
    pub fn new(seldom: Duration) -> Self {
        Self { seldom, everything: Duration::ZERO, burst: None, failures: 0 }
    }

    /// Something changed.
    pub fn stirred(&mut self, at: Duration, what: Stirred) {
        let burst = self.burst.get_or_insert(Burst { first: at, last: at, what });
        burst.last = at;
        burst.what = burst.what.and(what);
    }

    /// The next look. It may be in the past.
    pub fn due(&self) -> Due {
        let everything = Due { at: self.everything, what: Stirred::EVERYTHING };
        let burst = self.burst.map(|Burst { first, last, what }| Due {
            at: (last + QUIET).min(first + PATIENCE),
            what,
        });
        burst.filter(|burst| burst.at < everything.at).unwrap_or(everything)
    }

    /// There was a look at `what`. `again` is when something is due that it had to put off.
    pub fn looked(&mut self, at: Duration, what: Stirred, ended: Ended, again: Option<Duration>) {
        self.burst = None;
        if what == Stirred::EVERYTHING {
            self.everything = at + self.seldom;
        }
        match ended {
            Ended::Badly => {
                let doubled = AFTER_FAILURE * 2_u32.saturating_pow(self.failures.min(16));
                self.everything = self.everything.min(at + doubled);
                self.failures += 1;
            }
            // A look at a part says nothing of the rest.
            Ended::Well if what == Stirred::EVERYTHING => self.failures = 0,
            Ended::Well => {}
        }
        self.everything = again.map_or(self.everything, |again| self.everything.min(again));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAYS: Stirred = Stirred { ways: true, ..Stirred::NOTHING };
    const FILTER: Stirred = Stirred { filter: true, ..Stirred::NOTHING };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// After the first look, at 0.
    fn pace() -> Pace {
        let mut pace = Pace::new(ms(60_000));
        assert_eq!(pace.due(), Due { at: ms(0), what: Stirred::EVERYTHING });
        pace.looked(ms(0), Stirred::EVERYTHING, Ended::Well, None);
        pace
    }

    #[test]
    fn where_nothing_happens_everything_is_looked_at_seldom() {
        let mut pace = pace();
        for minute in 1..4 {
            let at = ms(minute * 60_000);
            assert_eq!(pace.due(), Due { at, what: Stirred::EVERYTHING });
            pace.looked(at, Stirred::EVERYTHING, Ended::Well, None);
        }
    }

    #[test]
    fn a_burst_is_answered_by_one_look_when_it_is_over() {
        let mut pace = pace();
        for at in [1000, 1010, 1040] {
            pace.stirred(ms(at), WAYS);
        }
        assert_eq!(pace.due(), Due { at: ms(1090), what: WAYS });
        pace.stirred(ms(1060), FILTER);
        assert_eq!(pace.due(), Due { at: ms(1110), what: Stirred::EVERYTHING });
        pace.looked(ms(1110), WAYS, Ended::Well, None);
        assert_eq!(pace.due(), Due { at: ms(60_000), what: Stirred::EVERYTHING });
    }

    #[test]
    fn a_burst_that_does_not_end_is_answered_all_the_same() {
        let mut pace = pace();
        for at in (1000..3000).step_by(20) {
            pace.stirred(ms(at), WAYS);
        }
        assert_eq!(pace.due(), Due { at: ms(1500), what: WAYS });
    }

    #[test]
    fn what_failed_is_tried_again_after_waits_that_double() {
        let mut pace = pace();
        let mut waits = Vec::new();
        let mut now = ms(60_000);
        for _ in 0..8 {
            pace.looked(now, Stirred::EVERYTHING, Ended::Badly, None);
            waits.push((pace.due().at - now).as_secs());
            now = pace.due().at;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        pace.looked(now, WAYS, Ended::Well, None);
        pace.looked(now, Stirred::EVERYTHING, Ended::Badly, None);
        assert_eq!(pace.due().at - now, ms(60_000), "a part that is well does not end it");
        pace.looked(now, Stirred::EVERYTHING, Ended::Well, None);
        pace.looked(now, Stirred::EVERYTHING, Ended::Badly, None);
        assert_eq!(pace.due().at - now, ms(1000));
    }

    #[test]
    fn what_was_put_off_is_not_forgotten() {
        let mut pace = pace();
        pace.looked(ms(2000), WAYS, Ended::Well, Some(ms(3000)));
        assert_eq!(pace.due(), Due { at: ms(3000), what: Stirred::EVERYTHING });
        pace.stirred(ms(2100), FILTER);
        assert_eq!(pace.due(), Due { at: ms(2150), what: FILTER });
    }
}
