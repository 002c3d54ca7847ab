//! A machine that runs on in a warm pool boots once more when it is drained: that boot waits until the
//! group calls, and completes the launch hook, for which Auto Scaling waits then.

use super::state::Leaving;
use crate::host::Machine;

const BOOT: &str = "windlass-boot.service";

/// Whether that boot was begun.
#[derive(Debug)]
pub(super) struct Resting {
    machine: Machine,
    begun: bool,
}

impl Resting {
    pub(super) fn on(machine: &Machine) -> Self {
        Self { machine: machine.clone(), begun: false }
    }

    /// Begins it, where it is time to. In another run of this program it may be begun again: it waits
    /// still.
    pub(super) fn follow(
        &mut self,
        leaving: &Leaving,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let rests = leaving.rests_running();
        let begins = rests && !self.begun;
        self.begun = rests;
        let machine = self.machine.clone();
        begins.then_some(async move {
            if let Err(error) = boot_again(&machine).await {
                tracing::error!("nobody waits for the group's call: {error:#}");
            }
        })
    }
}

/// A return to the pool is no failure: however many there are, they are not what the unit's start
/// limit is for.
async fn boot_again(machine: &Machine) -> anyhow::Result<()> {
    if let Err(error) = machine.forget_starts(&[BOOT]).await {
        tracing::warn!("this start counts for the limit of {BOOT}: {error:#}");
    }
    machine.restart_units(&[BOOT]).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::step::{NodeAnswer, Observation};
    use super::super::{Announced, EventId, Kind, Moment, Rules, step};
    use super::*;
    use crate::config::{OnRebalance, WhenRefused};
    use crate::converge::files::tests::Scratch;

    #[tokio::test]
    async fn the_boot_that_waits_is_begun_once_when_the_drain_is_over() {
        let (_scratch, machine) = Scratch::new("resting");
        let rules = Rules {
            hook_timeout: None,
            deadline: Duration::from_secs(300),
            deregistration: Duration::ZERO,
            when_refused: WhenRefused::Wait,
            on_rebalance: OnRebalance::Cordon,
            bare_pods: true,
            local_data: true,
        };
        let id = EventId { kind: Kind::WarmPool, name: "Warmed:Running".to_owned() };
        let told = Observation::Standing(vec![Announced { id, at: None }]);
        let cordoned = Observation::Cordoned(NodeAnswer::Done);
        let (mut leaving, mut resting) = (Leaving::default(), Resting::on(&machine));
        let mut begun = Vec::new();
        for observed in [told, cordoned, Observation::Pods(Vec::new()), Observation::Tick] {
            leaving = step(leaving, observed, &rules, Moment::after_boot(Duration::ZERO)).0;
            let begins = resting.follow(&leaving);
            begun.push(begins.is_some());
            if let Some(boot) = begins {
                boot.await;
            }
        }
        assert_eq!(begun, [false, false, true, false], "{leaving:#?}");
        let did = ["reset-failed", "restart"].map(|verb| format!("systemctl {verb} {BOOT}"));
        assert_eq!(machine.kept(), did);
    }
}
