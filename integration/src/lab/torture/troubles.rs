//! What AWS does wrong in a drain, each with the time that it costs a program which makes no mistake.

use std::time::Duration;

use fastrand::Rng;

use crate::region::call::Service;
use crate::region::{Fault, Rule};

const TARGET: &str = "GET meta-data/autoscaling/target-lifecycle-state";
const TOKEN: &str = "PUT api/token";
const COMPLETE: &str = "CompleteLifecycleAction";
const HEARTBEAT: &str = "RecordLifecycleActionHeartbeat";

/// How long all of them together may keep a program up.
#[derive(Debug)]
pub struct Troubles {
    left: Duration,
}

impl Troubles {
    pub fn within(left: Duration) -> Self {
        Self { left }
    }

    /// As much of this time as is left.
    pub fn take(&mut self, wanted: Duration) -> Duration {
        let taken = wanted.min(self.left);
        self.left -= taken;
        taken
    }

    /// Strikes a call somewhere in the drain.
    pub fn at_the_start(&mut self, rng: &mut Rng) -> Vec<Rule> {
        let mut rules = Vec::new();
        for _ in 0..rng.u32(..=2) {
            let nth = rng.u64(1..=40);
            rules.extend(self.afford(imds(rng).map_rule(|rule| rule.from_call(nth))));
        }
        for action in [COMPLETE, COMPLETE, HEARTBEAT] {
            if rng.bool() {
                // Each start of the program asks once for nobody's hook.
                let nth = rng.u64(2..=7);
                let trouble = auto_scaling(rng, action);
                rules.extend(self.afford(trouble.map_rule(|rule| rule.from_call(nth))));
            }
        }
        rules
    }

    /// Strikes the first calls of a program that was started again.
    pub fn at_a_restart(&mut self, rng: &mut Rng) -> Vec<Rule> {
        let trouble = match rng.u32(..6) {
            // One place says nothing, and the others do.
            0..=1 => Trouble::new(rule(Service::Imds, TARGET, Fault::Timeout).times(3), 8000),
            2 => {
                Trouble::new(rule(Service::Imds, TOKEN, Fault::Timeout).times(rng.u64(1..=5)), 6000)
            }
            3 => imds(rng),
            _ => auto_scaling(rng, COMPLETE),
        };
        self.afford(trouble).into_iter().collect()
    }

    fn afford(&mut self, Trouble { rule, cost }: Trouble) -> Option<Rule> {
        let affordable = cost <= self.left;
        if affordable {
            self.left -= cost;
        }
        affordable.then_some(rule)
    }
}

struct Trouble {
    rule: Rule,
    cost: Duration,
}

impl Trouble {
    fn new(rule: Rule, cost_ms: u64) -> Self {
        Self { rule, cost: Duration::from_millis(cost_ms) }
    }

    fn map_rule(self, change: impl FnOnce(Rule) -> Rule) -> Self {
        Self { rule: change(self.rule), ..self }
    }
}

/// A read is tried again at once, or after a second's silence.
fn imds(rng: &mut Rng) -> Trouble {
    let (fault, times, cost_ms) = match rng.u32(..5) {
        0 => (Fault::Unavailable, rng.u64(1..=5), 1000),
        1 => (Fault::InternalError, rng.u64(1..=5), 1000),
        2 => (Fault::Cut, rng.u64(1..=2), 300),
        3 => (Fault::Slow(Duration::from_millis(rng.u64(100..900))), rng.u64(1..=3), 2700),
        _ => (Fault::Timeout, rng.u64(1..=2), 2500),
    };
    Trouble::new(rule(Service::Imds, "GET meta-data/*", fault).times(times), cost_ms)
}

/// A call is given up after five seconds of silence.
fn auto_scaling(rng: &mut Rng, action: &str) -> Trouble {
    let (fault, times, cost_ms) = match rng.u32(..7) {
        0 => (Fault::Throttle, rng.u64(1..=4), 5000),
        1 => (Fault::InternalError, rng.u64(1..=4), 5000),
        2 => (Fault::Unavailable, rng.u64(1..=4), 5000),
        3 => (Fault::Cut, rng.u64(1..=2), 1500),
        4 => (Fault::Slow(Duration::from_millis(rng.u64(200..3000))), rng.u64(1..=2), 5000),
        5 => (Fault::Timeout, 1, 6000),
        _ => (Fault::Lost, 1, 6000),
    };
    Trouble::new(rule(Service::AutoScaling, action, fault).times(times), cost_ms)
}

fn rule(service: Service, action: &str, fault: Fault) -> Rule {
    Rule::always(fault).on(service, action)
}

/// As a plan names it.
pub fn shown(rule: &Rule) -> String {
    let action = rule.action.as_deref().unwrap_or("*");
    let count = rule.count.map_or_else(|| "all".to_owned(), |count| count.to_string());
    format!("{} of {action}, {count} from call {} on", rule.fault, rule.nth)
}
