//! Instances and their states: EC2 User Guide, "Amazon EC2 instance state changes".

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use time::OffsetDateTime;

use super::announced::Announced;
use crate::region::imds::MetadataOptions;

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
    /// Until then, although it may be called running, no route can be made to it.
    pub settled_at: OffsetDateTime,
    /// Why it is in its state, if somebody made it so.
    pub reason: Option<Reason>,
    /// What is to happen to it that nobody asked for.
    pub announced: Announced,
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
    /// How long after it is called running an instance is still in the state 'unknown-running' for
    /// what makes routes.
    pub settling: Duration,
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
            settling: Duration::ZERO,
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
            settling: Duration::from_secs(1),
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

    pub(super) fn changes_at(self) -> Option<OffsetDateTime> {
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

/// `i-` and 8 or 17 hexadecimal digits.
pub(super) fn well_formed(id: &str) -> bool {
    let digits = id.strip_prefix("i-").unwrap_or_default();
    matches!(digits.len(), 8 | 17) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

impl Reason {
    /// Somebody, or a group, stopped or terminated it by the API.
    pub(super) fn by_user(now: OffsetDateTime) -> Self {
        let (date, hour, minute, second) = (now.date(), now.hour(), now.minute(), now.second());
        Self {
            code: "Client.UserInitiatedShutdown",
            message: "Client.UserInitiatedShutdown: User initiated shutdown",
            transition: format!("User initiated ({date} {hour:02}:{minute:02}:{second:02} GMT)"),
        }
    }

    /// EC2 API Reference, "StateReason".
    pub(super) fn spot_termination() -> Self {
        Self::by_aws(
            "Server.SpotInstanceTermination",
            "Server.SpotInstanceTermination: Spot instance termination",
        )
    }

    pub(super) fn spot_shutdown() -> Self {
        Self::by_aws(
            "Server.SpotInstanceShutdown",
            "Server.SpotInstanceShutdown: Spot instance shutdown",
        )
    }

    pub(super) fn scheduled_stop() -> Self {
        Self::by_aws(
            "Server.ScheduledStop",
            "Server.ScheduledStop: Stopped due to scheduled retirement",
        )
    }

    fn by_aws(code: &'static str, message: &'static str) -> Self {
        Self { code, message, transition: code.to_owned() }
    }
}
