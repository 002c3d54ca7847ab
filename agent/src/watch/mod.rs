//! `windlass watch`: what has to go on for as long as the node runs. One loop keeps the pod network:
//! it makes the plan which `boot` made, and calls the same `ensure_*`. The other lets the node go when
//! AWS announces its end.
//!
//! Both go by what the last boot left on disk. The first asks nobody beyond this machine: whatever is
//! away, the node's network is kept.

pub mod drain;
mod endpoint;
mod look;
mod metrics;
pub mod network;
mod pace;
mod said;
mod status;
mod strife;

use std::convert::Infallible;
use std::time::Duration;

use anyhow::Context;
use nix::fcntl::{Flock, FlockArg};
use sd_notify::NotifyState;
use tokio::time::sleep;

pub use self::look::Look;
pub use self::metrics::Metrics;
pub use self::said::{Line, Said, Tally};
pub use self::status::Status;
pub use self::strife::Quarrel;

use self::drain::{Drainer, Numbers};
use self::network::{Keeper, Keeping};
use crate::basis::{Basis, Stamp};
use crate::cli::Failure;
use crate::client::Wire;
use crate::host::Machine;

/// Between two looks when nothing happens. What the kernel tells of is put back long before; this
/// finds what it does not tell of: a file, `accept_ra`, nftables where it has no such messages.
const SELDOM: Duration = Duration::from_secs(60);

/// After letting the node go could not even begin.
const DRAINER_AGAIN: Duration = Duration::from_secs(10);

/// Between two looks whether a boot left another basis: as often as IMDS is asked.
const BASIS_AGAIN: Duration = Duration::from_secs(1);

/// Held by the one that runs: two would both complete the hook.
const LOCK: &str = "/run/windlass/watch.lock";

/// Until told to stop, which it does at once: nothing of what it keeps needs it to be said farewell,
/// and a drain goes on in the next run.
pub async fn watch(
    machine: &Machine,
    wire: &Wire,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let _lock = lock(machine)?;
    let seldom = SELDOM.min(watchdog().map_or(SELDOM, |within| within / 2));
    let mut keeper = Keeper::new(machine, Keeping { seldom, buffer_bytes: None })?;
    let mut said = Said::default();
    let (wire, calls) = wire.clone().counted();
    let listen = Basis::kept(machine)?.config.watch.metrics;
    let (leaving, metrics) = (Status::default(), Metrics::default());
    let keep = async {
        loop {
            let stirred = keeper.stirred().await?;
            let look = keeper.look(stirred).await?;
            said.lines(&look).iter().for_each(Line::log);
            metrics.network(said.tally(), said.is_well());
            alive(&leaving.beside(&said.to_string()));
        }
    };
    tokio::select! {
        failed = keep => failed,
        never = leave(machine, &wire, &leaving, &metrics) => match never {},
        never = endpoint::serve(machine, &listen, metrics.clone(), calls) => match never {},
        () = stop => {
            let _ = sd_notify::notify(false, &[NotifyState::Stopping]);
            Ok(())
        }
    }
}

/// Whatever becomes of it, the network is kept. A drain that is under way goes on by what a later boot
/// left, as it would in the next run.
async fn leave(machine: &Machine, wire: &Wire, status: &Status, metrics: &Metrics) -> Infallible {
    loop {
        let began_with = Stamp::of(machine);
        let run = async {
            let basis = Basis::kept(machine).map_err(Failure::into_error)?;
            let (status, metrics) = (status.clone(), metrics.clone());
            Drainer::new(machine, wire, &basis, status, metrics).await?.run().await
        };
        let run_again = async {
            let Err(error) = run.await;
            metrics.drain(Numbers::default());
            tracing::error!("this node would not be drained now: {error:#}");
            sleep(DRAINER_AGAIN).await;
        };
        tokio::select! {
            () = run_again => {}
            () = replaced(machine, began_with) => {
                tracing::info!("a later boot left another basis: this node is drained by that one");
            }
        }
    }
}

/// A later boot left a basis that can be used. Not told while the machine shuts down: the lock that holds
/// this up could not be had again.
async fn replaced(machine: &Machine, read: Option<Stamp>) {
    loop {
        let is_another = Stamp::of(machine) != read && Basis::kept(machine).is_ok();
        if is_another && !machine.is_shutting_down().await.unwrap_or(false) {
            return;
        }
        sleep(BASIS_AGAIN).await;
    }
}

fn lock(machine: &Machine) -> anyhow::Result<Flock<std::fs::File>> {
    let path = machine.path(LOCK);
    let opened = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let opened = opened.and_then(|()| std::fs::File::create(&path));
    let file = opened.with_context(|| format!("opening {LOCK}"))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        anyhow::anyhow!(
            "another `windlass watch` holds {LOCK}: {errno}\n\
             hint: `systemctl status windlass-watch` shows the one that systemd started"
        )
    })
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

#[cfg(test)]
mod tests {
    use ipnet::IpNet;
    use tokio::time::timeout;

    use super::*;
    use crate::basis::tests::{booted, mailbox};
    use crate::basis::{BASIS, ensure_kept};
    use crate::converge::files::tests::Scratch;

    #[tokio::test(start_paused = true)]
    async fn only_another_basis_that_can_be_used_replaces_one() {
        let (_scratch, machine) = Scratch::new("watch-basis");
        let (facts, _, revision) = booted(&machine);
        let keep = |pod_cidrs: &[IpNet]| {
            ensure_kept(&machine, &facts, &revision, pod_cidrs, &mailbox()).expect("written");
        };
        keep(&[]);
        let read = Stamp::of(&machine);
        let stands = async || timeout(SELDOM, replaced(&machine, read)).await.is_err();
        assert!(stands().await);
        std::fs::write(machine.path(BASIS), "{").expect("written");
        assert!(stands().await, "one that is broken");
        std::fs::remove_file(machine.path(BASIS)).expect("removed");
        assert!(stands().await, "none");
        keep(&["10.64.3.0/24".parse().expect("a CIDR")]);
        replaced(&machine, read).await;
    }
}
