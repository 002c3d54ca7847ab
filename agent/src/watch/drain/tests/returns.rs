//! Announcements that follow each other or are withdrawn, and machines that come back.

use std::time::Duration;

use super::super::event::{Announced, Kind};
use super::super::evictions::Answer;
use super::super::state::{Leaving, State};
use super::super::step::{Effect, HookAnswer, NodeAnswer, Observation};
use super::{Story, at, id, maintenance, pod, rebalance, refused, spot, termination, warm_pool};

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
