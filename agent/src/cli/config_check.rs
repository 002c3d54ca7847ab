//! `windlass config check`: whether a file is right, before anything depends on it.

use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;

use super::Failure;
use super::output::Output;
use crate::config::{ClusterFile, NodeConfig, Problems, UserData};

/// Check configuration files without touching anything else.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Check(Check),
}

/// Check a file: a cluster's description, a revision, or UserData.
///
/// What kind of file it is is seen from what is in it. Every problem is reported, each with its
/// line and a hint. Exit code 0: it is right; 78: it is not.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass config check cluster.toml
  windlass config check userdata.mime            raw, gzip, or MIME beside cloud-init's parts
  windlass cluster show --group workers | windlass config check -
  windlass config check cluster.toml --output json | jq -r '.problems[].line'")]
struct Check {
    /// The file, `-` for standard input.
    file: PathBuf,
    /// What it is [default: as its content looks].
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    #[command(flatten)]
    output: Output,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Cluster,
    Revision,
    #[value(name = "userdata")]
    UserData,
}

#[derive(Serialize)]
struct Checked {
    kind: Kind,
    right: bool,
    /// What it is about, where it is right.
    about: Option<String>,
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Problem {
    line: Option<usize>,
    key: String,
    message: String,
    hint: Option<String>,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<(), Failure> {
    let Command::Check(args) = args.command;
    let bytes = read(&args.file)?;
    let kind = args.kind.unwrap_or_else(|| looks_like(&bytes));
    let result = check(kind, &bytes);
    let checked = Checked::of(kind, &result);
    args.output.print(&checked, |checked| {
        checked.about.as_ref().map(|about| format!("{about}\n")).unwrap_or_default()
    })?;
    Ok(result.map(drop)?)
}

/// What the file is about in one line, if nothing is wrong with it.
fn check(kind: Kind, bytes: &[u8]) -> Result<String, Problems> {
    let text = || {
        std::str::from_utf8(bytes).map_err(|error| {
            Problems::one(kind.name(), format!("is not UTF-8 from byte {} on", error.valid_up_to()))
        })
    };
    match kind {
        Kind::Cluster => {
            let file = ClusterFile::parse(text()?)?;
            let groups: Vec<&str> = file.groups().collect();
            let (name, bucket) = (&file.cluster.name, &file.bucket);
            Ok(format!("cluster `{name}` in bucket `{bucket}`, groups: {}", groups.join(", ")))
        }
        Kind::Revision => {
            let config = NodeConfig::parse(text()?)?;
            Ok(format!(
                "a revision of group `{}` of cluster `{}`",
                config.group, config.cluster.name
            ))
        }
        Kind::UserData => {
            let data = UserData::parse(bytes)?;
            let pin = data.config.map_or("its current revision".to_owned(), |hash| {
                format!("revision {}", hash.as_str())
            });
            let UserData { cluster, bucket, group, .. } = data;
            Ok(format!(
                "UserData for group `{group}` of cluster `{cluster}` in bucket `{bucket}`, {pin}"
            ))
        }
    }
}

/// Only a description has groups, only a revision is of one group and has tables; all else is what
/// an instance is launched with. A file that is broken is judged by its lines.
fn looks_like(bytes: &[u8]) -> Kind {
    let text = String::from_utf8_lossy(bytes);
    let has = |start: &str| text.lines().any(|line| line.trim_start().starts_with(start));
    if has("[groups") {
        Kind::Cluster
    } else if has("[cluster]") {
        if has("group =") || has("group=") { Kind::Revision } else { Kind::Cluster }
    } else {
        Kind::UserData
    }
}

fn read(file: &PathBuf) -> anyhow::Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        let read = std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes);
        return read.map(|_| bytes).context("reading standard input");
    }
    std::fs::read(file).with_context(|| format!("reading {}", file.display()))
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster.toml",
            Self::Revision => "revision",
            Self::UserData => "UserData",
        }
    }
}

impl Checked {
    fn of(kind: Kind, result: &Result<String, Problems>) -> Self {
        let problem = |problem: &crate::config::Problem| Problem {
            line: problem.line,
            key: problem.key.clone(),
            message: problem.message.clone(),
            hint: problem.hint.clone(),
        };
        let problems = result.as_ref().err().map(|all| all.iter().map(problem).collect());
        Self {
            kind,
            right: result.is_ok(),
            about: result.as_ref().ok().cloned(),
            problems: problems.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESCRIPTION: &str = include_str!("../config/testdata/cluster.toml");

    #[test]
    fn what_a_file_is_is_seen_from_what_is_in_it() {
        assert_eq!(looks_like(DESCRIPTION.as_bytes()), Kind::Cluster);
        assert_eq!(
            looks_like(b"group = \"workers\"\n[cluster]\nname = \"prod\"\n"),
            Kind::Revision
        );
        assert_eq!(looks_like(b"cluster = \"prod\"\ngroup = \"workers\"\n"), Kind::UserData);
        assert_eq!(looks_like(b"\x1f\x8b\x08"), Kind::UserData);
    }

    #[test]
    fn what_is_right_says_what_it_is_about() {
        assert_eq!(
            check(Kind::Cluster, DESCRIPTION.as_bytes()).expect("right"),
            "cluster `prod` in bucket `acme-kubernetes`, groups: control-plane, workers"
        );
        let data = b"cluster = \"prod\"\nbucket = \"acme-kubernetes\"\ngroup = \"workers\"\n";
        assert_eq!(
            check(Kind::UserData, data).expect("right"),
            "UserData for group `workers` of cluster `prod` in bucket `acme-kubernetes`, its current \
             revision"
        );
    }

    #[test]
    fn what_is_no_text_is_said_with_the_place() {
        let problems = check(Kind::Cluster, b"[cluster]\nname = \"\xff\"").expect_err("no text");
        assert_eq!(problems.to_string(), "cluster.toml: is not UTF-8 from byte 18 on");
    }

    /// The example of the documentation is one that works.
    #[test]
    fn the_documented_description_is_right() {
        let example = include_bytes!("../../../docs/cluster.toml");
        assert_eq!(looks_like(example), Kind::Cluster);
        check(Kind::Cluster, example).expect("right");
    }
}
