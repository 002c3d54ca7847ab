//! The machine's own shutdown, when somebody types `reboot`: logind announces it, and waits for us.
//!
//! kubelet is told at the same moment, and ends its pods one way or the other. That they are evicted
//! as well takes them out of Services at once, and makes others in their place.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::event::{Announced, At, EventId, Kind};
use crate::host::{Machine, ShutdownLock};

/// Where logind, or its programs, are not: who boots without them will not have them later.
const AGAIN: Duration = Duration::from_secs(300);
/// A shutdown that goes on has mostly ended this program by then.
const GOES_ON: Duration = Duration::from_secs(60);
/// logind's default of `InhibitDelayMaxSec=` (logind.conf(5)).
const LONGEST_DELAY: Duration = Duration::from_secs(5);

const WHY: &str = "pods leave this node first";

/// What logind announced, and the lock that holds it up. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Shutdown {
    /// Nothing is known until logind was asked.
    said: watch::Receiver<Option<Standing>>,
    release: Arc<watch::Sender<bool>>,
}

/// The shutdown that is announced, if one is.
type Standing = Option<Announced>;

impl Shutdown {
    /// Listens from now on, until the last clone is dropped.
    pub(super) fn of(machine: &Machine, now: impl Fn() -> At + Send + Sync + 'static) -> Self {
        let (tell, said) = watch::channel(None);
        let release = Arc::new(watch::Sender::new(false));
        let listener = Listener { machine: machine.clone(), tell, release: release.clone(), now };
        tokio::spawn(listener.listen());
        Self { said, release }
    }

    /// What is announced; `None` where logind was not asked yet.
    pub(super) fn announced(&self) -> Option<Standing> {
        self.said.borrow().clone()
    }

    /// Until something else is announced than before.
    pub(super) async fn changed(&mut self) {
        if self.said.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// It may go on: as little as possible is left here.
    pub(super) fn release(&self) {
        self.release.send_replace(true);
    }
}

struct Listener<T> {
    machine: Machine,
    tell: watch::Sender<Option<Standing>>,
    release: Arc<watch::Sender<bool>>,
    now: T,
}

impl<T: Fn() -> At> Listener<T> {
    async fn listen(self) {
        let mut released = self.release.subscribe();
        let mut silent = false;
        loop {
            let let_go = async {
                let _ = released.wait_for(|released| *released).await;
            };
            tokio::select! {
                error = self.hold(&mut silent) => {
                    self.note(&error, &mut silent);
                    sleep(AGAIN).await;
                }
                // The lock is dropped with the future.
                () = let_go => self.until_it_is_off().await,
                () = self.tell.closed() => return,
            }
        }
    }

    /// Holds a lock and listens, for as long as logind answers.
    async fn hold(&self, silent: &mut bool) -> anyhow::Error {
        let lock = match self.machine.hold_shutdown(WHY) {
            Ok(Some(lock)) => lock,
            // A folder never goes down.
            Ok(None) => {
                self.tell.send_replace(Some(None));
                return std::future::pending().await;
            }
            Err(error) => return error,
        };
        match self.follow(lock, silent).await {
            Err(error) => error,
            Ok(never) => match never {},
        }
    }

    async fn follow(
        &self,
        mut lock: ShutdownLock,
        silent: &mut bool,
    ) -> anyhow::Result<std::convert::Infallible> {
        // An earlier run of this program may have been told.
        let mut begins = self.machine.is_shutting_down().await?;
        *silent = false;
        loop {
            self.say(begins).await;
            begins = lock.told().await?;
        }
    }

    async fn say(&self, begins: bool) {
        let within = match begins {
            true => self.machine.longest_shutdown_delay().await.unwrap_or(LONGEST_DELAY),
            false => Duration::ZERO,
        };
        let announced = begins.then(|| shutdown(within, (self.now)()));
        self.tell.send_if_modified(|said| {
            let stood = said.as_ref().map(Option::is_some);
            *said = Some(announced);
            stood != Some(begins)
        });
    }

    /// Nobody who cannot be asked announces anything; what was announced before stands.
    fn note(&self, error: &anyhow::Error, silent: &mut bool) {
        self.tell.send_if_modified(|said| said.is_none() && said.replace(None).is_none());
        if !std::mem::replace(silent, true) {
            tracing::warn!(
                "a shutdown of this machine would not be known beforehand: {error:#}\n\
                 hint: the image needs dbus and systemd-logind, as kubelet's graceful shutdown does"
            );
        }
    }

    /// The shutdown was let go on, and this program still runs after it should not.
    async fn until_it_is_off(&self) {
        loop {
            sleep(GOES_ON).await;
            if !self.machine.is_shutting_down().await.unwrap_or(false) {
                break;
            }
        }
        self.release.send_replace(false);
        self.tell.send_replace(Some(None));
    }
}

fn shutdown(within: Duration, now: At) -> Announced {
    let id = EventId { kind: Kind::Shutdown, name: "PrepareForShutdown".to_owned() };
    Announced { id, at: Some(now.moment + within) }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::super::event::Moment;
    use super::*;
    use crate::converge::files::tests::Scratch;

    #[tokio::test]
    async fn a_folder_says_at_once_that_it_does_not_go_down() {
        let (_scratch, machine) = Scratch::new("shutdown");
        let moment = Moment::after_boot(Duration::ZERO);
        let at = At { moment, time: datetime!(2026-11-26 06:00:00 UTC) };
        let mut shutdown = Shutdown::of(&machine, move || at);
        assert_eq!(shutdown.announced(), None, "nobody was asked yet");
        shutdown.changed().await;
        assert_eq!(shutdown.announced(), Some(None));
    }

    #[test]
    fn pods_have_until_logind_waits_no_longer() {
        let moment = Moment::after_boot(Duration::from_secs(100));
        let now = At { moment, time: datetime!(2026-11-26 06:00:00 UTC) };
        let announced = shutdown(Duration::from_secs(30), now);
        assert_eq!(announced.at, Some(Moment::after_boot(Duration::from_secs(130))));
    }
}
