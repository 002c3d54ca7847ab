//! One target and its state, by the names of DescribeTargetHealth (Elastic Load Balancing API Reference,
//! "TargetHealth"). Time comes in as an argument.

use std::net::Ipv4Addr;

use tokio::sync::watch;
use tokio::time::Instant;

use super::counts::Counts;
use super::{DEREGISTRATION_DELAY, PROPAGATION};

/// HealthyThresholdCount: "The range is 2–10. The default is 5."
const HEALTHY_THRESHOLD: u32 = 2;
/// UnhealthyThresholdCount: "The range is 2–10. The default is 2."
const UNHEALTHY_THRESHOLD: u32 = 2;

/// A Node that gets requests, or did.
#[derive(Debug)]
pub struct Target {
    pub address: Ipv4Addr,
    /// Grows with each registration: checks of an earlier one count no more.
    pub registration: u64,
    pub counts: Counts,
    state: State,
    /// How many checks in a row said something else than the state does.
    against: u32,
    /// Dropped with the target: what is under way ends then.
    alive: watch::Sender<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is registered, and has passed no check yet.
    Initial,
    Healthy,
    Unhealthy,
    /// It leaves since then.
    Draining {
        since: Instant,
        /// Whether it got requests until then.
        served: bool,
    },
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Draining { .. } => "draining",
        }
    }
}

impl Target {
    pub fn registered(address: Ipv4Addr) -> Self {
        Self {
            address,
            registration: 0,
            counts: Counts::default(),
            state: State::Initial,
            against: 0,
            alive: watch::Sender::new(()),
        }
    }

    /// It is wanted again before it was gone. What it has under way goes on.
    pub fn register_again(&mut self) {
        self.registration += 1;
        self.be(State::Initial);
    }

    /// It is wanted no more.
    pub fn leave(&mut self, now: Instant) {
        self.be(State::Draining { since: now, served: self.state == State::Healthy });
    }

    /// "After your target is registered, it must pass one health check to be considered healthy."
    /// Later changes take as many checks in a row as the thresholds say.
    pub fn checked(&mut self, passed: bool) {
        let (threshold, next) = match (self.state, passed) {
            (State::Initial, true) => (1, State::Healthy),
            (State::Unhealthy, true) => (HEALTHY_THRESHOLD, State::Healthy),
            (State::Initial | State::Healthy, false) => (UNHEALTHY_THRESHOLD, State::Unhealthy),
            (State::Healthy, true) | (State::Unhealthy, false) => {
                self.against = 0;
                return;
            }
            (State::Draining { .. }, _) => return,
        };
        self.against += 1;
        if self.against >= threshold {
            self.be(next);
        }
    }

    /// Whether new requests may go there.
    pub fn takes_requests(&self, now: Instant) -> bool {
        match self.state {
            State::Healthy => true,
            State::Draining { since, served } => served && now < since + PROPAGATION,
            State::Initial | State::Unhealthy => false,
        }
    }

    pub fn is_leaving(&self) -> bool {
        self.leaves_since().is_some()
    }

    pub fn leaves_since(&self) -> Option<Instant> {
        match self.state {
            State::Draining { since, .. } => Some(since),
            _ => None,
        }
    }

    /// Whether it left so long ago that it is gone.
    pub fn is_gone(&self, now: Instant) -> bool {
        self.leaves_since().is_some_and(|since| since + DEREGISTRATION_DELAY <= now)
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// It ends when the target is gone.
    pub fn life(&self) -> watch::Receiver<()> {
        self.alive.subscribe()
    }

    fn be(&mut self, state: State) {
        (self.state, self.against) = (state, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(checks: &[bool]) -> Target {
        let mut target = Target::registered([10, 0, 1, 4].into());
        checks.iter().for_each(|passed| target.checked(*passed));
        target
    }

    #[test]
    fn one_passed_check_makes_a_new_target_healthy_and_two_of_a_kind_change_it() {
        let state = |checks: &[bool]| target(checks).state();
        assert_eq!(state(&[]), State::Initial);
        assert_eq!(state(&[false]), State::Initial);
        assert_eq!(state(&[false, false]), State::Unhealthy);
        assert_eq!(state(&[true]), State::Healthy);
        assert_eq!(state(&[true, false]), State::Healthy);
        assert_eq!(state(&[true, false, true, false]), State::Healthy, "not in a row");
        assert_eq!(state(&[true, false, false]), State::Unhealthy);
        assert_eq!(state(&[true, false, false, true]), State::Unhealthy);
        assert_eq!(state(&[true, false, false, true, true]), State::Healthy);
    }

    #[test]
    fn a_target_that_leaves_gets_requests_for_as_long_as_the_change_takes_to_spread() {
        let now = Instant::now();
        let mut leaves = target(&[true]);
        leaves.leave(now);
        assert!(leaves.takes_requests(now));
        assert!(!leaves.takes_requests(now + PROPAGATION));
        assert!(!leaves.is_gone(now + PROPAGATION));
        assert!(leaves.is_gone(now + DEREGISTRATION_DELAY));
        let mut never_served = target(&[]);
        never_served.leave(now);
        assert!(!never_served.takes_requests(now));
    }

    #[test]
    fn a_target_that_comes_back_is_checked_anew_and_keeps_what_is_under_way() {
        let mut target = target(&[true]);
        let life = target.life();
        target.leave(Instant::now());
        target.checked(true);
        assert!(target.is_leaving(), "a check does not bring it back");
        target.register_again();
        assert_eq!((target.state(), target.registration), (State::Initial, 1));
        assert!(life.has_changed().is_ok(), "its life goes on");
        drop(target);
        assert!(life.has_changed().is_err());
    }
}
