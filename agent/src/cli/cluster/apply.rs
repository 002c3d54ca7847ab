//! `windlass cluster apply`: make the cluster's groups as `cluster.toml` describes them.

use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use crate::cli::Failure;
use crate::cli::output::{self, Output};
use crate::cli::target::Target;

use crate::drawing::Style;
use crate::operator::caller;
use crate::operator::revisions::{self, Change, Comparison, short};

/// Make the groups as the description says: write revisions, then move each group to its own.
///
/// Everything in the file is validated first, and what changes is shown group by group. Instances
/// that are launched from then on use the new revision; running nodes keep theirs, and `windlass
/// nodes` shows which are behind. Old revisions stay, so a pinned launch template boots as ever.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass cluster apply cluster.toml --dry-run
  windlass cluster apply cluster.toml
  windlass cluster apply cluster.toml --dry-run --output json | jq '.[] | select(.change != \"none\")'")]
pub struct Args {
    /// The cluster's description.
    #[arg(default_value = "cluster.toml")]
    description: PathBuf,
    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// The AWS region [default: as the description says].
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// One group, for programs.
#[derive(Serialize)]
struct Shown<'a> {
    group: &'a str,
    /// `new`, `changed` or `none`.
    change: &'static str,
    from: Option<&'a str>,
    to: &'a str,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<(), Failure> {
    let target = Target { file: Some(args.description), region: args.region, ..Target::default() };
    let mut connection = target.connect().await?;
    let file = connection.file.take().context("the description was read")?;
    let cluster = &connection.cluster;
    let wanted = revisions::wanted(cluster, &file).await?;
    let Comparison { changes, others } = revisions::compare(cluster, &wanted).await?;
    let shown: Vec<Shown<'_>> = changes.iter().map(Shown::of).collect();
    args.output.print(&shown, |_| text(&changes, output::style()))?;
    for group in others {
        tracing::warn!("group `{group}` is in the bucket but not described; it is left as it is");
    }
    let count = changes.iter().filter(|change| !change.is_none()).count();
    match (count, args.dry_run) {
        (0, _) => tracing::info!("nothing to do: every group is as described"),
        (n, true) => tracing::info!("dry run: {n} of {} groups would change", changes.len()),
        (n, false) => {
            let caller = caller(&connection.sdk).await;
            revisions::apply(cluster, &changes, &caller).await?;
            tracing::info!(
                "applied: {n} of {} groups changed, for instances that are launched from now on; \
                 `windlass nodes` shows which nodes are behind",
                changes.len()
            );
        }
    }
    Ok(())
}

impl<'a> Shown<'a> {
    fn of(change: &'a Change) -> Self {
        let from = change.from.as_ref().map(|pointer| pointer.revision.as_str());
        let word = match from {
            None => "new",
            Some(from) if from == change.to => "none",
            Some(_) => "changed",
        };
        Self { group: &change.group, change: word, from, to: &change.to }
    }
}

/// Group by group: a line, and the difference where there is one.
fn text(changes: &[Change], style: Style) -> String {
    let paint = |code: &str, text: &str| {
        if style.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    };
    let mut said = String::new();
    for change in changes {
        let to = short(&change.to);
        let state = match &change.from {
            None => format!("new, {to}"),
            Some(_) if change.is_none() => format!("unchanged, {to}"),
            Some(from) => format!("{} → {to}", short(&from.revision)),
        };
        said += &format!("{}  {state}\n", paint("1", &format!("group {}", change.group)));
        if change.is_none() {
            continue;
        }
        if change.from.is_some() && change.before.is_none() {
            said += "  the current revision cannot be read: all of the new one follows\n";
        }
        said += &difference(change, &paint);
    }
    said
}

fn difference(change: &Change, paint: &dyn Fn(&str, &str) -> String) -> String {
    const CONTEXT_LINES: usize = 2;
    let before = change.before.as_deref().unwrap_or_default();
    let diff = TextDiff::from_lines(before, &change.after);
    let mut said = String::new();
    for (index, hunk) in diff.grouped_ops(CONTEXT_LINES).iter().enumerate() {
        if index > 0 {
            said += "    …\n";
        }
        for line in hunk.iter().flat_map(|op| diff.iter_changes(op)) {
            let text = line.value().trim_end_matches('\n');
            said += &match line.tag() {
                ChangeTag::Equal => format!("    {text}\n"),
                ChangeTag::Delete => paint("31", &format!("  - {text}")) + "\n",
                ChangeTag::Insert => paint("32", &format!("  + {text}")) + "\n",
            };
        }
    }
    said
}
