//! Torture: the real `windlass watch` drains a node against the region and a real API server, and is
//! killed at random moments while AWS and the network do what they do at their worst.
//!
//! [`torture`] does it many times and counts. A [`Scene`] is what one time is made of, and tests set
//! other ones. What is drawn from the seed, and so the same whenever it is run again, is the
//! [`Plan`]; how far the program has come when a kill finds it is not.

mod aws;
mod book;
mod cordon;
mod gate;
mod ground;
mod node;
mod plan;
mod pods;
mod run;
mod scene;
mod service;
mod troubles;
mod verdict;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::StreamExt;
use futures_util::stream;

pub use self::aws::{Aws, GROUP, HOOK};
pub use self::book::{Book, Milestone};
pub use self::cordon::cordon_ms;
pub use self::ground::Ground;
pub use self::node::Node;
pub use self::plan::Plan;
pub use self::pods::{Budget, Kind, Wanted as Pod};
pub use self::run::Outcome;
pub use self::scene::{Scene, Setting};
pub use self::service::{Kill, Service, hear};
pub use self::verdict::Verdict;

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Torture {
    pub seed: u64,
    /// Of the seed.
    pub runs: Range<u32>,
    /// How many runs go on at the same time.
    pub at_once: usize,
}

/// Counts of all runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    runs: usize,
    drains: usize,
    continues: usize,
    early: usize,
    twice: usize,
    lost: usize,
    bad: usize,
}

/// All runs; `each` hears of every one as it ends.
pub async fn torture(
    ground: &Arc<Ground>,
    wanted: Torture,
    mut each: impl FnMut(&Outcome),
) -> Result<Count> {
    let Torture { seed, runs, at_once } = wanted;
    let begun = runs.map(|run| {
        let ground = ground.clone();
        async move {
            let ran = tokio::spawn(async move { run::run(&ground, Plan::draw(seed, run)).await });
            let ran = ran.await.context("it panicked").and_then(|ran| ran);
            ran.with_context(|| format!("run {run} of seed {seed} could not be made"))
        }
    });
    let mut ended = stream::iter(begun).buffer_unordered(at_once);
    let mut count = Count::default();
    while let Some(outcome) = ended.next().await {
        let outcome = outcome?;
        each(&outcome);
        count.add(&outcome.verdict);
    }
    Ok(count)
}

impl Count {
    fn add(&mut self, verdict: &Verdict) {
        self.runs += 1;
        self.drains += verdict.drains;
        self.continues += verdict.continues;
        self.early += usize::from(verdict.early);
        self.twice += usize::from(verdict.twice);
        self.lost += usize::from(verdict.lost);
        self.bad += usize::from(!verdict.is_good());
    }

    /// Every run was as it should be.
    pub fn is_good(&self) -> bool {
        self.bad == 0
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, drains, continues, early, twice, lost, .. } = self;
        write!(
            f,
            "{runs} runs: {drains} drains, {continues} effective CONTINUE, {early} early, \
             {twice} twice, {lost} lost"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_what_was_judged() {
        let mut count = Count::default();
        let good = Verdict { drains: 1, continues: 1, ..Verdict::default() };
        count.add(&good);
        assert_eq!(
            count.to_string(),
            "1 runs: 1 drains, 1 effective CONTINUE, 0 early, 0 twice, 0 lost"
        );
        assert!(count.is_good());
        count.add(&Verdict { complaints: vec!["the Node takes pods again".to_owned()], ..good });
        assert!(!count.is_good());
    }
}
