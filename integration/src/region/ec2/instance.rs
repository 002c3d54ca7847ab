//! Instances and their states: EC2 User Guide, "Amazon EC2 instance state changes".

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use time::OffsetDateTime;

use super::{Ec2, errors};
use crate::region::call::ServiceError;
use crate::region::imds::MetadataOptions;
use crate::region::state::Event;

/// A machine in the region. Its addresses are those of its interfaces, its tags those of its ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub id: String,
    pub reservation: String,
    /// Its place among those launched together.
    pub launch_index: u32,
    pub client_token: Option<String>,
    pub image: String,
    pub instance_type: String,
    pub architecture: &'static str,
    pub state: InstanceState,
    /// EC2's LaunchTime: of the latest start.
    pub launched_at: OffsetDateTime,
    /// Until then Describe actions do not know it: EC2 API Reference, "Eventual consistency".
    pub visible_at: OffsetDateTime,
    /// Why it is in its state, if somebody made it so.
    pub reason: Option<Reason>,
    pub metadata: MetadataOptions,
    pub user_data: Option<Bytes>,
    pub profile: Option<Profile>,
    pub market: Market,
    pub key_name: Option<String>,
    pub vpc: String,
    pub subnet: String,
    pub zone: String,
    /// IDs of its network interfaces, the primary one first.
    pub interfaces: Vec<String>,
    /// The primary address, also when the interface is gone.
    pub address: Ipv4Addr,
    pub private_dns_name: String,
}

/// The states of the page, with the moment of the next change where time brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceState {
    Pending {
        until: OffsetDateTime,
    },
    Running,
    ShuttingDown {
        until: OffsetDateTime,
    },
    /// Listed for a while yet.
    Terminated {
        forgotten_at: OffsetDateTime,
    },
    Stopping {
        until: OffsetDateTime,
    },
    Stopped,
}

/// `stateReason`, and what `reason` says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub code: &'static str,
    pub message: &'static str,
    /// As in `User initiated (2026-11-23 06:16:03 GMT)`.
    pub transition: String,
}

/// The instance profile that its credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub arn: String,
    /// `AIPA…`
    pub id: String,
}

/// How it is paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Market {
    #[default]
    OnDemand,
    Spot,
}

/// How long each change takes, and how long things stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    pub pending: Duration,
    pub stopping: Duration,
    pub shutting_down: Duration,
    /// How long after a launch Describe actions do not know the instance.
    pub unseen: Duration,
    /// "Terminated instances remain visible after termination (for approximately one hour)."
    pub terminated_listed: Duration,
}

impl Default for Timing {
    /// No waiting: for tests of other things.
    fn default() -> Self {
        Self {
            pending: Duration::ZERO,
            stopping: Duration::ZERO,
            shutting_down: Duration::ZERO,
            unseen: Duration::ZERO,
            terminated_listed: Duration::from_secs(3600),
        }
    }
}

impl Timing {
    /// Delays like AWS' shortest.
    pub fn lifelike() -> Self {
        Self {
            pending: Duration::from_secs(2),
            stopping: Duration::from_secs(2),
            shutting_down: Duration::from_secs(2),
            unseen: Duration::from_millis(500),
            ..Self::default()
        }
    }
}

impl InstanceState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Running => "running",
            Self::ShuttingDown { .. } => "shutting-down",
            Self::Terminated { .. } => "terminated",
            Self::Stopping { .. } => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// EC2 API Reference, "InstanceState".
    pub fn code(self) -> u16 {
        match self {
            Self::Pending { .. } => 0,
            Self::Running => 16,
            Self::ShuttingDown { .. } => 32,
            Self::Terminated { .. } => 48,
            Self::Stopping { .. } => 64,
            Self::Stopped => 80,
        }
    }

    /// Pending or running.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Pending { .. } | Self::Running)
    }

    /// On its way out, or gone.
    pub fn is_ending(self) -> bool {
        matches!(self, Self::ShuttingDown { .. } | Self::Terminated { .. })
    }

    fn changes_at(self) -> Option<OffsetDateTime> {
        match self {
            Self::Pending { until } | Self::ShuttingDown { until } | Self::Stopping { until } => {
                Some(until)
            }
            Self::Terminated { forgotten_at } => Some(forgotten_at),
            Self::Running | Self::Stopped => None,
        }
    }
}

impl Market {
    /// As the metadata service's `instance-life-cycle` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::Spot => "spot",
        }
    }
}

impl Reason {
    /// Somebody, or a group, stopped or terminated it by the API.
    fn by_user(now: OffsetDateTime) -> Self {
        let (date, hour, minute, second) = (now.date(), now.hour(), now.minute(), now.second());
        Self {
            code: "Client.UserInitiatedShutdown",
            message: "Client.UserInitiatedShutdown: User initiated shutdown",
            transition: format!("User initiated ({date} {hour:02}:{minute:02}:{second:02} GMT)"),
        }
    }
}

impl Ec2 {
    /// Ends an instance, whatever state it is in; one that is ending stays as it is.
    pub fn terminate(&mut self, id: &str, now: OffsetDateTime) -> Result<(), ServiceError> {
        let until = now + self.timing.shutting_down;
        let instance = self.instances.get_mut(id).ok_or_else(|| errors::no_instances(&[id]))?;
        if !instance.state.is_ending() {
            instance.state = InstanceState::ShuttingDown { until };
            instance.reason = Some(Reason::by_user(now));
            self.events.push(Event::InstanceShuttingDown { id: id.to_owned() });
        }
        Ok(())
    }

    /// Stops a running instance; a stopping or stopped one stays so.
    pub fn stop(&mut self, id: &str, now: OffsetDateTime) -> Result<(), ServiceError> {
        let until = now + self.timing.stopping;
        let instance = self.instances.get_mut(id).ok_or_else(|| errors::no_instances(&[id]))?;
        match instance.state {
            InstanceState::Stopping { .. } | InstanceState::Stopped => {}
            InstanceState::Running => {
                instance.state = InstanceState::Stopping { until };
                instance.reason = Some(Reason::by_user(now));
                self.events.push(Event::InstanceStopping { id: id.to_owned() });
            }
            _ => return Err(wrong_state(id, "stopped")),
        }
        Ok(())
    }

    /// Starts a stopped instance: it keeps its addresses, and its LaunchTime becomes `now`.
    pub fn start(&mut self, id: &str, now: OffsetDateTime) -> Result<(), ServiceError> {
        let until = now + self.timing.pending;
        let instance = self.instances.get_mut(id).ok_or_else(|| errors::no_instances(&[id]))?;
        match instance.state {
            state if state.is_up() => {}
            InstanceState::Stopped => {
                instance.state = InstanceState::Pending { until };
                instance.launched_at = now;
                instance.reason = None;
                self.events.push(Event::InstancePending { id: id.to_owned() });
            }
            _ => return Err(wrong_state(id, "started")),
        }
        Ok(())
    }

    /// Restarts a running instance; its state and LaunchTime stay.
    pub fn reboot(&mut self, id: &str) -> Result<(), ServiceError> {
        let instance = self.instances.get(id).ok_or_else(|| errors::no_instances(&[id]))?;
        if instance.state != InstanceState::Running {
            return Err(wrong_state(id, "rebooted"));
        }
        self.events.push(Event::InstanceRebooted { id: id.to_owned() });
        Ok(())
    }

    /// Moves every state whose time has come.
    pub(super) fn advance_instances(&mut self, now: OffsetDateTime) {
        let due: Vec<String> = self
            .instances
            .values()
            .filter(|held| held.is_due(now))
            .map(|held| held.id.clone())
            .collect();
        due.iter().for_each(|id| self.change(id));
    }

    /// When the next instance changes.
    pub(super) fn next_change(&self) -> Option<OffsetDateTime> {
        self.instances.values().filter_map(|instance| instance.state.changes_at()).min()
    }

    /// The change that time brings.
    fn change(&mut self, id: &str) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        let id = id.to_owned();
        match instance.state {
            InstanceState::Pending { .. } => {
                instance.state = InstanceState::Running;
                self.events.push(Event::InstanceRunning { id });
            }
            InstanceState::Stopping { .. } => {
                instance.state = InstanceState::Stopped;
                self.events.push(Event::InstanceStopped { id });
            }
            InstanceState::ShuttingDown { until } => {
                instance.state = InstanceState::Terminated {
                    forgotten_at: until + self.timing.terminated_listed,
                };
                self.let_interfaces_go(&id);
                self.events.push(Event::InstanceTerminated { id });
            }
            InstanceState::Terminated { .. } => {
                self.instances.remove(&id);
                self.tags.remove(&id);
            }
            InstanceState::Running | InstanceState::Stopped => {}
        }
    }

    /// EC2 User Guide, "Terminate Amazon EC2 instances": interfaces made with the instance go with
    /// it, others are detached.
    fn let_interfaces_go(&mut self, instance: &str) {
        let held =
            self.instances.get_mut(instance).map(|held| std::mem::take(&mut held.interfaces));
        for id in held.into_iter().flatten() {
            let Some(interface) = self.interfaces.get_mut(&id) else { continue };
            let with = interface.attachment.take();
            if with.is_some_and(|with| with.delete_on_termination) {
                self.interfaces.remove(&id);
                self.tags.remove(&id);
            }
        }
    }
}

impl Instance {
    fn is_due(&self, now: OffsetDateTime) -> bool {
        self.state.changes_at().is_some_and(|at| at <= now)
    }
}

fn wrong_state(id: &str, wish: &str) -> ServiceError {
    ServiceError::client(
        "IncorrectInstanceState",
        format!("The instance '{id}' is not in a state from which it can be {wish}."),
    )
}
