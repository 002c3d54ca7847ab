//! The product as it is released: built alone, so that no feature of the lab is in it, and so that
//! whoever builds the same source with the same compiler gets the same bytes.
//!
//! What would differ is where things lie: a panic names its file, and the files of other crates lie
//! below somebody's home. rustc is told to call that folder by a name of ours
//! (`--remap-path-prefix`). The flag is given here and not in `.cargo/config.toml`, which cannot
//! name a home and would have every test built anew. The source's own folder needs none, since cargo
//! names files of the workspace from its root; and a flag with that folder in it would have every
//! clone compile all other crates.

pub mod arm64;
mod built;
mod dependencies;
pub mod elf;
mod twice;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

pub use built::Built;
pub use dependencies::ensure_listed;
pub use twice::{Twice, twice};

use crate::lab::run::output;

/// Where a program is built from and into, and where the sources of other crates are.
#[derive(Clone, Debug)]
pub struct Folders {
    /// The workspace.
    source: PathBuf,
    /// What cargo calls its target directory.
    target: PathBuf,
    /// What cargo calls its home.
    cargo: PathBuf,
    /// Below `registry/src` of that: a folder a registry.
    registries: Vec<String>,
}

impl Folders {
    /// This source, and its target folder as cargo chooses it.
    pub fn own() -> Result<Self> {
        let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let source =
            source.canonicalize().context("the source of the lab is not there any more")?;
        let mut metadata = cargo();
        metadata.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
        let metadata: Value = serde_json::from_str(&output(metadata.current_dir(&source))?)?;
        let target = metadata["target_directory"].as_str();
        let target = target.context("`cargo metadata` names no target folder")?.into();
        let cargo = cargo_home()?;
        let registries = folders_in(&cargo.join("registry/src"))?;
        Ok(Self { source, target, cargo, registries })
    }

    /// The same from another folder, into another.
    fn moved(&self, source: PathBuf, target: PathBuf) -> Self {
        Self { source, target, ..self.clone() }
    }

    /// How rustc is to call the folders of other crates.
    fn renamed(&self) -> Vec<String> {
        let sources = self.cargo.join("registry/src");
        let folders = self.registries.iter().map(|name| sources.join(name));
        folders.map(|from| format!("--remap-path-prefix={}=/crates", from.display())).collect()
    }

    /// `cargo COMMAND --release` for `triple`.
    pub fn cargo(&self, subcommand: &str, triple: &str) -> Command {
        let mut cargo = cargo();
        cargo
            .args([subcommand, "--release", "--locked", "--target", triple])
            // Added to what `.cargo/config.toml` has, as TOML.
            .arg("--config")
            .arg(format!("target.{triple}.rustflags={:?}", self.renamed()))
            .current_dir(&self.source)
            .env("CARGO_TARGET_DIR", &self.target)
            // They would take the place of all flags.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        cargo
    }

    /// Builds the program for this machine's architecture.
    pub fn build(&self) -> Result<Built> {
        let triple = own_triple();
        let mut build = self.cargo("build", &triple);
        build.args(["--quiet", "--package", "windlass", "--bin", "windlass"]);
        Built::by(&mut build, &triple)
    }
}

/// What this machine runs.
pub fn own_triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// The cargo that this program was built by.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.stdin(Stdio::null());
    cargo
}

fn cargo_home() -> Result<PathBuf> {
    match (std::env::var_os("CARGO_HOME"), std::env::var_os("HOME")) {
        (Some(home), _) => Ok(home.into()),
        (None, Some(home)) => Ok(Path::new(&home).join(".cargo")),
        (None, None) => {
            anyhow::bail!("no place for cargo's registry\nhint: set CARGO_HOME or HOME")
        }
    }
}

fn folders_in(folder: &Path) -> Result<Vec<String>> {
    let failed = || format!("cannot list {}", folder.display());
    let entries = std::fs::read_dir(folder).with_context(failed)?;
    let names = entries.map(|entry| entry.map(|entry| name(&entry.file_name())));
    let mut names: Vec<String> = names.collect::<Result<_, _>>().with_context(failed)?;
    names.sort();
    Ok(names)
}

fn name(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_machine_has_one_set_of_flags_wherever_the_source_is() {
        let folders = Folders {
            source: "/home/a/windlass".into(),
            target: "/home/a/windlass/target".into(),
            cargo: "/home/a/.cargo".into(),
            registries: vec!["index.crates.io-1949cf8c6b5b557f".to_owned()],
        };
        let wanted = "--remap-path-prefix=\
            /home/a/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f=/crates";
        assert_eq!(folders.renamed(), [wanted]);
        assert_eq!(folders.moved("/b".into(), "/c".into()).renamed(), [wanted]);
        let cargo = folders.cargo("build", "x86_64-unknown-linux-gnu");
        let arguments: Vec<_> =
            cargo.get_args().map(|argument| argument.to_string_lossy()).collect();
        let flags = format!("target.x86_64-unknown-linux-gnu.rustflags=[\"{wanted}\"]");
        assert!(arguments.windows(2).any(|pair| pair == ["--config", &flags]), "{arguments:?}");
    }
}
