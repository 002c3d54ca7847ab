//! `windlass boot`: makes this instance a node.

use super::{Failure, Started};
use crate::boot;
use crate::client::Wire;
use crate::host::Machine;

/// Make this instance a node of the cluster that its UserData names.
///
/// Run by windlass-boot.service before kubelet. A second run changes nothing and says so.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass boot                        what the unit runs
  systemctl status windlass-boot       which step it is at
  journalctl -u windlass-boot          what each step did
  journalctl WINDLASS_STEP=grant       one step of every boot

Exit codes: 0 the node is Ready; 1 failed, another try may succeed; 78 the configuration is wrong
or admission refused, and another try fails in the same way.")]
pub struct Args {}

/// Runs the command.
pub async fn run(_: Args, started: Started) -> Result<(), Failure> {
    boot::boot(&Machine::this(), Wire::real(), started).await
}
