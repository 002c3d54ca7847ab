//! `windlass bake`: what an image needs, put into a root file system.

use std::path::PathBuf;

use super::Failure;
use crate::bake::{self, Description};
use crate::host::Machine;

/// Put into an image what a node would otherwise have to download or install at boot.
///
/// Binaries, units, kernel settings and containerd's configuration go to their conventional places
/// below the root directory. Nothing in them knows a cluster. A second run changes nothing.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass bake bake.toml                 this machine, as a packer provisioner does
  windlass bake --root ./tree bake.toml   a Debian tree that becomes an image later")]
pub struct Args {
    /// What to put there.
    description: PathBuf,
    /// The root directory of the image.
    #[arg(long, default_value = "/")]
    root: PathBuf,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<(), Failure> {
    let description = Description::read(&args.description)?;
    let changes = bake::bake(&Machine::folder(args.root), &description).await?;
    if changes.is_empty() {
        tracing::info!("unchanged: the image has all of it already");
    }
    for change in changes.0 {
        tracing::info!("wrote {change}");
    }
    Ok(())
}
