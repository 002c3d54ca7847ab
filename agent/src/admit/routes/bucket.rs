//! How fast EC2 may be asked for changes: a token bucket for each API, as AWS keeps them, and slower
//! when AWS says so, since others in the account draw from the same ones.
//!
//! Source: "Request throttling for the Amazon EC2 API".

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// What AWS gives to most mutating actions.
const BURST: f64 = 50.0;
const PER_SECOND: f64 = 5.0;

/// A throttled bucket is filled at this share of its rate, and never more slowly than the least.
const SLOWED: f64 = 0.8;
const LEAST_PER_SECOND: f64 = 0.5;

/// By how much the rate grows back for each second without a throttle.
const RECOVERY: f64 = 0.05;

/// After a throttle nothing is asked for up to so long, at random: several who were throttled
/// together do not come back together.
const PAUSE: Duration = Duration::from_secs(1);

/// The buckets, by action.
#[derive(Debug, Default)]
pub struct Buckets(BTreeMap<&'static str, Bucket>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    per_second: f64,
    filled: Instant,
    not_before: Instant,
    /// When it was slowed down last: requests that were underway together are throttled together.
    slowed: Option<Instant>,
}

impl Buckets {
    /// Takes a token of `action`, if there are more than `spare`.
    pub fn take(&mut self, action: &'static str, spare: f64, now: Instant) -> bool {
        let bucket = self.bucket(action, now);
        let allowed = bucket.not_before <= now && bucket.tokens >= spare + 1.0;
        if allowed {
            bucket.tokens -= 1.0;
        }
        allowed
    }

    /// How long until there is a token of `action` beside `spare` ones.
    pub fn wait(&mut self, action: &'static str, spare: f64, now: Instant) -> Duration {
        let bucket = self.bucket(action, now);
        bucket.until(spare + 1.0).max(bucket.not_before - now)
    }

    /// How long until there have been tokens for so many `requests` of `action`.
    pub fn backlog(&mut self, action: &'static str, requests: u32, now: Instant) -> Duration {
        self.bucket(action, now).until(f64::from(requests))
    }

    /// AWS refused a request for being one too many.
    pub fn throttled(&mut self, action: &'static str, now: Instant) {
        let bucket = self.bucket(action, now);
        bucket.tokens = 0.0;
        if bucket.slowed.is_some_and(|at| now - at < PAUSE) {
            return;
        }
        bucket.slowed = Some(now);
        bucket.per_second = (bucket.per_second * SLOWED).max(LEAST_PER_SECOND);
        bucket.not_before = now + PAUSE.mul_f64(fastrand::f64());
    }

    fn bucket(&mut self, action: &'static str, now: Instant) -> &mut Bucket {
        let full = Bucket {
            tokens: BURST,
            per_second: PER_SECOND,
            filled: now,
            not_before: now,
            slowed: None,
        };
        let bucket = self.0.entry(action).or_insert(full);
        let seconds = (now - bucket.filled).as_secs_f64();
        bucket.tokens = BURST.min(bucket.tokens + seconds * bucket.per_second);
        bucket.per_second = PER_SECOND.min(bucket.per_second + seconds * RECOVERY);
        bucket.filled = now;
        bucket
    }
}

impl Bucket {
    fn until(&self, tokens: f64) -> Duration {
        let missing = (tokens - self.tokens).max(0.0);
        Duration::from_secs_f64(missing / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTION: &str = "CreateRoute";

    fn taken(buckets: &mut Buckets, now: Instant) -> usize {
        (0..100).filter(|_| buckets.take(ACTION, 0.0, now)).count()
    }

    #[test]
    fn a_burst_and_then_five_a_second() {
        let (mut buckets, start) = (Buckets::default(), Instant::now());
        assert_eq!(taken(&mut buckets, start), 50);
        assert_eq!(buckets.wait(ACTION, 0.0, start), Duration::from_millis(200));
        assert_eq!(buckets.backlog(ACTION, 1450, start), Duration::from_secs(290));
        assert_eq!(taken(&mut buckets, start + Duration::from_secs(2)), 10);
        assert_eq!(taken(&mut buckets, start + Duration::from_secs(100)), 50);
    }

    #[test]
    fn what_is_not_urgent_leaves_tokens_to_what_is() {
        let (mut buckets, start) = (Buckets::default(), Instant::now());
        let idle = (0..100).filter(|_| buckets.take(ACTION, 25.0, start)).count();
        assert_eq!((idle, taken(&mut buckets, start)), (25, 25));
    }

    #[test]
    fn a_throttle_slows_down_and_passes() {
        fastrand::seed(1);
        let (mut buckets, start) = (Buckets::default(), Instant::now());
        buckets.throttled(ACTION, start);
        assert_eq!(taken(&mut buckets, start), 0);
        assert!(buckets.wait(ACTION, 0.0, start) >= Duration::from_millis(250), "four a second");
        let second = start + Duration::from_secs(1);
        assert_eq!(taken(&mut buckets, second), 4);
        for _ in 0..20 {
            buckets.throttled(ACTION, second);
        }
        assert_eq!(
            taken(&mut buckets, second + Duration::from_secs(5)),
            16,
            "one throttle, not 20"
        );
        for seconds in 6..40 {
            buckets.throttled(ACTION, start + Duration::from_secs(seconds));
        }
        let last = start + Duration::from_secs(39);
        assert_eq!(taken(&mut buckets, last + Duration::from_secs(3)), 1, "never quite none");
        let later = second + Duration::from_secs(200);
        assert_eq!(taken(&mut buckets, later), 50);
        assert_eq!(buckets.wait(ACTION, 0.0, later), Duration::from_millis(200), "as before");
    }
}
