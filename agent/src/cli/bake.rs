//! `windlass bake`: what an image needs, put into a root file system, and whether it is all there.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde::Serialize;

use super::Failure;
use super::output::Output;
use crate::bake::check::{self, Finding, Severity, Version};
use crate::bake::{self, Architecture, Description, Options, Patience, Tree};
use crate::config::Problems;

/// Put into an image what a node would otherwise have to download or install at boot.
///
/// Everything is fetched and verified before the image's first file is changed. A second run
/// changes nothing, a run after an interrupted one finishes it. With --check nothing is changed:
/// everything that would keep an instance of the image from becoming a node is reported at once.
/// Exit code 0: it is right; 1: it is not; 78: bake.toml is wrong.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass bake bake.toml                 this machine, as a packer provisioner does
  windlass bake --root ./tree bake.toml   a Debian tree that becomes an image later
  windlass bake --check                   is this machine an image that would boot?
  windlass bake --check --root /mnt --api-server v1.37.2 --output json")]
pub struct Args {
    /// What to put there.
    #[arg(required_unless_present = "check", conflicts_with = "check")]
    description: Option<PathBuf>,
    /// The root directory of the image.
    #[arg(long, default_value = "/")]
    root: PathBuf,
    /// What the image is for [default: as its programs are].
    #[arg(long, value_enum, value_name = "ARCHITECTURE")]
    arch: Option<Architecture>,
    /// Leave host keys, machine id, logs and the like: for trying on a machine in use.
    #[arg(long)]
    keep_identity: bool,
    /// Examine the image instead of changing it.
    #[arg(long)]
    check: bool,
    /// The cluster's version, which the kubelet must go together with.
    #[arg(long, value_name = "VERSION", requires = "check")]
    api_server: Option<Version>,
    #[command(flatten)]
    output: Output,
}

/// What a bake did.
#[derive(Serialize)]
struct Baked {
    changes: Vec<String>,
}

/// What a check found.
#[derive(Serialize)]
struct Checked {
    right: bool,
    findings: Vec<Finding>,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<(), Failure> {
    match &args.description {
        Some(description) => bake(&args, description).await,
        None => check(&args),
    }
}

async fn bake(args: &Args, description: &Path) -> Result<(), Failure> {
    let description =
        Description::read(description).map_err(|error| match error.downcast::<Problems>() {
            Ok(problems) => Failure::from(problems),
            Err(error) => Failure::Failed(error),
        })?;
    let tree = Tree::open(&args.root, args.arch)?;
    let options = Options { patience: Patience::default(), keep_identity: args.keep_identity };
    let changes = bake::bake(&tree, &description, &options).await?;
    let baked = Baked { changes: changes.0 };
    Ok(args.output.print(&baked, |baked| {
        let each: String = baked.changes.iter().map(|change| format!("{change}\n")).collect();
        format!("{each}{}\n", count(baked.changes.len(), "change"))
    })?)
}

fn check(args: &Args) -> Result<(), Failure> {
    let tree = Tree::open(&args.root, args.arch)?;
    let findings = check::examine(&tree, args.api_server);
    let problems = findings.iter().filter(|finding| finding.severity == Severity::Problem).count();
    let checked = Checked { right: problems == 0, findings };
    args.output.print(&checked, |checked| {
        checked.findings.iter().map(|finding| format!("{finding}\n")).collect()
    })?;
    match problems {
        0 => Ok(()),
        _ => Err(anyhow!("{} in {}", count(problems, "problem"), args.root.display()).into()),
    }
}

fn count(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
