//! How pods are asked to leave: budgets, graces, order, volumes.

use std::time::Duration;

use super::super::evictions::{Answer, Progress};
use super::super::pod::{Pod, Uid};
use super::super::state::State;
use super::super::step::{Effect, NodeAnswer, Observation};
use super::{Story, at, evict, maintenance, pod, rebalance, refused, spot, termination};
use crate::config::WhenRefused;

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
