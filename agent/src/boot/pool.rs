//! A boot in a warm pool. All is prepared that needs no grant, nobody is asked to let anybody in, and
//! no kubelet starts; the launch hook is completed, and the boot waits until the group calls. Then
//! another one begins, which makes the machine a node and completes the launch hook once more: Auto
//! Scaling waits for it on the way into the pool and again on the way out of it. A machine that is
//! stopped in the pool ends the wait, and starts with that other boot.
//!
//! Nothing is asked for ahead of time. A grant would end before most calls come, and its Node would
//! stand in the cluster without a kubelet, with DaemonSets waiting for pods on it. So an instance asks
//! when it is called; `admit::verify` says why that is in time however long ago it was launched.
//!
//! Sources: "Use lifecycle hooks with a warm pool in Auto Scaling group" and "Retrieve the target
//! lifecycle state through instance metadata" (Amazon EC2 Auto Scaling User Guide).

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::stop::Stop;
use super::{Boot, Candidate, Known};
use crate::client::imds::Imds;
use crate::facts::observe;
use crate::report::{Stage, status};

/// Between two looks at where the group wants the instance: as often as `windlass watch` looks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How late IMDS may be. A machine that starts because its group calls may be told for a moment that
/// it is in the pool, and the action that it would complete then is for a node that is Ready. On the
/// way into the pool nobody is in a hurry.
const SETTLES: Duration = Duration::from_secs(5);

/// Where a boot that went well has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// The node is Ready, and in service.
    Ready,
    /// The machine is prepared, and rests in the warm pool.
    Warm,
}

/// What the group tells an instance in its warm pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Rest,
    /// It leaves the pool, and is terminated.
    End,
    Join,
}

impl Boot {
    /// All that needs no grant.
    pub(super) async fn warm_up(
        &self,
        known: &mut Known,
        candidate: &Candidate,
    ) -> Result<Arrived, Stop> {
        known.stage = Stage::WarmPool;
        self.prepare(candidate).await?;
        let state = candidate.facts.instance.lifecycle_state.as_deref().unwrap_or_default();
        known.notes.push(format!("prepared for the warm pool (`{state}`), without a kubelet"));
        Ok(Arrived::Warm)
    }

    /// Lets the group put the instance into its pool, which may stop it at once, and waits there
    /// until it is called.
    pub(super) async fn rest(&self, known: &Known) -> Result<(), Stop> {
        let imds = Imds::new(&self.wire);
        let settled = Instant::now() + SETTLES;
        while Instant::now() < settled {
            sleep(LOOK_AGAIN).await;
            if self.told(&imds).await? == Told::Join {
                return Ok(());
            }
        }
        self.complete_hook(known).await?;
        status("prepared; rests in the warm pool until its group calls");
        tracing::info!("prepared; rests in the warm pool until its group calls");
        self.until_called(&imds, known).await;
        tracing::info!("called out of the warm pool");
        Ok(())
    }

    async fn until_called(&self, imds: &Imds, known: &Known) {
        let (mut silent, mut seen_off) = (false, false);
        loop {
            sleep(LOOK_AGAIN).await;
            match self.told(imds).await {
                Ok(Told::Join) => return,
                Ok(Told::End) if !seen_off => {
                    seen_off = true;
                    self.leave_for_good(known).await;
                }
                Ok(_) if silent => {
                    silent = false;
                    tracing::info!("IMDS answers again");
                }
                Err(error) if !silent => {
                    silent = true;
                    tracing::warn!("whether the group calls is not known now: {error:#}");
                }
                Ok(_) | Err(_) => {}
            }
        }
    }

    async fn told(&self, imds: &Imds) -> anyhow::Result<Told> {
        Ok(told(observe::lifecycle_state(imds).await?.as_deref()))
    }

    async fn leave_for_good(&self, known: &Known) {
        status("leaves the warm pool, and ends");
        tracing::info!("leaves the warm pool, and ends");
        self.see_off_unless_drained(known).await;
    }
}

/// IMDS' silence about it calls nobody.
fn told(state: Option<&str>) -> Told {
    match state {
        Some("Terminated" | "Warmed:Terminated") => Told::End,
        Some(state) if !state.starts_with("Warmed:") => Told::Join,
        _ => Told::Rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_state_outside_of_the_pool_calls() {
        let there =
            [None, Some("Warmed:Stopped"), Some("Warmed:Running"), Some("Warmed:Hibernated")];
        assert_eq!(there.map(told), [Told::Rest; 4]);
        assert_eq!([Some("Terminated"), Some("Warmed:Terminated")].map(told), [Told::End; 2]);
        assert_eq!([Some("InService"), Some("Standby")].map(told), [Told::Join; 2]);
    }
}
