//! What became of requests, in numbers.

use serde::{Deserialize, Serialize};

/// How a request ended. All but the first count as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a whole answer whose status is below 500.
    Answered,
    /// The target took no connection.
    NotConnected,
    /// The connection ended before the whole answer was there, or was ended by the deregistration delay.
    Cut,
    /// The target answered with a status of 500 or more.
    ServerError,
    /// There was no whole answer in time.
    Late,
    /// No target was healthy.
    NoTarget,
    /// The client went away first.
    Abandoned,
}

/// Requests by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All that came, those under way too.
    pub requests: u64,
    pub answered: u64,
    pub not_connected: u64,
    pub cut: u64,
    pub server_errors: u64,
    pub late: u64,
    pub no_target: u64,
    pub abandoned: u64,
}

impl Counts {
    pub fn failed(&self) -> u64 {
        let Self { not_connected, cut, server_errors, late, no_target, abandoned, .. } = self;
        not_connected + cut + server_errors + late + no_target + abandoned
    }

    pub fn under_way(&self) -> u64 {
        self.requests - self.answered - self.failed()
    }

    pub(super) fn ended(&mut self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Answered => &mut self.answered,
            Outcome::NotConnected => &mut self.not_connected,
            Outcome::Cut => &mut self.cut,
            Outcome::ServerError => &mut self.server_errors,
            Outcome::Late => &mut self.late,
            Outcome::NoTarget => &mut self.no_target,
            Outcome::Abandoned => &mut self.abandoned,
        };
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_but_an_answer_is_a_failure() {
        let mut counts = Counts { requests: 8, ..Counts::default() };
        for outcome in [
            Outcome::Answered,
            Outcome::NotConnected,
            Outcome::Cut,
            Outcome::ServerError,
            Outcome::Late,
            Outcome::NoTarget,
            Outcome::Abandoned,
        ] {
            counts.ended(outcome);
        }
        assert_eq!((counts.answered, counts.failed(), counts.under_way()), (1, 6, 1));
    }
}
