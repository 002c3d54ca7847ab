//! What AWS announces, as the metadata service shows it: each is absent until it is given.

use serde_json::json;
use time::OffsetDateTime;
use time::macros::format_description;

use super::role::{pretty, seconds};
use super::tree::Tree;
use crate::region::ec2::{Announced, EventState, InterruptionAction, ScheduledEvent};

/// What had been announced at that time: the service tells it with a lag.
pub fn announced(tree: &mut Tree, announced: &Announced, as_of: OffsetDateTime) {
    if let Some(spot) = announced.interruption.filter(|spot| spot.given_at <= as_of) {
        let at = seconds(spot.at);
        tree.meta("spot/instance-action", json!({ "action": spot.action.name(), "time": at }));
        if spot.action == InterruptionAction::Terminate {
            tree.meta("spot/termination-time", at);
        }
    }
    if let Some(given) = announced.rebalance.filter(|given| *given <= as_of) {
        tree.meta("events/recommendations/rebalance", json!({ "noticeTime": seconds(given) }));
    }
    let known: Vec<(&ScheduledEvent, EventState)> =
        announced.events.iter().filter_map(|event| Some((event, event.state_at(as_of)?))).collect();
    if known.is_empty() {
        return;
    }
    // An instance that has had an event has both lists from then on, an empty one as well.
    let (scheduled, history): (Vec<_>, Vec<_>) =
        known.into_iter().partition(|(_, state)| *state == EventState::Active);
    tree.meta("events/maintenance/scheduled", list(&scheduled));
    tree.meta("events/maintenance/history", list(&history));
}

fn list(events: &[(&ScheduledEvent, EventState)]) -> String {
    let items: Vec<_> = events.iter().map(|(event, state)| item(event, *state)).collect();
    pretty(&json!(items))
}

/// Times unlike every other one here: `21 Jan 2019 09:00:43 GMT`.
fn item(event: &ScheduledEvent, state: EventState) -> serde_json::Value {
    let format = format_description!(
        "[day padding:none] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let show =
        |at: OffsetDateTime| at.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_default();
    let mut value = json!({
        "NotBefore": show(event.not_before),
        "Code": event.code.name(),
        "Description": event.told(state),
        "EventId": event.id,
        "State": state.name(),
    });
    if let Some(not_after) = event.not_after {
        value["NotAfter"] = show(not_after).into();
    }
    value
}
