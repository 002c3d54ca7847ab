//! Scheduled events: EC2 User Guide, "Scheduled events for Amazon EC2 instances". What is scheduled
//! happens when its time comes, unless it was canceled or became needless before.

use std::time::Duration;

use time::OffsetDateTime;

use super::announced::{EventCode, EventState, ScheduledEvent};
use super::instance::{InstanceState, Reason};
use super::{Ec2, errors};
use crate::region::call::ServiceError;
use crate::region::ids::Ids;
use crate::region::state::Event;

/// How long the window of an event is. The guide's examples have about 17 minutes.
const WINDOW: Duration = Duration::from_secs(1000);

impl Ec2 {
    /// Schedules an event for a running instance, from `not_before` on; its ID.
    pub fn schedule(
        &mut self,
        ids: &mut Ids,
        id: &str,
        code: EventCode,
        not_before: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<String, ServiceError> {
        let instance = self.running_mut(id, "scheduled for an event")?;
        let event = ScheduledEvent {
            id: ids.resource("instance-event"),
            code,
            description: code.description().to_owned(),
            not_before,
            not_after: Some(not_before + WINDOW),
            state: EventState::Active,
            given_at: now,
            since: now,
        };
        let event_id = event.id.clone();
        instance.announced.events.push(event);
        self.appoint(id);
        Ok(event_id)
    }

    /// Takes back what is scheduled for an instance; how many events that were.
    pub fn cancel_scheduled(
        &mut self,
        id: &str,
        now: OffsetDateTime,
    ) -> Result<usize, ServiceError> {
        let instance = self.instances.get_mut(id).ok_or_else(|| errors::no_instances(&[id]))?;
        let canceled = instance.announced.active().count();
        self.settle(id, EventState::Canceled, now, |_| true);
        Ok(canceled)
    }

    /// Carries out what is due by now. An instance that is not running has nothing to be done to.
    pub(super) fn hold_scheduled(&mut self, id: &str, now: OffsetDateTime) {
        let Some(instance) = self.instances.get(id) else { return };
        let running = instance.state == InstanceState::Running;
        let due = |event: &ScheduledEvent| event.carried_out_at() <= now;
        let codes: Vec<EventCode> =
            instance.announced.active().filter(|event| due(event)).map(|held| held.code).collect();
        self.settle(id, EventState::Completed, now, due);
        for code in codes.into_iter().filter(|_| running) {
            match code {
                EventCode::InstanceReboot | EventCode::SystemReboot => {
                    self.events.push(Event::InstanceRebooted { id: id.to_owned() });
                }
                EventCode::InstanceRetirement | EventCode::InstanceStop => {
                    self.halt(id, Reason::scheduled_stop(), now);
                }
                EventCode::SystemMaintenance => {}
            }
        }
    }

    /// "If your instance has an instance reboot event, you can reboot it yourself"; a system reboot
    /// needs a stop and a start.
    pub(super) fn rebooted_by_user(&mut self, id: &str, now: OffsetDateTime) {
        self.settle(id, EventState::Completed, now, |event| {
            event.code == EventCode::InstanceReboot
        });
    }

    /// A start is on other hardware: what was announced for the old one is over.
    pub(super) fn started_elsewhere(&mut self, id: &str, now: OffsetDateTime) {
        self.settle(id, EventState::Completed, now, |_| true);
        if let Some(instance) = self.instances.get_mut(id) {
            (instance.announced.interruption, instance.announced.rebalance) = (None, None);
        }
    }

    /// Gives active events an end.
    fn settle(
        &mut self,
        id: &str,
        state: EventState,
        now: OffsetDateTime,
        which: impl Fn(&ScheduledEvent) -> bool,
    ) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        let events = instance.announced.events.iter_mut();
        for event in events.filter(|event| event.state == EventState::Active && which(event)) {
            (event.state, event.since) = (state, now);
        }
    }
}
