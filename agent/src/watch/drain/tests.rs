//! Drains as stories: what is observed, and what is done then. Defects that others reported of their
//! handlers are named where we would have them too (aws/aws-node-termination-handler, "NTH").

use std::time::Duration;

use time::macros::datetime;

use super::event::{Announced, At, EventId, Kind, Moment};
use super::evictions::{Answer, Progress};
use super::pod::{Pod, Uid};
use super::report::{Subject, report};
use super::rules::Rules;
use super::state::{HookEnd, Leaving, State};
use super::step::{Effect, HookAnswer, NodeAnswer, Observation, step};
use crate::config::{OnRebalance, WhenRefused};

struct Story {
    rules: Rules,
    leaving: Leaving,
    now: Moment,
}

fn at(seconds: u64) -> Moment {
    Moment::after_boot(Duration::from_secs(seconds))
}

fn id(kind: Kind, name: &str) -> EventId {
    EventId { kind, name: name.to_owned() }
}

fn termination() -> Announced {
    Announced { id: id(Kind::Termination, "Terminated"), at: None }
}

fn warm_pool(state: &str) -> Announced {
    Announced { id: id(Kind::WarmPool, state), at: None }
}

fn spot(seconds: u64) -> Announced {
    Announced { id: id(Kind::Spot, "2026-11-25T09:02:00Z"), at: Some(at(seconds)) }
}

fn rebalance() -> Announced {
    Announced { id: id(Kind::Rebalance, "2026-11-25T09:00:00Z"), at: None }
}

fn maintenance(seconds: u64) -> Announced {
    Announced { id: id(Kind::Maintenance, "instance-event-1"), at: Some(at(seconds)) }
}

fn pod(name: &str) -> Pod {
    Pod {
        uid: Uid(name.to_owned()),
        namespace: "default".to_owned(),
        name: name.to_owned(),
        grace: Duration::from_secs(30),
        priority: 0,
        ending: false,
        bare: false,
        local_data: false,
        volumes: false,
    }
}

fn evict(name: &str) -> Effect {
    Effect::Evict { pod: pod(name), grace: None }
}

fn refused() -> Answer {
    Answer::Refused { again: None, said: "the budget `web` has none to spare".to_owned() }
}

impl Story {
    fn new() -> Self {
        let rules = Rules {
            hook_timeout: Some(Duration::from_secs(60)),
            deadline: Duration::from_secs(300),
            deregistration: Duration::ZERO,
            when_refused: WhenRefused::Wait,
            on_rebalance: OnRebalance::Cordon,
            bare_pods: true,
            local_data: true,
        };
        Self { rules, leaving: Leaving::default(), now: at(0) }
    }

    fn observe(&mut self, observed: Observation) -> Vec<Effect> {
        let leaving = std::mem::take(&mut self.leaving);
        let (leaving, effects) = step(leaving, observed, &self.rules, self.now);
        self.leaving = leaving;
        effects
    }

    fn stands(&mut self, announced: &[Announced]) -> Vec<Effect> {
        self.observe(Observation::Standing(announced.to_vec()))
    }

    fn later(&mut self, seconds: u64) -> Vec<Effect> {
        self.now = self.now + Duration::from_secs(seconds);
        self.observe(Observation::Tick)
    }

    fn answered(&mut self, name: &str, answer: Answer) -> Vec<Effect> {
        self.observe(Observation::Answered(Uid(name.to_owned()), answer))
    }

    fn gone(&mut self, name: &str) -> Vec<Effect> {
        self.observe(Observation::PodGone(Uid(name.to_owned())))
    }

    /// Announced, cordoned, and its pods known.
    fn draining(announced: &[Announced], pods: &[Pod]) -> (Self, Vec<Effect>) {
        let mut story = Self::new();
        let effects = story.begins(announced, pods);
        (story, effects)
    }

    fn begins(&mut self, announced: &[Announced], pods: &[Pod]) -> Vec<Effect> {
        assert_eq!(self.stands(announced), [Effect::Cordon { exclude: true }]);
        assert_eq!(self.observe(Observation::Cordoned(NodeAnswer::Done)), []);
        self.observe(Observation::Pods(pods.to_vec()))
    }

    fn hook(&self) -> Option<&HookEnd> {
        self.leaving.events.iter().find_map(|event| event.hook.as_ref())
    }
}

#[test]
fn pods_leave_and_then_the_hook_is_completed() {
    let (mut story, effects) = Story::draining(&[termination()], &[pod("a"), pod("b")]);
    assert_eq!(effects, [evict("a"), evict("b")]);
    assert_eq!(story.answered("a", Answer::Granted), []);
    assert_eq!(story.answered("b", Answer::Granted), []);
    assert_eq!(story.gone("a"), []);
    assert_eq!(story.gone("b"), [Effect::Complete]);
    assert_eq!(story.observe(Observation::Completed(HookAnswer::Done)), []);
    assert!(matches!(story.leaving.state, State::Left { .. }));
    assert_eq!(story.hook(), Some(&HookEnd::Completed));
    assert_eq!(story.leaving.wake(&story.rules, story.now), None);
}

/// NTH issue 355: the hook was completed before the pods were gone.
#[test]
fn an_eviction_that_is_granted_is_not_a_pod_that_is_gone() {
    let (mut story, _) = Story::draining(&[termination()], &[pod("a")]);
    assert_eq!(story.answered("a", Answer::Granted), []);
    assert_eq!(story.later(20), []);
    assert_eq!(story.gone("a"), [Effect::Complete]);
}

/// NTH issue 250: one spot notice was taken dozens of times.
#[test]
fn the_same_announcement_again_is_nothing_new() {
    let (mut story, effects) = Story::draining(&[spot(120)], &[pod("a")]);
    assert_eq!(effects, [evict("a")]);
    assert_eq!(story.stands(&[spot(120)]), []);
    story.answered("a", Answer::Granted);
    assert_eq!(story.gone("a"), []);
    assert!(matches!(story.leaving.state, State::Left { .. }));
    assert_eq!(story.stands(&[spot(120)]), []);
    assert_eq!(story.stands(&[]), []);
    story.now = story.now + Duration::from_secs(3);
    assert_eq!(story.stands(&[spot(120)]), [], "one answer without it in between is none");
    assert!(matches!(story.leaving.state, State::Left { .. }));
}

/// NTH issue 1172: heartbeats went on after drains that had failed.
#[test]
fn heartbeats_go_on_while_pods_leave_and_end_with_the_drain() {
    let (mut story, _) = Story::draining(&[termination()], &[pod("a")]);
    story.answered("a", Answer::Granted);
    assert_eq!(story.later(29), []);
    assert_eq!(story.later(1), [Effect::Heartbeat], "half of the hook's 60 s");
    assert_eq!(story.later(40), [], "one at a time");
    assert_eq!(story.observe(Observation::Beaten(HookAnswer::Done)), [Effect::Heartbeat]);
    // Completed only when no heartbeat can come after it.
    assert_eq!(story.gone("a"), []);
    assert_eq!(story.observe(Observation::Beaten(HookAnswer::Done)), [Effect::Complete]);
    assert_eq!(story.later(30), []);
    assert_eq!(story.observe(Observation::Completed(HookAnswer::Done)), []);
    assert_eq!(story.later(300), []);
}

/// NTH issue 545: a budget that does not allow in time ended the handler.
#[test]
fn a_budget_that_never_allows_ends_with_the_deadline_and_the_pod_is_named() {
    let mut story = Story::new();
    story.rules.hook_timeout = Some(Duration::from_secs(3600));
    let mut effects = story.begins(&[termination()], &[pod("a")]);
    for second in 1..300 {
        let grace = effects.iter().map(|effect| match effect {
            Effect::Evict { grace, .. } => *grace,
            other => panic!("{other:?}"),
        });
        // Near the end it is asked to be quicker than it would.
        let short = (second > 271).then(|| Duration::from_secs(301 - second));
        assert_eq!(grace.collect::<Vec<_>>(), [short], "{second} s");
        story.answered("a", refused());
        effects = story.later(1);
    }
    story.answered("a", refused());
    assert_eq!(story.later(1), [Effect::Complete], "at the deadline");
    let State::Completing { drained, .. } = &story.leaving.state else { panic!("{story:?}") };
    let left: Vec<_> = drained.evictions.left().map(|it| it.pod.name.as_str()).collect();
    assert_eq!(left, ["a"]);
}

#[test]
fn where_the_group_says_so_a_refused_pod_is_deleted_while_it_still_has_its_grace() {
    let (mut story, _) = Story::draining(&[spot(125)], &[pod("a")]);
    story.rules.when_refused = WhenRefused::Delete;
    story.answered("a", refused());
    assert_eq!(story.later(89), [evict("a")]);
    story.answered("a", refused());
    let grace = Duration::from_secs(30);
    assert_eq!(story.later(1), [Effect::Delete { pod: pod("a"), grace }], "120 s less 30");
    assert_eq!(story.answered("a", Answer::Granted), []);
    assert_eq!(story.gone("a"), []);
    assert!(matches!(story.leaving.state, State::Left { .. }));
}

#[test]
fn a_grace_of_an_hour_is_cut_to_what_there_is() {
    let slow = Pod { grace: Duration::from_secs(3600), ..pod("slow") };
    let (_, effects) = Story::draining(&[spot(125)], std::slice::from_ref(&slow));
    assert_eq!(effects, [Effect::Evict { pod: slow, grace: Some(Duration::from_secs(120)) }]);
}

#[test]
fn critical_pods_go_last() {
    let dns = Pod { priority: 2_000_000_000, ..pod("dns") };
    let (mut story, effects) = Story::draining(&[termination()], &[dns.clone(), pod("a")]);
    assert_eq!(effects, [evict("a")]);
    story.answered("a", Answer::Granted);
    assert_eq!(story.gone("a"), [Effect::Evict { pod: dns, grace: None }]);
}

#[test]
fn load_balancers_let_go_before_pods_are_asked() {
    let mut story = Story::new();
    story.rules.deregistration = Duration::from_secs(30);
    assert_eq!(story.begins(&[termination()], &[pod("a")]), []);
    assert_eq!(story.leaving.wake(&story.rules, story.now), Some(at(30)));
    assert_eq!(
        story.later(30),
        [evict("a"), Effect::Heartbeat].into_iter().rev().collect::<Vec<_>>()
    );
    let mut hasty = Story::new();
    hasty.rules.deregistration = Duration::from_secs(300);
    assert_eq!(hasty.begins(&[spot(125)], &[pod("a")]), []);
    assert_eq!(hasty.leaving.wake(&hasty.rules, hasty.now), Some(at(60)), "half of the time");
}

#[test]
fn a_recommendation_cordons_and_a_notice_drains() {
    let mut story = Story::new();
    assert_eq!(story.stands(&[rebalance()]), [Effect::Cordon { exclude: false }]);
    // Not before the first change of the Node is answered.
    assert_eq!(story.stands(&[rebalance(), spot(125)]), []);
    let effects = story.observe(Observation::Cordoned(NodeAnswer::Done));
    assert_eq!(effects, [Effect::Cordon { exclude: true }]);
    assert_eq!(story.leaving.end(&story.rules, story.now), Some(at(120)), "the nearest");
}

#[test]
fn a_shutdown_waits_for_the_drain_and_a_node_that_is_empty_already_goes_down_at_once() {
    let shutdown =
        |seconds| Announced { id: id(Kind::Shutdown, "PrepareForShutdown"), at: Some(at(seconds)) };
    let (mut story, effects) = Story::draining(&[shutdown(30)], &[pod("a")]);
    assert_eq!(effects, [Effect::Evict { pod: pod("a"), grace: Some(Duration::from_secs(25)) }]);
    story.answered("a", Answer::Granted);
    assert!(!story.leaving.is_ready_for(Kind::Shutdown));
    story.gone("a");
    assert!(story.leaving.is_ready_for(Kind::Shutdown));

    // The machine comes up again.
    story.leaving = story.leaving.resumed(story.now).in_another_boot();
    assert!(!story.leaving.is_ready_for(Kind::Shutdown));
    assert_eq!(story.stands(&[]), [Effect::Uncordon]);
    story.observe(Observation::Uncordoned(NodeAnswer::Done));
    assert_eq!(story.leaving, Leaving::default());

    let (mut story, _) = Story::draining(&[spot(125)], &[]);
    story.now = at(118);
    assert_eq!(story.stands(&[spot(125), shutdown(148)]), []);
    assert!(story.leaving.is_ready_for(Kind::Shutdown));
}

#[test]
fn a_termination_after_a_drain_only_needs_its_hook() {
    let (mut story, _) = Story::draining(&[spot(125)], &[]);
    assert!(matches!(story.leaving.state, State::Left { .. }));
    story.now = at(60);
    let effects = story.stands(&[spot(125), termination()]);
    assert_eq!(effects, [Effect::Cordon { exclude: true }], "pods may have come");
    story.observe(Observation::Cordoned(NodeAnswer::Done));
    assert_eq!(story.observe(Observation::Pods(Vec::new())), [Effect::Complete]);
}

#[test]
fn no_active_action_is_not_believed_at_once_and_is_the_end_later() {
    let (mut story, effects) = Story::draining(&[termination()], &[]);
    assert_eq!(effects, [Effect::Complete]);
    let nothing = || Observation::Completed(HookAnswer::NothingPending);
    assert_eq!(story.observe(nothing()), []);
    assert_eq!(story.later(1), [Effect::Complete], "IMDS may be ahead of Auto Scaling");
    story.now = at(11);
    assert_eq!(story.observe(nothing()), []);
    assert_eq!(story.hook(), Some(&HookEnd::NothingPending));
    assert!(matches!(story.leaving.state, State::Left { .. }));
}

/// NTH's pull request 75: after the reboot, IMDS announces for a while what is over.
#[test]
fn maintenance_is_drained_for_near_its_time_and_given_back_after_it() {
    let mut story = Story::new();
    assert_eq!(story.stands(&[maintenance(10_000)]), []);
    assert_eq!(story.leaving.state, State::Serving);
    assert_eq!(story.leaving.wake(&story.rules, story.now), Some(at(9695)));
    assert_eq!(story.later(9695), [Effect::Cordon { exclude: true }]);
    story.observe(Observation::Cordoned(NodeAnswer::Done));
    assert_eq!(story.observe(Observation::Pods(Vec::new())), []);
    // The machine reboots.
    story.now = at(10_030);
    story.leaving = std::mem::take(&mut story.leaving).resumed(story.now);
    assert_eq!(story.stands(&[maintenance(10_000)]), []);
    assert!(matches!(story.leaving.state, State::Left { .. }));
    assert_eq!(story.stands(&[]), []);
    assert_eq!(story.later(10), [Effect::Uncordon]);
    assert_eq!(story.observe(Observation::Uncordoned(NodeAnswer::Done)), []);
    assert_eq!(story.leaving, Leaving::default());
}

/// NTH issue 321: a recommendation left nodes cordoned for good.
#[test]
fn a_cancelled_event_leaves_no_cordon_behind() {
    let (mut story, _) = Story::draining(&[maintenance(200)], &[pod("a")]);
    story.answered("a", refused());
    assert_eq!(story.stands(&[]), []);
    assert_eq!(story.later(10), [Effect::Uncordon]);
    story.observe(Observation::Uncordoned(NodeAnswer::Done));
    assert_eq!(story.leaving.state, State::Serving);
}

#[test]
fn a_cordon_that_fails_is_tried_again_and_one_that_is_refused_hinders_nothing() {
    let mut story = Story::new();
    story.stands(&[termination()]);
    let failed = || Observation::Cordoned(NodeAnswer::Failed("no answer".to_owned()));
    assert_eq!(story.observe(failed()), []);
    assert_eq!(
        story.leaving.wake(&story.rules, story.now),
        Some(at(0) + Duration::from_millis(500))
    );
    assert_eq!(story.later(1), [Effect::Cordon { exclude: true }]);
    let refused = Observation::Cordoned(NodeAnswer::Refused("a webhook denied it".to_owned()));
    assert_eq!(story.observe(refused), []);
    assert_eq!(story.observe(Observation::Pods(vec![pod("a")])), [evict("a")]);
}

#[test]
fn without_an_api_server_the_hook_is_completed_at_the_deadline() {
    let mut story = Story::new();
    story.rules.hook_timeout = Some(Duration::from_secs(3600));
    story.stands(&[termination()]);
    for _ in 0..30 {
        story.observe(Observation::Cordoned(NodeAnswer::Failed("no answer".to_owned())));
        assert_eq!(story.later(9), [Effect::Cordon { exclude: true }]);
    }
    story.now = at(299);
    story.observe(Observation::Cordoned(NodeAnswer::Failed("no answer".to_owned())));
    assert_eq!(story.later(1), [Effect::Complete]);
}

#[test]
fn a_killed_drain_goes_on_and_asks_again() {
    let (mut story, _) = Story::draining(&[termination()], &[pod("a"), pod("b")]);
    story.answered("a", Answer::Granted);
    story.leaving = std::mem::take(&mut story.leaving).resumed(story.now);
    assert_eq!(story.stands(&[termination()]), []);
    assert_eq!(story.leaving.end(&story.rules, story.now), Some(at(300)), "no later than before");
    // `a` went meanwhile.
    assert_eq!(story.observe(Observation::Pods(vec![pod("b")])), [evict("b")]);
    assert_eq!(story.answered("b", Answer::Gone), [Effect::Complete]);
}

#[test]
fn an_action_that_ended_while_nobody_ran_is_not_completed_in_anothers_place() {
    let (mut story, effects) = Story::draining(&[termination()], &[]);
    assert_eq!(effects, [Effect::Complete]);
    story.now = at(5000);
    story.leaving = std::mem::take(&mut story.leaving).resumed(story.now);
    assert_eq!(story.stands(&[]), [Effect::Uncordon]);
}

#[test]
fn volumes_are_waited_for() {
    let with_volume = Pod { volumes: true, ..pod("db") };
    let (mut story, _) = Story::draining(&[termination()], &[with_volume]);
    story.answered("db", Answer::Granted);
    assert_eq!(story.gone("db"), [Effect::LookAtVolumes]);
    assert_eq!(story.observe(Observation::Volumes(Ok(1))), []);
    assert_eq!(story.later(1), [Effect::LookAtVolumes]);
    assert_eq!(story.observe(Observation::Volumes(Ok(0))), [Effect::Complete]);
}

#[test]
fn what_fails_is_asked_again_after_a_longer_pause_each_time() {
    let (mut story, _) = Story::draining(&[termination()], &[pod("a")]);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        story.answered("a", Answer::Failed("500".to_owned()));
        let State::Draining(draining) = &story.leaving.state else { panic!("{story:?}") };
        let Progress::Waits { at, .. } = draining.evictions.pods[&Uid("a".to_owned())].progress
        else {
            panic!("{story:?}")
        };
        pauses.push(at.since(story.now).as_millis());
        story.now = at;
        assert_eq!(story.observe(Observation::Tick).last(), Some(&evict("a")));
    }
    assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 8000]);
}

#[test]
fn a_nearer_end_leaves_load_balancers_less_time() {
    let mut story = Story::new();
    story.rules.deregistration = Duration::from_secs(300);
    assert_eq!(story.begins(&[termination()], &[pod("a")]), []);
    assert_eq!(story.leaving.wake(&story.rules, story.now), Some(at(30)), "a heartbeat");
    story.now = at(10);
    assert_eq!(story.stands(&[termination(), spot(125)]), []);
    story.now = at(60);
    assert!(story.observe(Observation::Tick).contains(&evict("a")), "half of what is left now");
}

#[test]
fn an_announcement_that_came_after_the_call_has_an_action_of_its_own() {
    let warm = warm_pool("Warmed:Stopped");
    let (mut story, effects) = Story::draining(std::slice::from_ref(&warm), &[]);
    assert_eq!(effects, [Effect::Complete]);
    story.now = at(1);
    assert_eq!(story.stands(&[warm, termination()]), []);
    assert_eq!(story.observe(Observation::Completed(HookAnswer::Done)), []);
    assert_eq!(story.later(1), [Effect::Complete]);
}

/// An instance that was drained into the warm pool, whose hook is completed.
fn pooled(state: &str) -> Story {
    let (mut story, effects) = Story::draining(&[warm_pool(state)], &[]);
    assert_eq!(effects, [Effect::Complete]);
    assert_eq!(story.observe(Observation::Completed(HookAnswer::Done)), []);
    story
}

#[test]
fn a_machine_that_runs_on_in_the_warm_pool_waits_for_the_call_and_is_given_back() {
    let states = ["Warmed:Running", "Warmed:Hibernated", "Warmed:Stopped", "Warmed:Terminated"];
    assert_eq!(states.map(|it| pooled(it).leaving.rests_running()), [true, true, false, false]);
    let mut story = pooled("Warmed:Running");
    assert_eq!(story.stands(&[]), []);
    assert_eq!(story.later(2), []);
    assert_eq!(story.later(1), [Effect::Uncordon]);
    assert!(!story.leaving.rests_running());
}

#[test]
fn a_machine_that_was_stopped_in_the_warm_pool_is_given_back_at_once() {
    let mut story = pooled("Warmed:Stopped");
    story.now = at(3600);
    story.leaving = story.leaving.resumed(story.now).in_another_boot();
    assert_eq!(story.stands(&[]), [Effect::Uncordon]);
}

/// It served so shortly that no run of the program was told: its hook waits again.
#[test]
fn a_second_return_to_the_warm_pool_has_an_action_of_its_own() {
    let mut story = pooled("Warmed:Stopped");
    story.now = at(3600);
    story.leaving = story.leaving.resumed(story.now).in_another_boot();
    assert_eq!(story.stands(&[warm_pool("Warmed:Stopped")]), [Effect::Complete]);
}

#[test]
fn a_heartbeat_that_failed_is_sent_again_while_there_is_time() {
    let (mut story, _) = Story::draining(&[termination()], &[pod("a")]);
    story.answered("a", Answer::Granted);
    assert_eq!(story.later(30), [Effect::Heartbeat]);
    story.observe(Observation::Beaten(HookAnswer::Failed("Throttling".to_owned())));
    assert_eq!(story.later(2), [Effect::Heartbeat]);
}

#[test]
fn where_only_a_cordon_is_asked_for_any_more_no_more_pods_are() {
    let (mut story, _) = Story::draining(&[maintenance(200), rebalance()], &[pod("a")]);
    story.answered("a", refused());
    assert_eq!(story.stands(&[rebalance()]), []);
    let effects = story.later(10);
    assert_eq!(effects, [Effect::Cordon { exclude: false }], "load balancers may have it again");
}

#[test]
fn a_pod_that_was_believed_gone_and_is_listed_is_asked_again() {
    let (mut story, _) = Story::draining(&[termination()], &[pod("a"), pod("b")]);
    story.answered("a", Answer::Gone);
    assert_eq!(story.observe(Observation::Pods(vec![pod("a"), pod("b")])), [evict("a")]);
}

impl std::fmt::Debug for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at {:?}: {:#?}", self.now, self.leaving)
    }
}

#[test]
fn what_is_reported_says_when_each_pod_was_asked_and_gone() {
    let subject = Subject {
        instance: "i-0123456789abcdef0".parse().expect("an id"),
        cluster: "prod".to_owned(),
        group: "workers".to_owned(),
        node: "n".to_owned(),
    };
    let time = datetime!(2026-11-26 06:00:30 UTC);
    let (mut story, _) = Story::draining(&[termination()], &[pod("a"), pod("b")]);
    story.answered("a", refused());
    story.answered("b", Answer::Granted);
    assert_eq!(
        story.leaving.waits_for(&story.rules, at(12)),
        [
            "pod default/a, waiting, asked 12 s ago; refused once: the budget `web` has none to spare",
            "pod default/b, ending, asked 12 s ago",
        ]
    );
    story.later(5);
    story.answered("a", Answer::Granted);
    story.gone("b");
    assert_eq!(report(&story.leaving, &subject, At { moment: story.now, time }), None, "not over");
    story.later(15);
    story.gone("a");
    story.now = at(21);
    story.observe(Observation::Completed(HookAnswer::Done));
    let found = report(&story.leaving, &subject, At { moment: at(30), time }).expect("a report");
    assert_eq!(found.origin, datetime!(2026-11-26 06:00:00 UTC));
    assert_eq!((found.cordoned_ms, found.ended_ms, found.left_ms), (Some(0), 20_000, Some(30_000)));
    assert_eq!(found.announced[0].end_ms, 300_000);
    let hook = "the termination hook is completed: CONTINUE".to_owned();
    assert_eq!(found.announced[0].hook, Some(hook));
    let pods = found.pods.iter().map(|it| (it.name.as_str(), it.asked_ms, it.gone_ms, it.refusals));
    let pods: Vec<_> = pods.collect();
    assert_eq!(pods, [("a", Some(0), Some(20_000), 1), ("b", Some(0), Some(5000), 0)]);
}
