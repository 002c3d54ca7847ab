//! What is done to one drain, drawn from a seed: who is on the node, what is announced, when the
//! program is killed, and what goes wrong around it.
//!
//! All that goes wrong has a cost, and together not more than a hook of 30 s leaves to a program that
//! makes no mistake: a plan which nobody could survive says nothing.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use super::book::Milestone;
use super::pods::{Kind, Wanted};
use super::service::Kill;
use super::troubles::{Troubles, shown};
use crate::region::Rule;

/// One plan.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub run: u32,
    pub opening: Opening,
    pub shape: Shape,
    pub pods: Vec<Wanted>,
    /// From the start of the program to the announcement.
    pub announced_after: Duration,
    /// How long IMDS does not tell it yet.
    pub lag: Duration,
    pub others_hook: bool,
    pub deregistration_seconds: u32,
    /// What AWS does wrong from the start on.
    pub faults: Vec<Rule>,
    pub kills: Vec<(When, Kill)>,
    pub outage: Option<Outage>,
}

/// What is announced before Auto Scaling's own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    Nothing,
    /// A spot notice, so long before.
    Spot(Duration),
    /// A rebalance recommendation, which is there from the start on, and makes the node drain or not.
    Rebalance {
        drains: bool,
    },
}

/// How the drain would go by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// In a few seconds.
    Usual,
    /// One pod takes so long that only heartbeats keep the hook.
    Long,
    /// One pod never ends: the deadline comes.
    Stuck,
}

/// So long after a milestone.
pub type When = (Milestone, Duration);

/// The API server answers nothing for a while.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    pub when: When,
    pub lasts: Duration,
    /// All connections end with it.
    pub cut: bool,
}

impl Plan {
    /// That of this run of the seed, always the same one.
    pub fn draw(seed: u64, run: u32) -> Self {
        let mixed = seed.wrapping_add(u64::from(run).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut rng = Rng::with_seed(mixed);
        let rng = &mut rng;
        let shape = match rng.u32(..20) {
            0..=1 => Shape::Long,
            2..=4 => Shape::Stuck,
            _ => Shape::Usual,
        };
        let opening = match rng.u32(..10) {
            0..=1 => Opening::Spot(ms(rng, 0..3000)),
            2 => Opening::Rebalance { drains: false },
            3 => Opening::Rebalance { drains: true },
            _ => Opening::Nothing,
        };
        let rebalances = matches!(opening, Opening::Rebalance { .. });
        let mut troubles = Troubles::within(shape.spare());
        let faults = troubles.at_the_start(rng);
        let outage = (rng.u32(..4) == 0).then(|| Outage {
            when: (early(rng), ms(rng, 0..2500)),
            lasts: troubles.take(ms(rng, 300..4000)),
            cut: rng.bool(),
        });
        let kills = (0..rng.u32(2..=6)).map(|_| kill(rng, shape, &mut troubles)).collect();
        Self {
            seed,
            run,
            opening,
            shape,
            pods: pods(rng, shape),
            announced_after: ms(rng, 200..2500),
            // A recommendation is read at the start, and not soon again.
            lag: if rebalances { Duration::ZERO } else { ms(rng, 0..1000) },
            others_hook: rng.bool(),
            deregistration_seconds: rng.u32(..=1),
            faults,
            kills,
            outage: outage.filter(|outage| !outage.lasts.is_zero()),
        }
    }

    /// The table `[drain]` of its configuration.
    pub fn drain(&self) -> String {
        let on_rebalance = match self.opening {
            Opening::Rebalance { drains: true } => "drain",
            _ => "cordon",
        };
        format!(
            "deadline = \"{}s\"\nderegistration_delay = \"{}s\"\non_rebalance = \"{on_rebalance}\"",
            self.deadline().as_secs(),
            self.deregistration_seconds,
        )
    }

    /// How long the pods have.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(match self.shape {
            Shape::Usual => 14,
            Shape::Long => 42,
            Shape::Stuck => 10,
        })
    }
}

impl Shape {
    /// What is left of the hook's 30 s: beside the deadline, which comes first where a pod never
    /// ends, and which trouble brings near where none would have; beside half of a timeout where
    /// heartbeats are needed.
    fn spare(self) -> Duration {
        Duration::from_secs(match self {
            Self::Usual => 11,
            Self::Long => 9,
            Self::Stuck => 12,
        })
    }
}

/// Most of them in the first seconds, where there is the most to interrupt.
fn kill(rng: &mut Rng, shape: Shape, troubles: &mut Troubles) -> (When, Kill) {
    let when = match rng.u32(..10) {
        0..=2 => (Milestone::Announced, ms(rng, 0..5000)),
        3 => (Milestone::Cordoned, ms(rng, 0..100)),
        4 => (Milestone::Asked, ms(rng, 0..100)),
        5 => (Milestone::Asked, ms(rng, 0..2000)),
        6 => (Milestone::Empty, ms(rng, 0..100)),
        7 => (Milestone::Empty, ms(rng, 0..1000)),
        8 => (Milestone::Over, ms(rng, 0..150)),
        // Around the heartbeats.
        _ if shape == Shape::Long => (Milestone::Announced, ms(rng, 13_000..33_000)),
        _ => (Milestone::Over, ms(rng, 0..1000)),
    };
    let pause = troubles.take(ms(rng, 20..1000));
    let faults = if rng.u32(..3) == 0 { troubles.at_a_restart(rng) } else { Vec::new() };
    (when, Kill { pause, faults })
}

fn early(rng: &mut Rng) -> Milestone {
    [Milestone::Announced, Milestone::Cordoned, Milestone::Asked][rng.usize(..3)]
}

fn pods(rng: &mut Rng, shape: Shape) -> Vec<Wanted> {
    let soon = |rng: &mut Rng| Some(ms(rng, 30..900));
    let mut pods = vec![Wanted::new("every-node", Kind::OfDaemonSet, soon(rng))];
    for number in 0..rng.u32(2..=3) {
        pods.push(Wanted::new(&format!("web-{number}"), Kind::Web, soon(rng)));
    }
    for number in 0..rng.u32(..=3) {
        pods.push(Wanted::new(&format!("bare-{number}"), Kind::Bare, soon(rng)));
    }
    if rng.bool() {
        pods.push(Wanted::new("critical", Kind::Critical, soon(rng)));
    }
    let patient = Wanted { grace_seconds: 3600, ..Wanted::new("patient", Kind::Bare, soon(rng)) };
    pods.push(match shape {
        Shape::Usual => patient,
        Shape::Long => Wanted { ends_after: Some(ms(rng, 29_000..33_000)), ..patient },
        Shape::Stuck => Wanted { ends_after: None, ..patient },
    });
    pods
}

fn ms(rng: &mut Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(range))
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, run, opening, shape, .. } = self;
        writeln!(f, "run {run} of seed {seed}: {shape:?}, {opening:?} before the announcement")?;
        writeln!(f, "  announced after {:?}, told {:?} later", self.announced_after, self.lag)?;
        for pod in &self.pods {
            writeln!(f, "  pod {} ends after {:?}", pod.name, pod.ends_after)?;
        }
        for rule in &self.faults {
            writeln!(f, "  from the start: {}", shown(rule))?;
        }
        for ((milestone, after), kill) in &self.kills {
            write!(f, "  killed {after:?} after {milestone:?}, for {:?}", kill.pause)?;
            for rule in &kill.faults {
                write!(f, ", then {}", shown(rule))?;
            }
            writeln!(f)?;
        }
        if let Some(Outage { when: (milestone, after), lasts, cut }) = self.outage {
            let end = if cut { ", which ends all connections" } else { "" };
            writeln!(f, "  API server silent {after:?} after {milestone:?} for {lasts:?}{end}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_run_of_a_seed_has_the_same_plan_and_another_one_another() {
        let plan = |seed, run| format!("{:?}", Plan::draw(seed, run));
        assert_eq!(plan(7, 3), plan(7, 3));
        assert_ne!(plan(7, 3), plan(7, 4));
        assert_ne!(plan(7, 3), plan(8, 3));
    }

    #[test]
    fn all_shapes_and_openings_are_drawn() {
        let plans: Vec<Plan> = (0..50).map(|run| Plan::draw(1, run)).collect();
        for shape in [Shape::Usual, Shape::Long, Shape::Stuck] {
            assert!(plans.iter().any(|plan| plan.shape == shape), "{shape:?}");
        }
        assert!(plans.iter().any(|plan| matches!(plan.opening, Opening::Spot(_))));
        assert!(plans.iter().any(|plan| matches!(plan.opening, Opening::Rebalance { .. })));
        assert!(plans.iter().any(|plan| plan.outage.is_some()));
        assert!(plans.iter().all(|plan| plan.kills.len() >= 2));
    }
}
