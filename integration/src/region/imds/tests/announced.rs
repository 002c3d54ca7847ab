//! What is announced, and when it can be read.

use super::*;
use crate::region::ec2::{EventCode, EventState, Interruption, InterruptionAction, ScheduledEvent};

const GIVEN: OffsetDateTime = datetime!(2026-11-23 12:01:00 UTC);
const DUE: OffsetDateTime = datetime!(2026-11-23 12:03:00 UTC);

const SPOT: &str = "meta-data/spot/instance-action";
const TERMINATION: &str = "meta-data/spot/termination-time";
const REBALANCE: &str = "meta-data/events/recommendations/rebalance";
const SCHEDULED: &str = "meta-data/events/maintenance/scheduled";
const HISTORY: &str = "meta-data/events/maintenance/history";

fn reboot(state: EventState, since: OffsetDateTime) -> ScheduledEvent {
    ScheduledEvent {
        id: "instance-event-0d59937288b749b32".into(),
        code: EventCode::SystemReboot,
        description: "scheduled reboot".into(),
        not_before: DUE,
        not_after: Some(datetime!(2026-11-23 12:19:40 UTC)),
        state,
        given_at: GIVEN,
        since,
    }
}

/// Amazon EC2 User Guide, "Spot Instance interruption notices".
#[test]
fn an_interruption_is_told_with_its_action_and_time() {
    for (action, termination) in [
        (InterruptionAction::Terminate, Some("2026-11-23T12:03:00Z")),
        (InterruptionAction::Stop, None),
        (InterruptionAction::Hibernate, None),
    ] {
        let mut instance = Instance::launched();
        instance.machine.announced.interruption =
            Some(Interruption { action, given_at: GIVEN, at: DUE });
        assert_eq!(
            instance.json(SPOT),
            serde_json::json!({"action": action.name(), "time": "2026-11-23T12:03:00Z"})
        );
        assert_eq!(instance.text(TERMINATION).as_deref(), termination, "{action:?}");
    }
}

/// Amazon EC2 User Guide, "EC2 instance rebalance recommendations".
#[test]
fn a_recommendation_is_told_with_the_time_of_its_notice() {
    let mut instance = Instance::launched();
    assert_eq!(instance.text(REBALANCE), None);
    instance.machine.announced.rebalance = Some(GIVEN);
    assert_eq!(instance.json(REBALANCE), serde_json::json!({"noticeTime": "2026-11-23T12:01:00Z"}));
}

/// Amazon EC2 User Guide, "Scheduled events for Amazon EC2 instances", with the form of its
/// examples.
#[test]
fn an_event_moves_from_what_is_scheduled_to_the_history() {
    let told = |state: &str, description: &str| {
        serde_json::json!([{
            "NotBefore": "23 Nov 2026 12:03:00 GMT",
            "NotAfter": "23 Nov 2026 12:19:40 GMT",
            "Code": "system-reboot",
            "Description": description,
            "EventId": "instance-event-0d59937288b749b32",
            "State": state,
        }])
    };
    let none = serde_json::json!([]);
    let mut instance = Instance::launched();
    assert_eq!((instance.text(SCHEDULED), instance.text(HISTORY)), (None, None));

    instance.machine.announced.events = vec![reboot(EventState::Active, GIVEN)];
    assert_eq!(instance.json(SCHEDULED), told("active", "scheduled reboot"));
    assert_eq!(instance.json(HISTORY), none);

    for (state, name, description) in [
        (EventState::Completed, "completed", "[Completed] scheduled reboot"),
        (EventState::Canceled, "canceled", "[Canceled] scheduled reboot"),
    ] {
        instance.now = DUE;
        instance.machine.announced.events = vec![reboot(state, DUE)];
        assert_eq!(instance.json(SCHEDULED), none);
        assert_eq!(instance.json(HISTORY), told(name, description));
    }
}

/// A region with AWS' latencies has AWS' lag as well, another one has none.
#[test]
fn everything_is_told_with_the_lag_that_the_region_has() {
    let lag = |latency| State::new(Settings { latency, ..Settings::new(5, START) }).imds.lag;
    assert_eq!(lag(Profile::None), Duration::ZERO);
    assert_eq!(lag(Profile::Aws), Duration::from_secs(2));

    let mut instance = Instance::launched();
    instance.state.imds.lag = Duration::from_secs(3);
    instance.machine.announced.interruption =
        Some(Interruption { action: InterruptionAction::Terminate, given_at: GIVEN, at: DUE });
    instance.machine.announced.rebalance = Some(GIVEN);
    instance.machine.announced.events = vec![reboot(EventState::Completed, DUE)];
    for path in [SPOT, TERMINATION, REBALANCE, SCHEDULED] {
        instance.now = GIVEN + Duration::from_secs(2);
        assert_eq!(instance.text(path), None, "{path}");
        instance.later(1);
        assert_ne!(instance.text(path), None, "{path}");
    }
    instance.now = DUE + Duration::from_secs(2);
    assert_eq!(instance.json(SCHEDULED)[0]["State"], "active");
    instance.later(1);
    assert_eq!(instance.json(HISTORY)[0]["State"], "completed");
}
