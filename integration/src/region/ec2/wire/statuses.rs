//! DescribeInstanceStatus: how instances are, and what is scheduled for them.

use time::{Duration, OffsetDateTime};

use super::instance_item::state_item;
use super::instances::visible;
use super::{Listing, answer, second};
use crate::region::call::{Call, ServiceError};
use crate::region::ec2::instance::{Instance, InstanceState};
use crate::region::ec2::{Ec2, EventState, ScheduledEvent};
use crate::region::state::State;
use crate::region::xml::Element;

const FILTERS: &[&str] = &[
    "availability-zone",
    "availability-zone-id",
    "event.code",
    "event.description",
    "event.instance-event-id",
    "event.not-after",
    "event.not-before",
    "instance-state-code",
    "instance-state-name",
    "instance-status.status",
    "system-status.status",
];

/// "After a scheduled event is completed, it can still be described for up to a week."
const TOLD_AFTERWARDS: Duration = Duration::days(7);

/// Running instances only, unless `IncludeAllInstances`.
pub fn describe(state: &mut State, call: &Call<'_>) -> Result<Element, ServiceError> {
    let ec2 = &state.ec2;
    let all = call.params.flag("IncludeAllInstances")? == Some(true);
    let listing = Listing::of(call.params, "InstanceId", FILTERS)?;
    let meant = visible(ec2, &listing, call.now)?.into_iter().filter(|held| {
        (all || held.state == InstanceState::Running)
            && listing.filters.want(ec2.tags_of(&held.id), |name| values(ec2, held, name, call.now))
    });
    let told = meant.map(|held| (held.id.clone(), item(ec2, held, call.now)));
    Ok(answer("instanceStatusSet", listing.page.cut(told)))
}

fn item(ec2: &Ec2, held: &Instance, now: OffsetDateTime) -> Element {
    let status = |name: &str| Element::new(name).field("status", health(held));
    let item = Element::new("item")
        .field("instanceId", &held.id)
        .field("availabilityZone", &held.zone)
        .field("availabilityZoneId", ec2.zone_id(&held.zone));
    let events: Vec<Element> = events(held, now).map(event_item).collect();
    let item = if events.is_empty() { item } else { item.list("eventsSet", events) };
    item.with(state_item("instanceState", held.state))
        .with(status("systemStatus"))
        .with(status("instanceStatus"))
}

fn event_item(event: &ScheduledEvent) -> Element {
    Element::new("item")
        .field("instanceEventId", &event.id)
        .field("code", event.code.name())
        .field("description", event.told(event.state))
        .optional("notAfter", event.not_after.map(second))
        .field("notBefore", second(event.not_before))
}

/// A canceled one is not told here any more, only in the instance's own metadata.
fn events(held: &Instance, now: OffsetDateTime) -> impl Iterator<Item = &ScheduledEvent> {
    held.announced.events.iter().filter(move |event| match event.state {
        EventState::Active => true,
        EventState::Completed => now < event.since + TOLD_AFTERWARDS,
        EventState::Canceled => false,
    })
}

fn health(held: &Instance) -> &'static str {
    if held.state == InstanceState::Running { "ok" } else { "not-applicable" }
}

/// What an instance has under a filter's name.
fn values(ec2: &Ec2, held: &Instance, name: &str, now: OffsetDateTime) -> Vec<String> {
    let of_events = |value: fn(&ScheduledEvent) -> Option<String>| {
        events(held, now).filter_map(value).collect::<Vec<String>>()
    };
    match name {
        "availability-zone" => vec![held.zone.clone()],
        "availability-zone-id" => vec![ec2.zone_id(&held.zone)],
        "event.code" => of_events(|event| Some(event.code.name().to_owned())),
        "event.description" => of_events(|event| Some(event.told(event.state))),
        "event.instance-event-id" => of_events(|event| Some(event.id.clone())),
        "event.not-after" => of_events(|event| event.not_after.map(second)),
        "event.not-before" => of_events(|event| Some(second(event.not_before))),
        "instance-state-code" => vec![held.state.code().to_string()],
        "instance-state-name" => vec![held.state.name().to_owned()],
        _ => vec![health(held).to_owned()],
    }
}
