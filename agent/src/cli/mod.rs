//! The command line: one file a subcommand, each an `Args` struct and an async `run`.

pub mod abandon;
pub mod admit;
pub mod bake;
pub mod boot;
pub mod cluster;
pub mod completions;
pub mod config_check;
pub mod drain;
pub mod kubeconfig;
pub mod kubernetes;
pub mod logging;
pub mod nodes;
pub mod output;
pub mod plan;
pub mod report;
pub mod status;
pub mod storage;
pub mod target;
pub mod uncordon;
pub mod watch;

use std::process::ExitCode;
use std::time::Instant;

use clap::Subcommand;

use crate::config::Problems;

/// What `windlass` can be asked to do.
#[derive(Subcommand)]
pub enum Command {
    Boot(boot::Args),
    Abandon(abandon::Args),
    Admit(admit::Args),
    Watch(watch::Args),
    Storage(storage::Args),
    Status(status::Args),
    Plan(plan::Args),
    Bake(bake::Args),
    Cluster(cluster::Args),
    Nodes(nodes::Args),
    Report(report::Args),
    Drain(drain::Args),
    Uncordon(uncordon::Args),
    Kubeconfig(kubeconfig::Args),
    Config(config_check::Args),
    Completions(completions::Args),
}

impl Command {
    /// Runs the command to its end. Each is boxed: as parts of one future their types together are
    /// too deep for the compiler.
    pub async fn run(self, started: Started) -> Result<(), Failure> {
        match self {
            Self::Boot(args) => Box::pin(boot::run(args, started)).await,
            Self::Abandon(args) => Box::pin(abandon::run(args, started)).await,
            Self::Plan(args) => Box::pin(plan::run(args)).await,
            Self::Admit(args) => Box::pin(admit::run(args)).await,
            Self::Watch(args) => Box::pin(watch::run(args)).await,
            Self::Storage(args) => Box::pin(storage::run(args)).await,
            Self::Status(args) => Box::pin(status::run(args)).await,
            Self::Bake(args) => Box::pin(bake::run(args)).await,
            Self::Cluster(args) => Box::pin(cluster::run(args)).await,
            Self::Nodes(args) => Box::pin(nodes::run(args)).await,
            Self::Report(args) => Box::pin(report::run(args)).await,
            Self::Drain(args) => Box::pin(drain::run(args)).await,
            Self::Uncordon(args) => Box::pin(uncordon::run(args)).await,
            Self::Kubeconfig(args) => Box::pin(kubeconfig::run(args)).await,
            Self::Config(args) => Box::pin(config_check::run(args)).await,
            Self::Completions(args) => completions::run(args),
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

    /// What went wrong, where it does not matter whether another try may succeed.
    pub fn into_error(self) -> anyhow::Error {
        match self {
            Self::Failed(error) | Self::Configuration(error) => error,
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

/// How long ago, as kubectl writes it: `41s`, `12m`, `2h1m`, `5d`.
pub fn age(ago: time::Duration) -> String {
    let seconds = ago.whole_seconds().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..86_400 if seconds % 3600 < 60 => format!("{}h", seconds / 3600),
        7200..86_400 => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> clap::Command {
        Command::augment_subcommands(clap::Command::new("windlass"))
    }

    /// clap checks its own use only when a command is parsed.
    #[test]
    fn every_command_can_be_parsed() {
        whole().debug_assert();
    }

    /// The words of a line that begins with `windlass`, up to a comment, a pipe or a redirection.
    fn words(line: &str) -> Option<Vec<String>> {
        let line = line.trim();
        let line = line.strip_prefix("windlass ")?;
        let ends = ["  ", " | ", " > ", " && ", " #"];
        let end = ends.iter().filter_map(|end| line.find(end)).min().unwrap_or(line.len());
        let line = line[..end].replace("$role", "worker");
        let words = line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned);
        Some(std::iter::once("windlass".to_owned()).chain(words).collect())
    }

    fn examples_of(command: &clap::Command, found: &mut Vec<Vec<String>>) {
        let said = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        found.extend(said.lines().filter_map(words));
        command.get_subcommands().for_each(|inner| examples_of(inner, found));
    }

    #[test]
    fn every_example_in_a_help_text_is_a_command() {
        let mut examples = Vec::new();
        examples_of(&whole(), &mut examples);
        assert!(examples.len() > 20, "{examples:?}");
        for example in examples {
            let parsed = whole().try_get_matches_from(&example);
            parsed.unwrap_or_else(|error| panic!("{}: {error}", example.join(" ")));
        }
    }

    #[test]
    fn every_command_in_the_documentation_is_one() {
        let documented = [
            include_str!("../../../README.md"),
            include_str!("../../../docs/image.md"),
            include_str!("../../../docs/operating.md"),
            include_str!("../../../docs/policies.md"),
        ];
        let mut count = 0;
        for example in documented.iter().flat_map(|text| text.lines()).filter_map(words) {
            let parsed = whole().try_get_matches_from(&example);
            parsed.unwrap_or_else(|error| panic!("{}: {error}", example.join(" ")));
            count += 1;
        }
        assert!(count > 10, "{count}");
    }

    #[test]
    fn ages_are_written_as_kubectl_writes_them() {
        let said = [0, 119, 120, 7199, 7200, 7260, 86_400, 5 * 86_400 + 1]
            .map(time::Duration::seconds)
            .map(age);
        assert_eq!(said, ["0s", "119s", "2m", "119m", "2h", "2h1m", "1d", "5d"]);
    }
}
