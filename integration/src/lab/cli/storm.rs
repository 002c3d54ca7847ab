//! `cargo lab storm`: many instances at once against the real admitters, on a paused clock.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::figures;
use crate::lab::release::{Folders, own_triple};
use crate::lab::storm::{self, Outcome};

#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  cargo lab storm                                500 instances, 3 route tables, one admitter
  cargo lab storm --admitters 3 --seed 7         the leader is killed half-way
  cargo lab storm --json > storm.json
  cargo lab storm --svg storm.svg                a picture of it, too
  cargo lab storm --reconcile                    what an admitter's look at settled routes costs")]
pub struct Storm {
    /// How many instances are launched at once
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=4000))]
    nodes: u32,
    /// How many route tables are tagged for the cluster
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    tables: u32,
    /// How many admitters there are; of several, the one that leads is killed half-way
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=9))]
    admitters: u32,
    /// Where chance comes from: the same seed, the same storm
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object on standard output, and nothing else there
    #[arg(long)]
    json: bool,
    /// Draw it into this file
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Instead: what it costs an admitter to see that there is nothing to do, built as it is released
    #[arg(long, exclusive = true)]
    reconcile: bool,
}

pub fn storm(wanted: &Storm) -> Result<ExitCode> {
    if wanted.reconcile {
        return reconcile();
    }
    let &Storm { nodes, tables, admitters, seed, .. } = wanted;
    let outcome = storm::run(storm::Storm { nodes, tables, admitters, seed })?;
    if let Some(file) = &wanted.svg {
        std::fs::write(file, outcome.svg())
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if wanted.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print!("{}", shown(&outcome));
    }
    let missed: Vec<_> = outcome.targets().into_iter().filter(|target| !target.is_met()).collect();
    for target in &missed {
        eprintln!("error: {:.3} {}, wanted at most {:.2}", target.found, target.what, target.most);
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A program of the product's own package, so that nothing is built for it but what a release is
/// made of.
fn reconcile() -> Result<ExitCode> {
    let mut run = Folders::own()?.cargo("run", &own_triple());
    run.args(["--quiet", "--package", "windlass", "--example", "reconcile"]);
    let status = run.status().context("cannot run cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// For a person: how long, by how much of the floor, and which calls that took.
fn shown(outcome: &Outcome) -> String {
    let Outcome { storm, seconds, floor_seconds, .. } = outcome;
    let mut text = format!(
        "{}; times by the region's clock\nall routed and granted after {seconds:.1} s; ",
        outcome.setting().join(", ")
    );
    text += &format!("the throttle's floor is {floor_seconds:.1} s");
    if *floor_seconds > 0.0 {
        text += &format!(", that times {:.3}", seconds / floor_seconds);
    }
    text.push('\n');
    if let Some(killed) = &outcome.killed {
        text +=
            &format!("{}, which led, was killed after {:.1} s\n", killed.leader, killed.at_seconds);
    }
    let row = |(action, count): (&String, &u64)| {
        let each = *count as f64 / f64::from(storm.nodes);
        vec![action.clone(), count.to_string(), format!("{each:.3}")]
    };
    let header = ["the admitters' calls", "all", "a node"].map(str::to_owned).to_vec();
    let rows: Vec<_> = [header].into_iter().chain(outcome.calls.iter().map(row)).collect();
    text += &format!("\n{}", figures::table(&rows));
    let header = ["refused of these", "all", "a node"].map(str::to_owned).to_vec();
    let rows: Vec<_> = [header].into_iter().chain(outcome.refusals.iter().map(row)).collect();
    text + &format!("\n{}", figures::table(&rows))
}
