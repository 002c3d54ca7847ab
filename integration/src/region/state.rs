//! Everything that the region knows, under one lock: ordered maps and seeded IDs only, so that the
//! same calls in the same order leave the same state.

use time::OffsetDateTime;

use super::autoscaling::{self, AutoScaling};
use super::ec2::{self, Ec2};
use super::iam::Iam;
use super::ids::Ids;
use super::imds::Imds;
use super::tracked::Tracked;
use super::{Settings, s3};

/// The region's state.
#[derive(Debug)]
pub struct State {
    pub settings: Settings,
    pub ec2: Tracked<Ec2>,
    /// How full EC2's buckets of requests are.
    pub ec2_buckets: ec2::Buckets,
    pub autoscaling: Tracked<AutoScaling>,
    pub s3: s3::Store,
    pub iam: Iam,
    pub imds: Imds,
    pub ids: Ids,
    /// What happened and has not been published yet.
    pub events: Vec<Event>,
}

/// What happened to an instance: a machine room acts on its states, Auto Scaling on those and on
/// what is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Launched or started: the machine is to be switched on.
    InstancePending {
        id: String,
    },
    InstanceRunning {
        id: String,
    },
    /// The guest is to shut down; it may take its time.
    InstanceStopping {
        id: String,
    },
    InstanceStopped {
        id: String,
    },
    /// The guest is to shut down and goes.
    InstanceShuttingDown {
        id: String,
    },
    InstanceTerminated {
        id: String,
    },
    InstanceRebooted {
        id: String,
    },
    /// EC2 will take a spot instance away.
    InterruptionAnnounced {
        id: String,
    },
    /// A spot instance is at elevated risk of that.
    RebalanceRecommended {
        id: String,
    },
}

impl Event {
    /// The instance to which it happened.
    pub fn instance(&self) -> &str {
        match self {
            Self::InstancePending { id }
            | Self::InstanceRunning { id }
            | Self::InstanceStopping { id }
            | Self::InstanceStopped { id }
            | Self::InstanceShuttingDown { id }
            | Self::InstanceTerminated { id }
            | Self::InstanceRebooted { id }
            | Self::InterruptionAnnounced { id }
            | Self::RebalanceRecommended { id } => id,
        }
    }
}

impl State {
    pub fn new(settings: Settings) -> Self {
        Self {
            iam: Iam::new(&settings.account, &settings.name),
            ids: Ids::new(settings.seed),
            ec2: Tracked::new(Ec2::new(&settings.name, &settings.account)),
            ec2_buckets: ec2::Buckets::default(),
            s3: s3::Store::new(settings.seed),
            imds: Imds::new(settings.latency),
            settings,
            autoscaling: Tracked::new(AutoScaling::default()),
            events: Vec::new(),
        }
    }

    /// Moves every state whose time has come, each at its own time, so that a clock that leaps is
    /// like one that ran.
    pub fn advance(&mut self, now: OffsetDateTime) {
        loop {
            let at = self.next_deadline().map_or(now, |deadline| deadline.min(now));
            ec2::advance(self, at);
            autoscaling::advance(self, at);
            if self.next_deadline().is_none_or(|deadline| deadline > now) {
                return;
            }
        }
    }

    /// When the next state moves by itself.
    pub fn next_deadline(&self) -> Option<OffsetDateTime> {
        [self.ec2.next_deadline(), self.autoscaling.next_deadline()].into_iter().flatten().min()
    }
}
