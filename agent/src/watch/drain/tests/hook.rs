//! Terminations: pods leave, heartbeats go on, and the hook is completed once.

use std::time::Duration;

use time::macros::datetime;

use super::super::event::At;
use super::super::evictions::Answer;
use super::super::report::{Subject, report};
use super::super::state::{HookEnd, State};
use super::super::step::{Effect, HookAnswer, NodeAnswer, Observation};
use super::{Story, at, evict, pod, refused, spot, termination, warm_pool};

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
fn an_announcement_that_came_after_the_call_has_an_action_of_its_own() {
    let warm = warm_pool("Warmed:Stopped");
    let (mut story, effects) = Story::draining(std::slice::from_ref(&warm), &[]);
    assert_eq!(effects, [Effect::Complete]);
    story.now = at(1);
    assert_eq!(story.stands(&[warm, termination()]), []);
    assert_eq!(story.observe(Observation::Completed(HookAnswer::Done)), []);
    assert_eq!(story.later(1), [Effect::Complete]);
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
