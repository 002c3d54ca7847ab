//! The command line of `lab`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::{Parser, Subcommand};

use super::artifacts::{self, Cache};
use super::node;
use super::progress::Progress;

/// A local AWS region with a real Kubernetes in it, on this machine
#[derive(Parser)]
#[command(name = "lab", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build what a lab is made of, or find it in the cache
    Artifacts,
    #[command(hide = true)]
    NodeEnter { spec: PathBuf },
    #[command(hide = true)]
    NodeInit { spec: PathBuf },
}

pub fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Artifacts => {
            let made = artifacts::ensure(&Arc::new(Cache::open()?), &Progress::new())?;
            println!("{made:#?}");
            Ok(ExitCode::SUCCESS)
        }
        Command::NodeEnter { spec } => node::enter::main(&spec),
        Command::NodeInit { spec } => match node::init::main(&spec)? {},
    }
}
