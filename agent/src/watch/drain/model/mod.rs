//! The drain's decisions, explored: all interleavings of announcements, answers, lost answers, kills
//! and time, within the bounds that each test states.
//!
//! The world is Auto Scaling, the API server and the program's own death, as small as they can be and
//! still surprise: an effect may be carried out and its answer lost, or never be carried out; a kill
//! leaves what was written down before the last effects, and nothing else.

mod world;

use std::time::Duration;

use self::world::lost;
use super::event::{Announced, EventId, Kind, Moment};
use super::explore::{Model, explore};
use super::pod::{Pod, Uid};
use super::rules::Rules;
use super::state::{Leaving, State};
use super::step::{Effect, Observation};
use crate::config::{OnRebalance, WhenRefused};

const PODS: usize = 2;

/// Every run has ended long before.
const END: Duration = Duration::from_secs(200);

/// What may happen, and how often.
#[derive(Clone, Debug)]
struct Bounds {
    rules: Rules,
    /// Announced in any order and at any time, each once.
    events: Vec<Announced>,
    /// May be withdrawn.
    withdrawn: Option<EventId>,
    kills: u8,
    /// Answers that are lost, and calls that are.
    losses: u8,
    /// The first pod's budget refuses this often.
    refusals: u8,
    /// The instance comes back to service after its hook was completed, and is taken out again.
    returns: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    now: Moment,
    leaving: Leaving,
    written: Leaving,
    /// Begun and not carried out, or not answered.
    flying: Vec<Flying>,
    visible: Vec<Announced>,
    to_come: Vec<Announced>,
    action: Action,
    pods: [PodIs; PODS],
    cordoned: bool,
    kills: u8,
    losses: u8,
    refusals: u8,
    returns: bool,
    withdraws: bool,
    wrong: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Flying {
    Begun(Effect),
    Answered(Observation),
}

/// The lifecycle action of our hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    None,
    Pending { until: Moment },
    Completed,
    TimedOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum PodIs {
    Running,
    Ending,
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Happens {
    Announced(usize),
    Withdrawn,
    CarriedOut(usize),
    AnsweredTo(usize),
    /// The call did not arrive, or its answer did not.
    Lost {
        call: usize,
        carried_out: bool,
    },
    PodEnded(usize),
    Listed,
    TimePassed,
    Killed,
    Returned,
}

fn pod(index: usize) -> Pod {
    Pod {
        uid: Uid(index.to_string()),
        namespace: "n".to_owned(),
        name: index.to_string(),
        grace: Duration::from_secs(4),
        // The last one goes last.
        priority: if index + 1 == PODS { 2_000_000_000 } else { 0 },
        ending: false,
        bare: false,
        local_data: false,
        volumes: false,
    }
}

fn id(kind: Kind) -> EventId {
    EventId { kind, name: kind.name().to_owned() }
}

fn announced(kind: Kind, at: Option<u64>) -> Announced {
    Announced { id: id(kind), at: at.map(|at| Moment::after_boot(Duration::from_secs(at))) }
}

impl Bounds {
    fn new(events: Vec<Announced>) -> Self {
        let rules = Rules {
            hook_timeout: Some(Duration::from_secs(30)),
            deadline: Duration::from_secs(20),
            deregistration: Duration::from_secs(2),
            when_refused: WhenRefused::Wait,
            on_rebalance: OnRebalance::Cordon,
            bare_pods: true,
            local_data: true,
        };
        let (kills, losses, refusals, returns) = (0, 0, 0, false);
        Self { rules, events, withdrawn: None, kills, losses, refusals, returns }
    }

    /// Explores all of it; the number of states.
    fn check(self, name: &str) -> usize {
        let explored = explore(&self);
        println!("{name}: {} states, {} ends", explored.states, explored.ends);
        assert!(explored.good_ends > 0, "no run of {name} ends as it should");
        explored.states
    }
}

impl Model for Bounds {
    type State = World;
    type Action = Happens;

    fn start(&self) -> World {
        World {
            now: Moment::after_boot(Duration::ZERO),
            leaving: Leaving::default(),
            written: Leaving::default(),
            flying: Vec::new(),
            visible: Vec::new(),
            to_come: self.events.clone(),
            action: Action::None,
            pods: [PodIs::Running; PODS],
            cordoned: false,
            kills: self.kills,
            losses: self.losses,
            refusals: self.refusals,
            returns: self.returns,
            withdraws: self.withdrawn.is_some(),
            wrong: None,
        }
    }

    fn actions(&self, world: &World) -> Vec<Happens> {
        let mut actions = Vec::new();
        actions.extend((0..world.to_come.len()).map(Happens::Announced));
        for (index, flying) in world.flying.iter().enumerate() {
            match flying {
                Flying::Begun(_) => {
                    if world.may_be_carried_out(index) {
                        actions.push(Happens::CarriedOut(index));
                        let lost = |carried_out| Happens::Lost { call: index, carried_out };
                        actions.extend(
                            [true, false].map(lost).into_iter().filter(|_| world.losses > 0),
                        );
                    }
                }
                Flying::Answered(_) => actions.push(Happens::AnsweredTo(index)),
            }
        }
        let ending = (0..PODS).filter(|index| world.pods[*index] == PodIs::Ending);
        actions.extend(ending.map(Happens::PodEnded));
        actions.extend(world.wants_list().then_some(Happens::Listed));
        actions.extend((world.kills > 0).then_some(Happens::Killed));
        let withdrawn = |it: &EventId| world.visible.iter().any(|announced| announced.id == *it);
        if world.withdraws && self.withdrawn.as_ref().is_some_and(withdrawn) {
            actions.push(Happens::Withdrawn);
        }
        if world.returns && world.action == Action::Completed && world.to_come.is_empty() {
            actions.push(Happens::Returned);
        }
        let wake = world.leaving.wake(&self.rules, world.now);
        actions.extend(wake.map(|_| Happens::TimePassed));
        actions
    }

    fn next(&self, before: &World, happens: &Happens) -> Option<World> {
        let mut world = before.clone();
        match *happens {
            Happens::Announced(index) => {
                let announced = world.to_come.remove(index);
                if announced.id.kind.has_hook() {
                    let until = world.now + Duration::from_secs(30);
                    world.action = Action::Pending { until };
                }
                world.visible.push(announced);
                world.tell_standing(&self.rules);
            }
            Happens::Withdrawn => {
                world.visible.retain(|it| Some(&it.id) != self.withdrawn.as_ref());
                world.withdraws = false;
                world.tell_standing(&self.rules);
            }
            Happens::CarriedOut(index) => {
                let Flying::Begun(effect) = world.flying.remove(index) else { return None };
                let answer = world.carry_out(effect.clone(), &self.rules);
                world.flying.push(Flying::Answered(answer));
                world.flying.sort();
            }
            Happens::Lost { call, carried_out } => {
                let Flying::Begun(effect) = world.flying.remove(call) else { return None };
                world.losses -= 1;
                if carried_out {
                    world.carry_out(effect.clone(), &self.rules);
                }
                world.flying.push(Flying::Answered(lost(&effect)));
                world.flying.sort();
            }
            Happens::AnsweredTo(index) => {
                let Flying::Answered(observed) = world.flying.remove(index) else { return None };
                world.observe(observed, &self.rules);
            }
            Happens::PodEnded(index) => {
                world.pods[index] = PodIs::Gone;
                if world.leaving.wants_pods() {
                    world.observe(Observation::PodGone(pod(index).uid), &self.rules);
                }
            }
            Happens::Listed => {
                let pods = world.listed();
                world.observe(Observation::Pods(pods), &self.rules);
            }
            Happens::TimePassed => {
                let wake = world.leaving.wake(&self.rules, world.now)?;
                world.now = world.now.max(wake);
                if let Action::Pending { until } = world.action
                    && until <= world.now
                {
                    world.action = Action::TimedOut;
                    world.wrong = Some("the hook timed out");
                }
                world.observe(Observation::Tick, &self.rules);
                let wake = world.leaving.wake(&self.rules, world.now);
                if wake.is_some_and(|wake| wake <= world.now) {
                    world.wrong = Some("it wakes without a reason");
                }
            }
            Happens::Killed => {
                world.kills -= 1;
                world.flying.clear();
                world.leaving = world.written.clone().resumed(world.now);
                world.tell_standing(&self.rules);
            }
            Happens::Returned => {
                world.returns = false;
                world.flying.clear();
                world.visible.clear();
                world.pods = [PodIs::Running; PODS];
                world.refusals = self.refusals;
                world.to_come = self.events.clone();
                world.leaving = world.written.clone().resumed(world.now);
                world.tell_standing(&self.rules);
            }
        }
        (world != *before).then_some(world)
    }

    fn wrong(&self, world: &World) -> Option<&'static str> {
        let cordoned = match &world.leaving.state {
            State::Left { drained } if world.flying.is_empty() => {
                world.cordoned || drained.cordoned.is_none()
            }
            _ => true,
        };
        let in_time = world.now.since(Moment::after_boot(Duration::ZERO)) < END;
        world
            .wrong
            .or((!cordoned).then_some("a node that left takes pods"))
            .or((!in_time).then_some("it does not end"))
    }

    fn is_end(&self, world: &World) -> bool {
        world.is_over()
    }

    fn is_good_end(&self, world: &World) -> bool {
        let hooks = self.events.iter().any(|event| event.id.kind.has_hook());
        let left = world.visible.is_empty() || world.gone() || world.refusals > 0;
        left && (world.action == Action::Completed || !hooks)
            || matches!(world.leaving.state, State::Cordoned { .. })
    }
}

#[test]
fn a_termination_under_two_kills() {
    let bounds = Bounds::new(vec![announced(Kind::Termination, None)]);
    let states = Bounds { kills: 2, refusals: 1, ..bounds }.check("two kills");
    assert!(states > 1000, "{states}");
}

#[test]
fn a_termination_with_lost_answers() {
    let bounds = Bounds::new(vec![announced(Kind::Termination, None)]);
    Bounds { losses: 1, refusals: 1, ..bounds.clone() }.check("a loss and a refusal");
    Bounds { kills: 1, losses: 1, ..bounds }.check("a loss and a kill");
}

#[test]
fn a_budget_that_never_allows() {
    let bounds = Bounds::new(vec![announced(Kind::Termination, None)]);
    let waits = Bounds { refusals: 9, kills: 1, ..bounds.clone() };
    waits.check("a budget that never allows");
    let rules = Rules { when_refused: WhenRefused::Delete, ..bounds.rules };
    Bounds { refusals: 9, kills: 1, rules, ..bounds }.check("the same, deleted");
}

#[test]
fn a_recommendation_then_a_notice_then_a_termination() {
    let events = vec![
        announced(Kind::Rebalance, None),
        announced(Kind::Spot, Some(40)),
        announced(Kind::Termination, None),
    ];
    let bounds = Bounds::new(events);
    let rules = Rules { deregistration: Duration::from_secs(300), ..bounds.rules };
    Bounds { rules, ..bounds }.check("three events in any order");
}

#[test]
fn a_recommendation_that_is_withdrawn() {
    let bounds = Bounds::new(vec![announced(Kind::Rebalance, None)]);
    let withdrawn = Some(id(Kind::Rebalance));
    Bounds { kills: 2, losses: 2, withdrawn, ..bounds }.check("withdrawn");
}

#[test]
fn maintenance_that_is_cancelled_while_pods_leave() {
    let bounds = Bounds::new(vec![announced(Kind::Maintenance, Some(30))]);
    let withdrawn = Some(id(Kind::Maintenance));
    Bounds { kills: 1, losses: 1, withdrawn, ..bounds }.check("cancelled");
}

#[test]
fn an_instance_that_comes_back_and_leaves_again() {
    let bounds = Bounds::new(vec![announced(Kind::WarmPool, None)]);
    Bounds { kills: 1, returns: true, ..bounds }.check("there and back again");
}
