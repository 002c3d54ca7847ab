//! The commands by which AWS takes instances away, or says that it will.

use std::time::Duration;

use anyhow::Result;

use super::look;
use crate::lab::daemon::{self, Request};

/// Announce that EC2 interrupts an instance, as it does with spot instances
#[derive(clap::Args)]
pub struct Spot {
    node: String,
    /// How long before, as 120s or 2m
    #[arg(long = "in", value_name = "TIME", value_parser = daemon::duration, default_value = "120s")]
    after: Duration,
    /// terminate, stop or hibernate
    #[arg(long, default_value = "terminate")]
    action: String,
}

/// Schedule an event for an instance, or take back what is scheduled
#[derive(clap::Args)]
pub struct Maintenance {
    node: String,
    /// system-reboot, instance-reboot, system-maintenance, instance-stop or instance-retirement
    #[arg(long, default_value = "system-reboot")]
    code: String,
    /// When it may begin, as 90s or 5m
    #[arg(
        long = "in",
        value_name = "TIME",
        value_parser = daemon::duration,
        required_unless_present = "cancel"
    )]
    after: Option<Duration>,
    /// Take back whatever is scheduled for it
    #[arg(long, conflicts_with = "after")]
    cancel: bool,
}

pub fn spot(name: &str, Spot { node, after, action }: Spot) -> Result<()> {
    look::print(name, &Request::Spot { node, action, seconds: after.as_secs() })
}

pub fn maintenance(name: &str, Maintenance { node, code, after, .. }: Maintenance) -> Result<()> {
    let request = match after {
        Some(after) => Request::Maintenance { node, code, seconds: after.as_secs() },
        None => Request::CancelMaintenance { node },
    };
    look::print(name, &request)
}
