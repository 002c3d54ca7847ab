//! `cargo bench`: boots workers with the product as it is released, and says what that took.
//!
//! Each latency profile has a lab of its own with one control-plane node. Workers are launched by
//! their Auto Scaling group, a few at a time, and are gone before the next ones come. Times are only
//! printed, since they are this machine's; what is counted has limits, and breaking one fails.

mod boots;
mod counts;
mod machine;
mod summary;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use self::boots::Running;
use self::machine::Machine;
use self::summary::{Measured, Summary};
use super::binary;
use super::interrupt::end_when_interrupted;
use super::up::{self, Latency, Options};
use crate::lab::daemon;
use crate::lab::progress::Progress;

#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  cargo bench                                    20 boots with each profile
  cargo bench -- --boots 3 --latency none        a quick look
  cargo bench -- --json > measured.json")]
pub struct Bench {
    /// How many workers are booted with each profile
    #[arg(long, default_value_t = 20)]
    boots: usize,
    /// How many of them at a time
    #[arg(long, default_value_t = 1)]
    at_once: usize,
    /// How long AWS takes to answer
    #[arg(long, value_enum, default_value_t = Latencies::Both)]
    latency: Latencies,
    /// How long an idle cluster's calls are counted
    #[arg(long, default_value = "120s", value_parser = daemon::duration)]
    idle: Duration,
    /// Print one JSON object on standard output, and nothing else there
    #[arg(long)]
    json: bool,
    /// The product's program; built from this source as it is released if not given
    #[arg(long)]
    windlass: Option<std::path::PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Latencies {
    None,
    Aws,
    Both,
}

pub fn bench(wanted: &Bench) -> Result<ExitCode> {
    let progress = Progress::new();
    end_when_interrupted(&[Latency::None, Latency::Aws].map(lab))?;
    let windlass = binary::released(wanted.windlass.clone())?;
    let profiles: &[Latency] = match wanted.latency {
        Latencies::None => &[Latency::None],
        Latencies::Aws => &[Latency::Aws],
        Latencies::Both => &[Latency::None, Latency::Aws],
    };
    let mut measured = Vec::new();
    for latency in profiles {
        let options = Options::released(*latency, Some(windlass.clone()));
        measured.push(profile(wanted, &options, &progress)?);
    }
    let summary = Summary { machine: Machine::this()?, measured };
    if wanted.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        println!("{summary}");
    }
    let broken = summary.broken_limits();
    broken.iter().for_each(|limit| eprintln!("error: {limit}"));
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything that is measured with one latency profile.
fn profile(wanted: &Bench, options: &Options, progress: &Progress) -> Result<Measured> {
    let name = lab(options.latency);
    daemon::end(name)?;
    let _tidy = Tidy(name);
    up::start(name, options)?;
    let mut running = Running::connect(name, options)?;
    running.begin(progress)?;
    let mut boots = Vec::new();
    while boots.len() < wanted.boots {
        let count = wanted.at_once.clamp(1, wanted.boots - boots.len());
        boots.extend(running.boot(count)?);
        progress.say(name, format!("{} of {} booted", boots.len(), wanted.boots));
    }
    let admitting = running.admitting()?;
    progress.say(name, format!("counting an idle cluster's calls for {} s", wanted.idle.as_secs()));
    let idle = running.idle(wanted.idle)?;
    Ok(Measured::new(options.latency, wanted.at_once, &boots, admitting, idle))
}

/// Beside whatever else is up.
fn lab(latency: Latency) -> &'static str {
    match latency {
        Latency::None => "bench-none",
        Latency::Aws => "bench-aws",
    }
}

/// Ends a lab, however its measuring ended.
struct Tidy(&'static str);

impl Drop for Tidy {
    fn drop(&mut self) {
        if let Err(error) = daemon::end(self.0) {
            eprintln!("error: the lab `{}` is not gone: {error:#}", self.0);
        }
    }
}
