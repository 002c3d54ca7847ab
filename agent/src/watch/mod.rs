//! `windlass watch`: what has to go on for as long as the node runs. Loops that make the plan which
//! `boot` made, and call the same `ensure_*`; today one of them, which keeps the pod network.
//!
//! It asks nobody beyond this machine, builds no client, and starts from what boot left on disk:
//! whatever is away when it starts, it keeps the node's network.

mod look;
pub mod network;
mod pace;
mod said;
mod strife;

use std::time::Duration;

use sd_notify::NotifyState;

pub use self::look::Look;
pub use self::said::{Line, Said, Tally};
pub use self::strife::Quarrel;

use self::network::{Keeper, Keeping};
use crate::cli::Failure;
use crate::host::Machine;

/// Between two looks when nothing happens. What the kernel tells of is put back long before; this
/// finds what it does not tell of: a file, `accept_ra`, nftables where it has no such messages.
const SELDOM: Duration = Duration::from_secs(60);

/// Until told to stop, which it does at once: nothing of what it keeps needs it to be said farewell.
pub async fn watch(machine: &Machine, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    let seldom = SELDOM.min(watchdog().map_or(SELDOM, |within| within / 2));
    let mut keeper = Keeper::new(machine, Keeping { seldom, buffer_bytes: None })?;
    let mut said = Said::default();
    let keep = async {
        loop {
            let look = keeper.next().await?;
            said.lines(&look).iter().for_each(Line::log);
            alive(&said.to_string());
        }
    };
    tokio::select! {
        failed = keep => failed,
        () = stop => {
            let _ = sd_notify::notify(false, &[NotifyState::Stopping]);
            Ok(())
        }
    }
}

/// Within what time systemd wants a sign of life (`WATCHDOG_USEC` of sd_watchdog_enabled(3)).
fn watchdog() -> Option<Duration> {
    let mut within_us = 0;
    sd_notify::watchdog_enabled(false, &mut within_us).then(|| Duration::from_micros(within_us))
}

/// A look that ended is the sign of life: one that hangs gives none. Not under systemd there is
/// nobody to tell.
fn alive(status: &str) {
    let signs = [NotifyState::Ready, NotifyState::Watchdog, NotifyState::Status(status)];
    let _ = sd_notify::notify(false, &signs);
}
