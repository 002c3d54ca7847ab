//! Signs of life: systemd hears of one when each loop that admission rests on has ended a round since
//! the one before. A loop that hangs keeps the sign back, and systemd starts the admitter again. A round
//! that failed has ended, too: what AWS does not do, no restart cures.

use std::collections::BTreeSet;
use std::sync::Mutex;

use sd_notify::NotifyState;

use super::Admitter;
use super::pace::Lead;

/// A loop that must go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Round {
    /// Who leads.
    Lead,
    /// Who is coming.
    Instances,
    /// The VPC's routes.
    Routes,
    /// Who asks.
    Inbox,
}

const ALL: [Round; 4] = [Round::Lead, Round::Instances, Round::Routes, Round::Inbox];

/// Which loops have ended a round since the last sign.
#[derive(Debug, Default)]
pub(super) struct Rounds(Mutex<BTreeSet<Round>>);

impl Rounds {
    /// Whether `round` was the last that a sign waited for. Then all of them are awaited anew.
    fn ended(&self, round: Round) -> bool {
        let mut ended = self.0.lock().expect("which rounds have ended");
        ended.insert(round);
        let all = ALL.iter().all(|awaited| ended.contains(awaited));
        if all {
            ended.clear();
        }
        all
    }
}

impl Admitter {
    /// To be called by each loop at the end of each of its rounds.
    pub(super) fn round_ended(&self, round: Round) {
        if self.rounds.ended(round) {
            let status = self.status();
            let signs = [NotifyState::Ready, NotifyState::Watchdog, NotifyState::Status(&status)];
            // Not under systemd there is nobody to tell.
            let _ = sd_notify::notify(false, &signs);
        }
    }

    /// One line for `systemctl status`.
    fn status(&self) -> String {
        let role = match self.lead() {
            Lead::Leader => "leads",
            Lead::Follower => "follows another leader",
        };
        let expected = self.expected(|instances| instances.count());
        format!("{role}; instances expected: {expected}; since start: {}", self.counters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_waits_for_every_loop_and_then_for_all_of_them_again() {
        let rounds = Rounds::default();
        let told = |ended: &[Round]| ended.iter().map(|it| rounds.ended(*it)).collect::<Vec<_>>();
        use Round::{Inbox, Instances, Lead, Routes};
        assert_eq!(told(&[Lead, Inbox, Inbox, Instances]), [false; 4]);
        assert_eq!(told(&[Routes, Routes, Inbox, Instances]), [true, false, false, false]);
        assert_eq!(told(&[Inbox, Lead]), [false, true]);
    }
}
