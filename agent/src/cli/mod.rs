//! The command line: one file a subcommand, each an `Args` struct and an async `run`.

pub mod admit;
pub mod bake;
pub mod boot;
pub mod logging;

use std::process::ExitCode;
use std::time::Instant;

use clap::Subcommand;

use crate::client::Wire;
use crate::config::Problems;

/// What `windlass` can be asked to do.
#[derive(Subcommand)]
pub enum Command {
    Boot(boot::Args),
    Admit(admit::Args),
    Bake(bake::Args),
}

impl Command {
    /// Runs the command to its end. Each is boxed: as parts of one future their types together are
    /// too deep for the compiler.
    pub async fn run(self, started: Started) -> Result<(), Failure> {
        match self {
            Self::Boot(args) => Box::pin(boot::run(args, Wire::real()?, started)).await,
            Self::Admit(args) => Box::pin(admit::run(args)).await,
            Self::Bake(args) => bake::run(args).await,
        }
    }
}

/// The moment of this program's first instruction, by which a boot's own time is measured.
#[derive(Clone, Copy, Debug)]
pub struct Started(pub Instant);

impl Started {
    /// To be called first in `main`.
    pub fn now() -> Self {
        Self(Instant::now())
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub enum Failure {
    /// Another try may succeed.
    Failed(anyhow::Error),
    /// The configuration is wrong: another try fails in the same way.
    Configuration(anyhow::Error),
}

impl Failure {
    /// What the program leaves with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::from(1),
            Self::Configuration(_) => ExitCode::from(78),
        }
    }

    /// What went wrong.
    pub fn error(&self) -> &anyhow::Error {
        match self {
            Self::Failed(error) | Self::Configuration(error) => error,
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Configuration(problems.into())
    }
}
