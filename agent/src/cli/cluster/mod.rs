//! `windlass cluster`: describe a cluster once.

mod apply;
mod init;
mod policy;
mod show;

use super::Failure;

/// Describe a cluster: its authority, its groups, the policies of its roles.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass config check cluster.toml
  windlass cluster init --file cluster.toml      the bucket is checked, the authority made
  windlass cluster policy worker                 attach it to the workers' role
  windlass cluster apply cluster.toml --dry-run  what would change, group by group
  windlass cluster apply cluster.toml
  windlass cluster show")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Init(init::Args),
    Apply(apply::Args),
    Show(show::Args),
    Policy(policy::Args),
}

/// Runs the command.
pub async fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Init(args) => Box::pin(init::run(args)).await,
        Command::Apply(args) => Box::pin(apply::run(args)).await,
        Command::Show(args) => Box::pin(show::run(args)).await,
        Command::Policy(args) => policy::run(args),
    }
}
