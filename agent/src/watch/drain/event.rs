//! By what AWS, or a person, announces that this node leaves; as the sources tell it, without a
//! memory of what was told before.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Milliseconds of the clock that counts from the kernel's boot and goes on while it sleeps
/// (`CLOCK_BOOTTIME` of clock_gettime(2)): nobody sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(u64);

impl Moment {
    /// So long after the kernel's boot.
    pub fn after_boot(since: Duration) -> Self {
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// How long after `earlier` this is; nothing where it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(Self::after_boot(duration).0))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(Self::after_boot(duration).0))
    }
}

/// One moment on both clocks: AWS' times, and people's, are those of the wall.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub moment: Moment,
    pub time: OffsetDateTime,
}

impl At {
    /// That time of the wall's clock, on the clock that nobody sets.
    pub fn moment_of(&self, time: OffsetDateTime) -> Moment {
        let ahead = time - self.time;
        match Duration::try_from(ahead) {
            Ok(ahead) => self.moment + ahead,
            Err(_) => self.moment - ahead.unsigned_abs(),
        }
    }

    /// That moment, as the wall's clock has it now.
    pub fn time_of(&self, moment: Moment) -> OffsetDateTime {
        self.time + moment.since(self.moment) - self.moment.since(moment)
    }
}

/// What kind of an end it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The Auto Scaling group takes the instance out of service: `autoscaling/target-lifecycle-state`
    /// is `Terminated`.
    Termination,
    /// It goes back to the group's warm pool: the state begins with `Warmed:`.
    WarmPool,
    /// `spot/instance-action`.
    Spot,
    /// `events/recommendations/rebalance`: EC2 may interrupt it before long.
    Rebalance,
    /// `events/maintenance/scheduled`.
    Maintenance,
    /// systemd-logind: the machine is about to go down, or to reboot.
    Shutdown,
    /// Somebody said `windlass drain`.
    ByHand,
}

/// What tells one announcement from another: the same twice is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId {
    pub kind: Kind,
    /// AWS' own id or time of it; of a lifecycle state, the state.
    pub name: String,
}

/// An announcement that stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Announced {
    pub id: EventId,
    /// When AWS does it, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
}

impl Kind {
    /// As metrics, logs and reports call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Termination => "termination",
            Self::WarmPool => "warm-pool",
            Self::Spot => "spot",
            Self::Rebalance => "rebalance",
            Self::Maintenance => "maintenance",
            Self::Shutdown => "shutdown",
            Self::ByHand => "by-hand",
        }
    }

    /// Whether the group waits for its hook on this transition.
    pub fn has_hook(self) -> bool {
        matches!(self, Self::Termination | Self::WarmPool)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind.name(), self.name)
    }
}
