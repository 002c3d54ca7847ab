//! What AWS announces to an instance before it takes it away or restarts it: an interruption, a
//! rebalance recommendation, scheduled events. Plain data; `spot` and `scheduled` make it and
//! carry it out.

use time::OffsetDateTime;

/// Everything that is announced to one instance, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    pub interruption: Option<Interruption>,
    /// When a rebalance recommendation was given.
    pub rebalance: Option<OffsetDateTime>,
    /// In the order in which they were scheduled, those that are over too.
    pub events: Vec<ScheduledEvent>,
}

/// EC2 User Guide, "Spot Instance interruption notices".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interruption {
    pub action: InterruptionAction,
    pub given_at: OffsetDateTime,
    /// When EC2 carries it out.
    pub at: OffsetDateTime,
}

/// EC2 User Guide, "Behavior of Spot Instance interruptions".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptionAction {
    Terminate,
    Stop,
    Hibernate,
}

/// EC2 User Guide, "Scheduled events for Amazon EC2 instances".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledEvent {
    /// `instance-event-0…`
    pub id: String,
    pub code: EventCode,
    pub description: String,
    pub not_before: OffsetDateTime,
    pub not_after: Option<OffsetDateTime>,
    pub state: EventState,
    pub given_at: OffsetDateTime,
    /// When it got its present state.
    pub since: OffsetDateTime,
}

/// EC2 API Reference, "InstanceStatusEvent".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventCode {
    InstanceReboot,
    SystemReboot,
    SystemMaintenance,
    InstanceRetirement,
    InstanceStop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventState {
    Active,
    Completed,
    Canceled,
}

impl Announced {
    /// Events that are still to come.
    pub fn active(&self) -> impl Iterator<Item = &ScheduledEvent> {
        self.events.iter().filter(|event| event.state == EventState::Active)
    }

    /// When the next of it is to be carried out.
    pub(super) fn next(&self) -> Option<OffsetDateTime> {
        let events = self.active().map(ScheduledEvent::carried_out_at);
        self.interruption.map(|held| held.at).into_iter().chain(events).min()
    }
}

impl InterruptionAction {
    const ALL: [Self; 3] = [Self::Terminate, Self::Stop, Self::Hibernate];

    /// As the metadata service's `spot/instance-action` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Terminate => "terminate",
            Self::Stop => "stop",
            Self::Hibernate => "hibernate",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

impl ScheduledEvent {
    /// The description with what became of the event before it, as EC2 and the metadata service
    /// tell it.
    pub fn told(&self, state: EventState) -> String {
        match state {
            EventState::Active => self.description.clone(),
            EventState::Completed => format!("[Completed] {}", self.description),
            EventState::Canceled => format!("[Canceled] {}", self.description),
        }
    }

    /// What was known of it at that time; nothing before it was scheduled.
    pub fn state_at(&self, at: OffsetDateTime) -> Option<EventState> {
        if at < self.given_at {
            return None;
        }
        Some(if at < self.since { EventState::Active } else { self.state })
    }

    /// A restart, a stop: as early as it may be. Maintenance under a running instance is over when
    /// its window ends.
    pub(super) fn carried_out_at(&self) -> OffsetDateTime {
        match self.code {
            EventCode::SystemMaintenance => self.not_after.unwrap_or(self.not_before),
            _ => self.not_before,
        }
    }
}

impl EventCode {
    pub const ALL: [Self; 5] = [
        Self::InstanceReboot,
        Self::SystemReboot,
        Self::SystemMaintenance,
        Self::InstanceRetirement,
        Self::InstanceStop,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::InstanceReboot => "instance-reboot",
            Self::SystemReboot => "system-reboot",
            Self::SystemMaintenance => "system-maintenance",
            Self::InstanceRetirement => "instance-retirement",
            Self::InstanceStop => "instance-stop",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// In EC2's words.
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::InstanceReboot | Self::SystemReboot => "scheduled reboot",
            Self::SystemMaintenance => "scheduled maintenance",
            Self::InstanceRetirement | Self::InstanceStop => {
                "The instance is running on degraded hardware"
            }
        }
    }
}

impl EventState {
    /// As the metadata service has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Canceled => "canceled",
        }
    }
}
