//! Instance refreshes: who goes when, and how many there are meanwhile.

use super::*;

/// A group of so many in service, and what a refresh of it shows step by step.
fn in_service(desired: u32, hooks: Vec<NewHook>) -> Fixture {
    let mut lab = Fixture::with_hooks(hooks);
    lab.desire(desired);
    lab.after(60);
    lab
}

impl Fixture {
    fn refresh(&mut self, preferences: Preferences) -> String {
        let id = start_refresh(&mut self.state, "workers", preferences, None, self.now);
        self.after(0);
        id.expect("none is under way")
    }

    fn last_refresh(&self) -> &Refresh {
        let group = self.state.autoscaling.group("workers").expect("the group");
        group.refreshes.last().expect("a refresh")
    }

    fn status(&self) -> RefreshStatus {
        self.last_refresh().status
    }

    /// How many count towards the capacity, and how many of them are in service.
    fn counts(&self) -> (usize, usize) {
        let group = self.state.autoscaling.group("workers").expect("the group");
        let serving = group.staying().filter(|held| held.state == LifecycleState::InService);
        (group.staying().count(), serving.count())
    }

    /// Those whose hooks are waited for.
    fn waiting(&self) -> Vec<String> {
        let group = self.state.autoscaling.group("workers").expect("the group");
        let waiting = group.members.values().filter(|held| held.state.actions().is_some());
        waiting.map(|held| held.instance.clone()).collect()
    }

    /// Second by second until the refresh is over; the smallest and the largest counts, and the
    /// instances at the end.
    fn watch(&mut self) -> ((usize, usize), Vec<String>) {
        let (mut least_serving, mut most) = (usize::MAX, 0);
        for _ in 0..1000 {
            let (counted, serving) = self.counts();
            least_serving = least_serving.min(serving);
            most = most.max(counted);
            if self.status().is_over() {
                return ((least_serving, most), self.members());
            }
            self.after(1);
        }
        panic!("the refresh does not end: {:?}", self.last_refresh());
    }
}

fn percent(min: u32, max: u32) -> Preferences {
    Preferences { min_healthy_percent: min, max_healthy_percent: max, ..Preferences::default() }
}

/// API Reference, "RefreshPreferences": both percentages are of the desired capacity.
#[test]
fn every_instance_is_replaced_within_both_percentages() {
    for (preferences, least, most) in [
        // The default; of four that is none to spare, so it is one at a time.
        (Preferences::default(), 3, 4),
        (percent(100, 100), 3, 4),
        (percent(50, 100), 2, 4),
        (percent(0, 100), 0, 4),
        // Launched before an old one goes.
        (percent(100, 125), 4, 5),
        (percent(100, 110), 4, 5),
        (percent(100, 150), 4, 6),
        (percent(75, 125), 3, 5),
    ] {
        let mut lab = in_service(4, vec![]);
        let before = lab.members();
        lab.refresh(preferences.clone());
        let (seen, after) = lab.watch();
        assert_eq!(seen, (least, most), "{preferences:?}");
        assert_eq!(lab.status(), RefreshStatus::Successful);
        assert_eq!(after.len(), 4);
        assert!(after.iter().all(|id| !before.contains(id)), "{preferences:?}");
        assert_eq!((lab.last_refresh().total, lab.last_refresh().replaced), (4, 4));
        assert_eq!(lab.last_refresh().percent_complete(), 100);
    }
}

/// User Guide, "Availability Zone distribution": a refresh leaves the zones as even as they were.
#[test]
fn successors_are_spread_over_the_zones() {
    for preferences in [percent(100, 150), percent(100, 100), percent(0, 100), percent(75, 125)] {
        let mut lab = in_service(4, vec![]);
        lab.refresh(preferences.clone());
        lab.watch();
        let even = ["eu-west-1a", "eu-west-1a", "eu-west-1b", "eu-west-1b"];
        assert_eq!(lab.zones(), even, "{preferences:?}");
    }
}

/// User Guide, "How an instance refresh works": through the group's own hooks, both ways.
#[test]
fn hooks_hold_a_refresh_up_as_they_do_everything_else() {
    let mut lab = in_service(1, vec![hook(OUT, Transition::Terminating, 300)]);
    let old = lab.only();
    lab.refresh(percent(100, 200));
    assert_eq!(lab.states(), ["InService", "Pending"]);
    lab.after(2);
    assert_eq!(lab.states(), ["Terminating:Wait", "InService"]);
    assert_eq!(lab.target(&old).as_deref(), Some("Terminated"));
    assert_eq!(
        lab.last_activity().cause,
        "At 2026-11-23T12:01:02Z an instance was taken out of service in response to an instance refresh."
    );
    assert_eq!(lab.status(), RefreshStatus::InProgress, "the old one is still there");
    lab.after(100);
    lab.complete(&old, OUT, ActionResult::Continue).expect("waited for");
    lab.after(2);
    assert_eq!((lab.states(), lab.status()), (vec!["InService"], RefreshStatus::Successful));
    assert_eq!(lab.last_refresh().ended_at, Some(lab.now));
}

/// API Reference, "RefreshPreferences", InstanceWarmup.
#[test]
fn the_next_one_is_not_replaced_before_the_last_is_warm() {
    let mut lab = in_service(2, vec![]);
    lab.refresh(Preferences { warmup: Some(Duration::from_secs(30)), ..percent(100, 150) });
    lab.after(2);
    assert_eq!(lab.states(), ["InService"; 3]);
    assert_eq!(
        lab.last_refresh().reason.as_deref().map(|reason| &reason[..43]),
        Some("Waiting for instances to warm up before con")
    );
    lab.after(29);
    assert_eq!(lab.states(), ["InService"; 3]);
    lab.after(1);
    assert_eq!(lab.states(), ["InService", "Terminating", "InService", "Pending"]);
    assert_eq!((lab.last_refresh().percent_complete(), lab.last_refresh().replaced), (50, 1));

    let mut lab = in_service(1, vec![]);
    lab.group_mut().health_check_grace = 45;
    lab.refresh(percent(100, 200));
    lab.after(2 + 44);
    assert_eq!(lab.states(), ["InService"; 2], "without a warmup it is the grace period");
    lab.after(1);
    assert_eq!(lab.states(), ["Terminating", "InService"]);
}

/// User Guide, "Use an instance refresh with skip matching".
#[test]
fn an_instance_that_is_as_it_should_be_may_be_skipped() {
    let mut lab = in_service(2, vec![]);
    let before = lab.members();
    lab.refresh(Preferences { skip_matching: true, ..percent(0, 100) });
    assert_eq!(lab.status(), RefreshStatus::Successful);
    assert_eq!((lab.members(), lab.last_refresh().total), (before.clone(), 0));

    let spec = LaunchSpec { instance_type: Some("m5.xlarge".into()), ..LaunchSpec::default() };
    let by = Author { arn: "arn:aws:iam::123456789012:user/operator", now: lab.now };
    let name = TemplateName::Name("workers".into());
    lab.state.ec2.create_template_version(&name, Some("1"), None, spec, by).expect("a version");
    let wish = Some((name, Some("2".to_owned())));
    let skipping = Preferences { skip_matching: true, ..percent(0, 100) };
    start_refresh(&mut lab.state, "workers", skipping, wish, lab.now).expect("none is under way");
    lab.after(0);
    assert_eq!(lab.group_mut().template.version, "$Default", "until it has succeeded");
    let (_, after) = lab.watch();
    assert!(after.iter().all(|id| !before.contains(id)));
    assert_eq!(lab.group_mut().template.version, "2");
    assert!(lab.group_mut().members.values().all(|held| held.instance_type == "m5.xlarge"));
}

/// API Reference, "StartInstanceRefresh" and "CancelInstanceRefresh".
#[test]
fn one_refresh_at_a_time_and_a_cancelled_one_finishes_what_it_began() {
    let mut lab = in_service(3, vec![hook(OUT, Transition::Terminating, 300)]);
    lab.state.autoscaling.timing.refresh_begins = Duration::from_secs(5);
    let none = lab.state.autoscaling.cancel_refresh("workers", true, lab.now);
    assert_eq!(none.expect_err("none is under way").code, "ActiveInstanceRefreshNotFound");
    let id = lab.refresh(percent(66, 100));
    assert_eq!((lab.status(), lab.states()), (RefreshStatus::Pending, vec!["InService"; 3]));
    let again = start_refresh(&mut lab.state, "workers", Preferences::default(), None, lab.now);
    assert_eq!(again.expect_err("one is").code, "InstanceRefreshInProgress");
    lab.after(5);
    assert_eq!(lab.status(), RefreshStatus::InProgress);
    let leaving = lab.waiting();
    assert_eq!((leaving.len(), lab.counts()), (1, (3, 2)));

    assert_eq!(lab.state.autoscaling.cancel_refresh("workers", true, lab.now), Ok(id));
    lab.after(10);
    assert_eq!(lab.status(), RefreshStatus::Cancelling);
    lab.complete(&leaving[0], OUT, ActionResult::Continue).expect("waited for");
    lab.after(2);
    assert_eq!((lab.status(), lab.states()), (RefreshStatus::Cancelled, vec!["InService"; 3]));
    lab.after(600);
    assert_eq!(lab.states(), ["InService"; 3], "nothing more happens");

    lab.refresh(percent(66, 100));
    lab.after(5);
    lab.state.autoscaling.cancel_refresh("workers", false, lab.now).expect("under way");
    assert_eq!(lab.status(), RefreshStatus::Cancelled);
}

/// A cancelled refresh does not keep what it launched ahead.
#[test]
fn what_was_launched_ahead_of_a_cancelled_refresh_goes_by_scale_in() {
    let mut lab = in_service(2, vec![]);
    lab.refresh(Preferences { warmup: Some(Duration::from_secs(60)), ..percent(100, 150) });
    lab.after(10);
    assert_eq!(lab.states(), ["InService"; 3]);
    lab.state.autoscaling.cancel_refresh("workers", true, lab.now).expect("under way");
    lab.after(0);
    lab.after(2);
    assert_eq!((lab.states(), lab.status()), (vec!["InService"; 2], RefreshStatus::Cancelled));
}

/// API Reference, "RefreshPreferences", ScaleInProtectedInstances and StandbyInstances.
#[test]
fn a_protected_instance_is_waited_for_an_hour_or_left_or_replaced() {
    let protected = |preferences: Preferences| {
        let mut lab = in_service(2, vec![]);
        let first = lab.members().remove(0);
        lab.state.autoscaling.set_protection("workers", &[&first], true).expect("a member");
        lab.refresh(preferences);
        (lab, first)
    };
    let (mut lab, first) = protected(percent(0, 100));
    lab.after(3600);
    assert_eq!(lab.status(), RefreshStatus::InProgress);
    lab.state.autoscaling.set_protection("workers", &[&first], false).expect("a member");
    lab.watch();
    assert_eq!(lab.status(), RefreshStatus::Successful);

    let (mut lab, first) = protected(percent(0, 100));
    lab.after(3605);
    assert_eq!(lab.status(), RefreshStatus::Failed);
    assert!(lab.members().contains(&first));

    let (mut lab, first) =
        protected(Preferences { protected: HeldBack::Ignore, ..percent(0, 100) });
    lab.watch();
    assert_eq!(lab.status(), RefreshStatus::Successful);
    assert!(lab.members().contains(&first));

    let (mut lab, first) =
        protected(Preferences { protected: HeldBack::Replace, ..percent(0, 100) });
    lab.watch();
    assert_eq!(lab.status(), RefreshStatus::Successful);
    assert!(!lab.members().contains(&first));
}

#[test]
fn an_instance_in_standby_is_waited_for_or_terminated() {
    let standing_by = |standby| {
        let mut lab = in_service(2, vec![]);
        let first = lab.members().remove(0);
        enter_standby(&mut lab.state, "workers", &[&first], true, lab.now).expect("in service");
        lab.after(0);
        lab.refresh(Preferences { standby, ..percent(0, 100) });
        lab.after(10);
        lab
    };
    assert_eq!(standing_by(HeldBack::Wait).status(), RefreshStatus::InProgress);
    let lab = standing_by(HeldBack::Ignore);
    assert_eq!((lab.status(), lab.states().len()), (RefreshStatus::Successful, 2));
    let lab = standing_by(HeldBack::Replace);
    assert_eq!((lab.status(), lab.states().len()), (RefreshStatus::Successful, 1));
}

#[test]
fn an_instance_that_ends_by_itself_does_not_confuse_a_refresh() {
    let mut lab = in_service(3, vec![]);
    let before = lab.members();
    lab.refresh(percent(100, 134));
    lab.after(1);
    lab.state.ec2.terminate(&before[2], lab.now).expect("known");
    let (_, after) = lab.watch();
    assert_eq!((lab.status(), after.len()), (RefreshStatus::Successful, 3));
    assert!(after.iter().all(|id| !before.contains(id)));
}

#[test]
fn the_wish_may_change_while_a_refresh_is_under_way() {
    for desired in [0, 1, 5] {
        let mut lab = in_service(3, vec![]);
        let before = lab.members();
        lab.refresh(percent(100, 134));
        lab.after(1);
        lab.desire(desired);
        let (_, after) = lab.watch();
        assert_eq!(lab.status(), RefreshStatus::Successful);
        assert_eq!(after.len(), desired as usize);
        assert!(after.iter().all(|id| !before.contains(id)));
    }
}

#[test]
fn percentages_out_of_range_are_refused() {
    for (min, max) in [(101, 200), (50, 99), (50, 201), (90, 191)] {
        let mut lab = in_service(1, vec![]);
        let refused = start_refresh(&mut lab.state, "workers", percent(min, max), None, lab.now);
        assert_eq!(refused.expect_err("out of range").code, "ValidationError");
    }
}

/// A clock that leaps over everything leaves what one leaves that goes second by second.
#[test]
fn a_leap_over_a_refresh_is_like_waiting_for_it() {
    let region = |steps: u64| {
        let mut lab = in_service(4, vec![hook(OUT, Transition::Terminating, 45)]);
        let warmup = Some(Duration::from_secs(7));
        lab.refresh(Preferences { warmup, ..percent(75, 125) });
        for _ in 0..steps {
            lab.after(1200 / steps);
        }
        let told = lab.state.autoscaling.activities().to_vec();
        (told, lab.last_refresh().clone(), lab.state.events.clone())
    };
    assert_eq!(region(1), region(1200));
}
