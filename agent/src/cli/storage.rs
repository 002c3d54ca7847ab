//! `windlass storage`: puts the disk to use that the group has its nodes' data on.

use super::Failure;
use crate::host::Machine;
use crate::storage::{Refused, carry_out};

/// Mount the disk that this group keeps images and pods' data on, and make its file system first.
///
/// Run by windlass-storage.service, which `windlass boot` starts where the group wants it. A disk with
/// anything on it that windlass did not make is left alone. A second run changes nothing.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass storage                         what the unit runs
  journalctl -u windlass-storage           what it said
  findmnt /var/lib/windlass-data           the disk, where it is mounted

Exit codes: 0 the disk is in use; 1 failed, another try may succeed; 78 the disks are not as the group
has it, and another try fails in the same way.")]
pub struct Args {}

/// Runs the command.
pub async fn run(_: Args) -> Result<(), Failure> {
    carry_out(&Machine::this()).await.map_err(|error| match error.is::<Refused>() {
        true => Failure::Configuration(error),
        false => Failure::Failed(error),
    })
}
