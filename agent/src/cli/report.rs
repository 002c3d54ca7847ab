//! `windlass report`: how one node came and went, as a picture.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde::Serialize;

use super::target::Target;
use super::{Failure, output};
use crate::drawing::{self, Picture};
use crate::operator::reports::{self, Reports};
use crate::report::{self, DrainReport, Report};

/// Show what a node did at boot and how it left: a time line, a picture, or the numbers.
///
/// The time line is for the terminal: solid bars are the node's own work, shaded ones waiting. Without
/// `--drain` the terminal shows the boot, and below it the drain if there was one.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass report i-0123456789abcdef0
  windlass report ip-10-0-1-5.eu-west-1.compute.internal --svg boot.svg
  windlass report i-0123456789abcdef0 --json | jq '.steps[] | select(.retries)'
  windlass report i-0123456789abcdef0 --drain --svg drain.svg
  windlass report i-0123456789abcdef0 --drain --json | jq '.pods[] | select(.refusals)'
  windlass report --from report.json                 a report that was kept as a file")]
pub struct Args {
    /// The instance's id or the Node's name.
    #[arg(required_unless_present = "from", conflicts_with = "from")]
    node: Option<String>,
    #[command(flatten)]
    target: Target,
    /// How it left, instead of how it came.
    #[arg(long)]
    drain: bool,
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
    let found = match (&args.from, &args.node) {
        (Some(file), _) => read(file, args.drain)?,
        (None, node) => {
            let connection = args.target.connect().await?;
            reports::find(&connection.cluster, node.as_deref().unwrap_or_default()).await?
        }
    };
    let missing =
        |what: &str| anyhow!("{} has no {what} report", args.node.as_deref().unwrap_or("it"));
    match (args.drain, args.svg.is_some() || args.json) {
        (true, _) => args.show(&found.drain.ok_or_else(|| missing("drain"))?)?,
        (false, true) => args.show(&found.boot.ok_or_else(|| missing("boot"))?)?,
        (false, false) => {
            let boot = found.boot.as_ref().map(Picture::from);
            let drain = found.drain.as_ref().map(Picture::from);
            let pictures = boot.iter().chain(&drain);
            let drawn = pictures.map(|picture| drawing::terminal(picture, output::style()));
            output::print(&drawn.collect::<Vec<_>>().join("\n"))?;
        }
    }
    Ok(())
}

impl Args {
    /// One report, as it was asked for.
    fn show<T: Serialize>(&self, report: &T) -> anyhow::Result<()>
    where
        for<'a> Picture: From<&'a T>,
    {
        if self.json {
            return output::json(report);
        }
        let picture = Picture::from(report);
        match &self.svg {
            None => output::print(&drawing::terminal(&picture, output::style())),
            Some(file) if file.as_os_str() == "-" => output::print(&drawing::svg(&picture)),
            Some(file) => {
                let written = std::fs::write(file, drawing::svg(&picture));
                written.with_context(|| format!("writing {}", file.display()))?;
                tracing::info!("drew {}", file.display());
                Ok(())
            }
        }
    }
}

fn read(file: &Path, drain: bool) -> anyhow::Result<Reports> {
    let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let what = if drain { "drain" } else { "boot" };
    let none = || format!("{} is no {what} report", file.display());
    let (mut found, text) = (Reports::default(), text.as_slice());
    if drain {
        found.drain = Some(report::read::<DrainReport>(text).with_context(none)?);
    } else {
        found.boot = Some(report::read::<Report>(text).with_context(none)?);
    }
    Ok(found)
}
