//! `cargo lab torture`: drains whose `windlass watch` is killed again and again.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::product;
use super::up::Options;
use crate::lab::progress::Progress;
use crate::lab::torture::{self, Count, Ground, Outcome};

/// Of two processors that compile nothing, each is enough for so many runs: they mostly wait.
const RUNS_A_PROCESSOR: usize = 8;

#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  cargo lab torture                              50 drains, about two minutes on two processors
  cargo lab torture --seed 7 --runs 1000         what a change of the drain should survive
  cargo lab torture --seed 7 --run 31 --timeline the 32nd of them once more, and all that happens

Each run draws from the seed and its number what is on the node, what is announced, when the program
is killed, and what goes wrong in AWS and on the way to the API server. The moment that a kill finds
depends on the machine: a run that failed may not fail again. A machine with too much else to do fails
runs by itself, and says in their timelines that it was late.")]
pub struct Torture {
    /// Where chance comes from: the same seed, the same plans
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many drains
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Only this run of the seed, counted from 0
    #[arg(long, conflicts_with = "runs")]
    run: Option<u32>,
    /// How many go on at the same time [default: 8 a processor]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=200))]
    at_once: Option<u16>,
    /// Print what happened in runs that went well, too
    #[arg(long)]
    timeline: bool,
    /// The product's program; built from this source if not given
    #[arg(long)]
    windlass: Option<PathBuf>,
}

pub fn torture(wanted: &Torture) -> Result<ExitCode> {
    let windlass = product::program(&Options::of_this_build(wanted.windlass.clone()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // When it is dropped, all that goes on is, and takes its processes and namespaces with it.
    let count = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            count = all(wanted, &windlass) => count.map(Some),
            _ = tokio::signal::ctrl_c() => Ok(None),
            _ = terminate.recv() => Ok(None),
        }
    });
    drop(runtime);
    let Some(count) = count? else {
        eprintln!("interrupted");
        return Ok(ExitCode::FAILURE);
    };
    println!("{count}");
    Ok(if count.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn all(wanted: &Torture, windlass: &std::path::Path) -> Result<Count> {
    let progress = Progress::new();
    let ground = Ground::open(windlass, &progress).await?;
    let processors = std::thread::available_parallelism().context("counting processors")?.get();
    let at_once = wanted.at_once.map_or(processors * RUNS_A_PROCESSOR, usize::from);
    let runs = wanted.run.map_or(0..wanted.runs, |run| run..run + 1);
    let torture = torture::Torture { seed: wanted.seed, runs, at_once };
    let mut ended = 0;
    torture::torture(&ground, torture, |outcome| {
        ended += 1;
        let good = outcome.verdict.is_good();
        progress.say("torture", format!("{ended} ended: run {}, {}", outcome.plan.run, said(good)));
        if !good || wanted.timeline {
            show(outcome);
        }
    })
    .await
}

fn said(good: bool) -> &'static str {
    if good { "as it should" } else { "NOT as it should" }
}

fn show(Outcome { plan, verdict, timeline }: &Outcome) {
    print!("{plan}{timeline}");
    for complaint in &verdict.complaints {
        println!("error: run {} of seed {}: {complaint}", plan.run, plan.seed);
    }
}
