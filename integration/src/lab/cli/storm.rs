//! `cargo lab storm`: many instances at once against the real admitters, on a paused clock.

use std::process::ExitCode;

use anyhow::Result;

use super::figures;
use crate::lab::storm::{self, Outcome};

#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  cargo lab storm                                500 instances, 3 route tables, one admitter
  cargo lab storm --admitters 3 --seed 7         the leader is killed half-way
  cargo lab storm --json > storm.json")]
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
}

pub fn storm(wanted: &Storm) -> Result<ExitCode> {
    let Storm { nodes, tables, admitters, seed, .. } = *wanted;
    let outcome = storm::run(storm::Storm { nodes, tables, admitters, seed })?;
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

/// For a person: how long, by how much of the floor, and which calls that took.
fn shown(outcome: &Outcome) -> String {
    let Outcome { storm, seconds, floor_seconds, .. } = outcome;
    let mut text = format!(
        "{} instances, {} route tables, {} admitters, AWS' latencies, seed {}; times by the region's clock\n",
        storm.nodes, storm.tables, storm.admitters, storm.seed
    );
    text += &format!(
        "all routed and granted after {seconds:.1} s; the throttle's floor is {floor_seconds:.1} s"
    );
    text += &match floor_seconds {
        0.0 => "\n".to_owned(),
        floor => format!(", that times {:.3}\n", seconds / floor),
    };
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
