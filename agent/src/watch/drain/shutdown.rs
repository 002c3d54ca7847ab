//! The machine's own shutdown, when somebody types `reboot`: logind announces it, and waits for us.
//!
//! kubelet is told at the same moment, and ends its pods one way or the other. That they are evicted
//! as well takes them out of Services at once, and makes others in their place.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::event::{Announced, At, EventId, Kind};
use crate::host::Machine;

/// Where logind, or its programs, are not: who boots without them will not have them later.
const AGAIN: Duration = Duration::from_secs(300);
/// A shutdown that goes on has ended this program by then.
const GOES_ON: Duration = Duration::from_secs(60);

const WHY: &str = "pods leave this node first";

/// What logind announced, and the lock that holds it up.
#[derive(Clone, Debug)]
pub(super) struct Shutdown {
    announced: watch::Receiver<Option<Announced>>,
    release: Arc<Notify>,
}

impl Shutdown {
    /// Listens from now on, until it is dropped.
    pub(super) fn of(machine: &Machine, now: impl Fn() -> At + Send + Sync + 'static) -> Self {
        let (tell, announced) = watch::channel(None);
        let release = Arc::new(Notify::new());
        tokio::spawn(listen(machine.clone(), tell, Arc::clone(&release), now));
        Self { announced, release }
    }

    /// The shutdown, if one is announced.
    pub(super) fn announced(&self) -> Option<Announced> {
        self.announced.borrow().clone()
    }

    /// Until something else is announced than before.
    pub(super) async fn changed(&mut self) {
        if self.announced.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// It may go on: as little as possible is left here.
    pub(super) fn release(&self) {
        self.release.notify_one();
    }
}

async fn listen(
    machine: Machine,
    tell: watch::Sender<Option<Announced>>,
    release: Arc<Notify>,
    now: impl Fn() -> At,
) {
    let mut said = false;
    while !tell.is_closed() {
        let ended = tokio::select! {
            ended = listen_once(&machine, &tell, &now) => ended,
            // The lock is dropped with the future.
            () = release.notified() => {
                sleep(GOES_ON).await;
                tell.send_replace(None);
                continue;
            }
            () = tell.closed() => return,
        };
        if let Err(error) = ended
            && !std::mem::replace(&mut said, true)
        {
            tracing::warn!(
                "a shutdown of this machine would not be known beforehand: {error:#}\n\
                 hint: the image needs dbus and systemd-logind, as kubelet's graceful shutdown does"
            );
        }
        sleep(AGAIN).await;
    }
}

/// For as long as logind answers.
async fn listen_once(
    machine: &Machine,
    tell: &watch::Sender<Option<Announced>>,
    now: &impl Fn() -> At,
) -> anyhow::Result<()> {
    let Some(mut lock) = machine.hold_shutdown(WHY)? else {
        return std::future::pending().await;
    };
    // An earlier run of this program may have been told.
    let mut begins = machine.is_shutting_down().await?;
    loop {
        let announced = match begins {
            true => Some(shutdown(machine.longest_shutdown_delay().await?, now())),
            false => None,
        };
        tell.send_if_modified(|told| {
            let changes = told.is_some() != announced.is_some();
            *told = announced;
            changes
        });
        begins = lock.told().await?;
    }
}

fn shutdown(within: Duration, now: At) -> Announced {
    let id = EventId { kind: Kind::Shutdown, name: "PrepareForShutdown".to_owned() };
    Announced { id, at: Some(now.moment + within) }
}
