//! Token buckets, one an action: EC2 API Reference, "Request throttling for the Amazon EC2 API".

use std::collections::BTreeMap;

use time::OffsetDateTime;

use crate::region::call::ServiceError;

const MILLI: u64 = 1000;

/// A bucket's size and what flows back into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub burst: u32,
    pub per_second: u32,
}

/// What is throttled, and how. Reads are free unless set, but for DescribeRouteTables, which has
/// the page's rate for non-mutating actions: whoever keeps routes lives by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Describe actions.
    pub reads: Option<Rate>,
    /// Everything else: 50 at once and 5 a second is what AWS gives most of them.
    pub mutations: Option<Rate>,
    /// An action's own rate.
    pub by_action: BTreeMap<String, Rate>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reads: None,
            mutations: Some(Rate { burst: 50, per_second: 5 }),
            by_action: BTreeMap::from([(
                "DescribeRouteTables".to_owned(),
                Rate { burst: 100, per_second: 20 },
            )]),
        }
    }
}

/// How full each action's bucket is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets(BTreeMap<String, Bucket>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    millitokens: u64,
    at: OffsetDateTime,
}

impl Buckets {
    /// Takes one token out of the action's bucket, or refuses with `RequestLimitExceeded`.
    pub fn take(
        &mut self,
        action: &str,
        limits: &Limits,
        now: OffsetDateTime,
    ) -> Result<(), ServiceError> {
        let general = if action.starts_with("Describe") { limits.reads } else { limits.mutations };
        let Some(rate) = limits.by_action.get(action).copied().or(general) else { return Ok(()) };
        let full = u64::from(rate.burst) * MILLI;
        let bucket =
            self.0.entry(action.to_owned()).or_insert(Bucket { millitokens: full, at: now });
        let elapsed_ms = u64::try_from((now - bucket.at).whole_milliseconds()).unwrap_or(0);
        bucket.millitokens = full.min(bucket.millitokens + elapsed_ms * u64::from(rate.per_second));
        bucket.at = bucket.at.max(now);
        if bucket.millitokens < MILLI {
            return Err(ServiceError::new(503, "RequestLimitExceeded", "Request limit exceeded."));
        }
        bucket.millitokens -= MILLI;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_takes_its_burst_and_fills_at_its_rate_without_running_over() {
        let limits = Limits::default();
        let mut buckets = Buckets::default();
        let mut taken_at = |seconds: f64| {
            let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs_f64(seconds);
            (0..100).filter(|_| buckets.take("CreateRoute", &limits, now).is_ok()).count()
        };
        assert_eq!(
            [taken_at(0.0), taken_at(1.0), taken_at(1.1), taken_at(1.2), taken_at(3600.0)],
            [50, 5, 0, 1, 50]
        );
    }

    #[test]
    fn each_action_has_its_own_bucket_and_reads_are_free_unless_limited() {
        let mut limits = Limits::default();
        let mut buckets = Buckets::default();
        let mut allowed = |action: &str, limits: &Limits| {
            (0..60)
                .filter(|_| buckets.take(action, limits, OffsetDateTime::UNIX_EPOCH).is_ok())
                .count()
        };
        assert_eq!(allowed("CreateRoute", &limits), 50);
        assert_eq!(allowed("DeleteRoute", &limits), 50);
        assert_eq!(allowed("DescribeInstances", &limits), 60);
        assert_eq!(allowed("DescribeRouteTables", &limits), 60);
        assert_eq!(allowed("DescribeRouteTables", &limits), 40);
        limits.by_action.insert("DescribeInstances".to_owned(), Rate { burst: 2, per_second: 1 });
        assert_eq!(allowed("DescribeInstances", &limits), 2);
    }
}
