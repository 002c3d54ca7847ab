//! `windlass abandon`: gives an instance up whose boot could not do so itself.

use super::{Failure, Started};
use crate::boot;
use crate::client::Wire;
use crate::host::Machine;

/// How systemd calls it that the unit ended which starts this one (systemd.exec(5), since 251).
const RESULT: &str = "MONITOR_SERVICE_RESULT";

/// Abandon this instance's launch, so that its Auto Scaling group replaces it.
///
/// Completes the launch lifecycle hook with ABANDON and uploads a report that says why. Run by
/// windlass-abandon.service when windlass-boot.service is not started any more. Of an instance that is
/// in service, or of no group, it changes nothing.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass abandon                         what the unit runs
  journalctl -u windlass-abandon           what it said

Exit codes: 0 abandoned, or there was nothing to abandon; 1 failed, another try may succeed; 78 the
configuration is wrong, and another try fails in the same way.")]
pub struct Args {}

/// Runs the command.
pub async fn run(_: Args, started: Started) -> Result<(), Failure> {
    let how = std::env::var(RESULT).ok();
    boot::abandon(&Machine::this(), Wire::real(), started, how.as_deref()).await
}
