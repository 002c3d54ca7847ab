//! `windlass report`: what one node did at boot, as a picture.

use std::path::PathBuf;

use anyhow::Context;

use super::target::Target;
use super::{Failure, output};
use crate::drawing;
use crate::operator::reports;
use crate::report::Report;

/// Show what a node did at boot: a time line, a picture, or the numbers.
///
/// The time line is for the terminal: solid bars are the node's own work, shaded ones waiting.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass report i-0123456789abcdef0
  windlass report ip-10-0-1-5.eu-west-1.compute.internal --svg boot.svg
  windlass report i-0123456789abcdef0 --json | jq '.steps[] | select(.retries)'
  windlass report --from report.json                 a report that was kept as a file")]
pub struct Args {
    /// The instance's id or the Node's name.
    #[arg(required_unless_present = "from", conflicts_with = "from")]
    node: Option<String>,
    #[command(flatten)]
    target: Target,
    /// Draw the picture (SVG) into this file, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long, conflicts_with = "svg")]
    json: bool,
    /// Read the report from a file instead of S3.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<(), Failure> {
    let report = match (&args.from, &args.node) {
        (Some(file), _) => read(file)?,
        (None, node) => {
            let connection = args.target.connect().await?;
            reports::find(&connection.cluster, node.as_deref().unwrap_or_default()).await?
        }
    };
    match &args.svg {
        Some(file) if file.as_os_str() == "-" => output::print(&drawing::svg(&report))?,
        Some(file) => {
            let written = std::fs::write(file, drawing::svg(&report));
            written.with_context(|| format!("writing {}", file.display()))?;
            tracing::info!("drew {}", file.display());
        }
        None if args.json => output::json(&report)?,
        None => output::print(&drawing::terminal(&report, output::style()))?,
    }
    Ok(())
}

fn read(file: &PathBuf) -> anyhow::Result<Report> {
    let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no boot report", file.display()))
}
