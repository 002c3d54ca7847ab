//! Old copies of what describes read, one for each change, kept while a rule for stale reads is in
//! force.

use std::collections::VecDeque;
use std::mem::swap;
use std::time::Duration;

use time::OffsetDateTime;

use super::autoscaling::AutoScaling;
use super::ec2::Ec2;
use super::state::State;
use super::{Fault, Region};

/// Copies are kept for as long as the longest lag in force, and at least one that is older.
#[derive(Debug, Default)]
pub struct History(VecDeque<(OffsetDateTime, Ec2, AutoScaling)>);

impl History {
    fn remember(&mut self, state: &mut State, now: OffsetDateTime, lag: Duration) {
        // Both are asked: what one says it says once.
        let touched = [state.ec2.take_touched(), state.autoscaling.take_touched()];
        if touched.contains(&true) || self.0.is_empty() {
            self.0.push_back((now, Ec2::clone(&state.ec2), AutoScaling::clone(&state.autoscaling)));
        }
        while self.0.get(1).is_some_and(|(at, ..)| *at <= now - lag) {
            self.0.pop_front();
        }
    }

    /// The newest copy that is at least so old, or the oldest there is.
    fn as_of(&self, at: OffsetDateTime) -> Option<(Ec2, AutoScaling)> {
        let old = self.0.iter().rev().find(|(taken, ..)| *taken <= at).or(self.0.front());
        old.map(|(_, ec2, autoscaling)| (ec2.clone(), autoscaling.clone()))
    }
}

impl Region {
    /// [`Region::with`], on the past if the read is stale; nothing that `f` changes there lasts.
    pub(super) fn with_history<T>(
        &self,
        stale: Option<Duration>,
        f: impl FnOnce(&mut State, OffsetDateTime) -> T,
    ) -> T {
        self.with(|state, now| {
            let past = stale.and_then(|lag| {
                self.0.history.lock().expect("the history's lock").as_of(now - lag)
            });
            let Some((mut ec2, mut autoscaling)) = past else { return f(state, now) };
            swap(&mut *state.ec2, &mut ec2);
            swap(&mut *state.autoscaling, &mut autoscaling);
            let answer = f(state, now);
            swap(&mut *state.ec2, &mut ec2);
            swap(&mut *state.autoscaling, &mut autoscaling);
            answer
        })
    }

    /// Keeps a copy if a rule wants one; called under the state's lock, after each change.
    pub(super) fn remember(&self, state: &mut State, now: OffsetDateTime) {
        let lag = self
            .faults()
            .longest(|fault| if let Fault::Stale(lag) = fault { Some(*lag) } else { None });
        let mut history = self.0.history.lock().expect("the history's lock");
        match lag {
            Some(lag) => history.remember(state, now, lag),
            None => history.0.clear(),
        }
    }
}
