//! `windlass completions`: what a shell needs to complete our commands.

use clap::Subcommand;

use super::{Command, Failure, output};

/// Print completions for a shell.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass completions bash > /etc/bash_completion.d/windlass
  windlass completions zsh  > \"${fpath[1]}/_windlass\"
  windlass completions fish > ~/.config/fish/completions/windlass.fish")]
pub struct Args {
    /// Which shell.
    shell: clap_complete::Shell,
}

/// Runs the command.
pub fn run(args: Args) -> Result<(), Failure> {
    let mut whole = Command::augment_subcommands(clap::Command::new("windlass"));
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut whole, "windlass", &mut script);
    Ok(output::print(&String::from_utf8_lossy(&script))?)
}
