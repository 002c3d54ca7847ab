//! Interruptions, recommendations and scheduled events.

use super::*;

/// The fixture's instance, running for a minute.
fn running() -> (Fixture, String) {
    let mut lab = Fixture::new();
    lab.state.ec2.timing = Timing::lifelike();
    let id = lab.one();
    lab.state.ec2.instances.get_mut(&id).expect("launched").market = Market::Spot;
    lab.after(60);
    lab.state.events.clear();
    (lab, id)
}

impl Fixture {
    fn interrupt(&mut self, id: &str, action: InterruptionAction) -> Result<(), ServiceError> {
        self.state.ec2.interrupt(id, action, INTERRUPTION_NOTICE, at(60)).map(drop)
    }

    fn schedule(&mut self, id: &str, code: EventCode, not_before: u64) -> String {
        let State { ec2, ids, .. } = &mut self.state;
        ec2.schedule(ids, id, code, at(not_before), at(60)).expect("it runs")
    }

    fn reason_of(&self, id: &str) -> Option<&'static str> {
        Some(self.state.ec2.instance(id)?.reason.as_ref()?.code)
    }

    /// ID, state and since when.
    fn events_of(&self, id: &str) -> Vec<(String, EventState, OffsetDateTime)> {
        let held = self.state.ec2.instance(id).expect("listed");
        let events = held.announced.events.iter();
        events.map(|event| (event.id.clone(), event.state, event.since)).collect()
    }
}

/// EC2 User Guide, "Spot Instance interruption notices"; EC2 API Reference, "StateReason".
#[test]
fn an_interrupted_instance_is_taken_away_when_it_was_said() {
    for (action, state, reason) in [
        (InterruptionAction::Terminate, "terminated", "Server.SpotInstanceTermination"),
        (InterruptionAction::Stop, "stopped", "Server.SpotInstanceShutdown"),
    ] {
        let (mut lab, id) = running();
        lab.interrupt(&id, action).expect("it runs");
        assert_eq!(lab.state.next_deadline(), Some(at(180)));
        lab.after(179);
        assert_eq!((lab.state_of(&id), lab.reason_of(&id)), (Some("running"), None));
        lab.after(182);
        assert_eq!((lab.state_of(&id), lab.reason_of(&id)), (Some(state), Some(reason)));
        assert_eq!(lab.state.events[0], Event::InterruptionAnnounced { id: id.clone() });
    }
}

#[test]
fn what_was_launched_on_demand_is_not_interrupted() {
    let (mut lab, id) = running();
    lab.state.ec2.instances.get_mut(&id).expect("launched").market = Market::OnDemand;
    let refused = lab.interrupt(&id, InterruptionAction::Terminate).expect_err("on demand");
    assert_eq!(refused.code, "UnsupportedOperation");
    let refused = lab.state.ec2.recommend_rebalance(&id, at(60)).expect_err("on demand");
    assert_eq!(
        refused.message,
        format!(
            "The instance '{id}' is not a Spot Instance, so it cannot be recommended for rebalance."
        )
    );
}

/// EC2 User Guide, "Behavior of Spot Instance interruptions": hibernation begins immediately.
#[test]
fn a_hibernation_is_announced_when_it_begins() {
    let (mut lab, id) = running();
    lab.interrupt(&id, InterruptionAction::Hibernate).expect("it runs");
    let held = lab.state.ec2.instance(&id).expect("listed").announced.interruption;
    assert_eq!(held.map(|held| (held.given_at, held.at)), Some((at(60), at(60))));
    lab.after(60);
    assert_eq!(lab.state_of(&id), Some("stopping"));
}

#[test]
fn a_second_notice_changes_nothing_and_one_to_a_stopped_instance_is_refused() {
    let (mut lab, id) = running();
    lab.interrupt(&id, InterruptionAction::Terminate).expect("it runs");
    let first = lab.state.ec2.instance(&id).expect("listed").announced.clone();
    let again = lab.state.ec2.interrupt(&id, InterruptionAction::Stop, Duration::ZERO, at(90));
    assert_eq!(again, Ok(at(180)));
    assert_eq!(lab.state.ec2.instance(&id).expect("listed").announced, first);

    let (mut lab, id) = running();
    lab.state.ec2.stop(&id, at(60)).expect("it runs");
    let refused = lab.interrupt(&id, InterruptionAction::Terminate).expect_err("it stops");
    assert_eq!(refused.code, "IncorrectInstanceState");
}

/// A stop ends the notice: what starts again is another machine.
#[test]
fn a_start_is_on_another_machine_to_which_nothing_was_announced() {
    let (mut lab, id) = running();
    lab.interrupt(&id, InterruptionAction::Terminate).expect("it runs");
    lab.state.ec2.recommend_rebalance(&id, at(60)).expect("it runs");
    let event = lab.schedule(&id, EventCode::SystemReboot, 300);
    lab.state.ec2.stop(&id, at(70)).expect("it runs");
    lab.after(72);
    lab.state.ec2.start(&id, at(80)).expect("it is stopped");
    lab.after(400);
    assert_eq!(lab.state_of(&id), Some("running"));
    assert_eq!(lab.events_of(&id), [(event, EventState::Completed, at(80))]);
    let held = &lab.state.ec2.instance(&id).expect("listed").announced;
    assert_eq!((held.interruption, held.rebalance), (None, None));
    assert!(!lab.state.events.contains(&Event::InstanceRebooted { id }));
}

/// EC2 User Guide, "Scheduled events for Amazon EC2 instances", "Types of scheduled events".
#[test]
fn a_scheduled_event_happens_at_its_time_and_is_completed() {
    for (code, state, reason) in [
        (EventCode::SystemReboot, "running", None),
        (EventCode::InstanceReboot, "running", None),
        (EventCode::SystemMaintenance, "running", None),
        (EventCode::InstanceStop, "stopped", Some("Server.ScheduledStop")),
        (EventCode::InstanceRetirement, "stopped", Some("Server.ScheduledStop")),
    ] {
        let (mut lab, id) = running();
        let event = lab.schedule(&id, code, 300);
        lab.after(299);
        assert_eq!(lab.events_of(&id), [(event.clone(), EventState::Active, at(60))]);
        assert_eq!(lab.state.events, []);
        lab.after(1400);
        let over = if code == EventCode::SystemMaintenance { at(1300) } else { at(300) };
        assert_eq!(lab.events_of(&id), [(event, EventState::Completed, over)]);
        assert_eq!((lab.state_of(&id), lab.reason_of(&id)), (Some(state), reason));
        let reboots = lab.state.events.contains(&Event::InstanceRebooted { id });
        assert_eq!(reboots, code.name().ends_with("reboot"), "{code:?}");
    }
}

/// "If your instance has an instance reboot event, you can reboot it yourself"; for a system reboot
/// AWS has to do it.
#[test]
fn ones_own_reboot_does_for_an_instance_reboot_and_not_for_a_system_reboot() {
    let (mut lab, id) = running();
    let own = lab.schedule(&id, EventCode::InstanceReboot, 300);
    let aws = lab.schedule(&id, EventCode::SystemReboot, 600);
    lab.state.ec2.reboot(&id, at(100)).expect("it runs");
    assert_eq!(
        lab.events_of(&id),
        [(own, EventState::Completed, at(100)), (aws, EventState::Active, at(60))]
    );
    lab.after(700);
    let reboots =
        lab.state.events.iter().filter(|held| matches!(held, Event::InstanceRebooted { .. }));
    assert_eq!(reboots.count(), 2);
}

#[test]
fn a_canceled_event_does_not_happen() {
    let (mut lab, id) = running();
    let event = lab.schedule(&id, EventCode::SystemReboot, 300);
    assert_eq!(lab.state.ec2.cancel_scheduled(&id, at(100)), Ok(1));
    assert_eq!(lab.state.ec2.cancel_scheduled(&id, at(101)), Ok(0));
    lab.after(400);
    assert_eq!(lab.events_of(&id), [(event, EventState::Canceled, at(100))]);
    assert_eq!(lab.state.events, []);
}

/// A clock that leaps over everything leaves what one leaves that goes second by second.
#[test]
fn a_leap_over_a_notice_is_like_waiting_for_it() {
    let region = |steps: u64| {
        let (mut lab, id) = running();
        lab.schedule(&id, EventCode::SystemReboot, 100);
        lab.interrupt(&id, InterruptionAction::Terminate).expect("it runs");
        for step in 1..=steps {
            lab.after(60 + 600 * step / steps);
        }
        (lab.state.events.clone(), lab.state_of(&id), lab.events_of(&id).len())
    };
    assert_eq!(region(1), region(600));
}
