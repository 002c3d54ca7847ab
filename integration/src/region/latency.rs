//! How long AWS takes to answer, drawn from a seeded source.

use std::sync::Mutex;
use std::time::Duration;

use super::call::Service;

/// Which latencies a region has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// As fast as the machine.
    #[default]
    None,
    /// As AWS is seen to be from an instance: medians and 99th percentiles of the design, section 9.
    Aws,
}

/// Draws latencies.
#[derive(Debug)]
pub struct Latency {
    profile: Profile,
    source: Mutex<fastrand::Rng>,
}

/// The 99th percentile of the standard normal distribution.
const Z99: f64 = 2.326_347_874;

impl Latency {
    pub fn new(profile: Profile, seed: u64) -> Self {
        Self { profile, source: Mutex::new(fastrand::Rng::with_seed(seed)) }
    }

    /// The latency of one request: lognormal, and never beyond twice the 99th percentile.
    pub fn draw(&self, service: Service) -> Duration {
        if self.profile == Profile::None {
            return Duration::ZERO;
        }
        let (median_ms, p99_ms): (f64, f64) = match service {
            Service::S3 => (30.0, 120.0),
            Service::Ec2 | Service::AutoScaling => (80.0, 400.0),
            Service::Sts => (40.0, 160.0),
            Service::Imds => (2.0, 6.0),
        };
        let sigma = (p99_ms / median_ms).ln() / Z99;
        let ms = (median_ms.ln() + sigma * self.normal()).exp().min(2.0 * p99_ms);
        Duration::from_secs_f64(ms / 1000.0)
    }

    /// Box–Muller.
    fn normal(&self) -> f64 {
        let mut source = self.source.lock().expect("the latencies' lock");
        let (u, v) = (source.f64().max(f64::MIN_POSITIVE), source.f64());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aws_profile_has_the_stated_median_and_p99() {
        let latency = Latency::new(Profile::Aws, 7);
        let mut ms: Vec<f64> =
            (0..20_000).map(|_| latency.draw(Service::S3).as_secs_f64() * 1000.0).collect();
        ms.sort_by(f64::total_cmp);
        assert!((ms[10_000] - 30.0).abs() < 1.0, "median {}", ms[10_000]);
        assert!((ms[19_800] - 120.0).abs() < 12.0, "p99 {}", ms[19_800]);
    }

    #[test]
    fn the_same_seed_draws_the_same_latencies() {
        let draw = || {
            let latency = Latency::new(Profile::Aws, 42);
            (0..10).map(|_| latency.draw(Service::Ec2)).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
        assert_eq!(Latency::new(Profile::None, 42).draw(Service::Ec2), Duration::ZERO);
    }
}
