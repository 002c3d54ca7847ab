//! The product's program: in the profile that this program was built in, with the same package set,
//! so that the features are the same and nothing is compiled twice; or as it is released, alone.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::up::Options;

/// In the profile of this program, and with what else it was built with.
pub fn of_this_build() -> Result<PathBuf> {
    program(&Options::of_this_build(None))
}

pub(super) fn program(options: &Options) -> Result<PathBuf> {
    if let Some(given) = &options.windlass {
        return given.canonicalize().with_context(|| format!("cannot find {}", given.display()));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let release = options.release || !cfg!(debug_assertions);
    let packages: &[&str] = if release { &["--release"] } else { &["--package", "integration"] };
    let mut build = Command::new(cargo);
    build
        .args(["build", "--quiet", "--package", "windlass", "--bin", "windlass"])
        .args(["--message-format", "json-render-diagnostics"])
        .args(packages)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = build.output().context("cannot run cargo to build the product")?;
    if !output.status.success() {
        bail!("cargo did not build the product ({})", output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut executables = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let ours = message["target"]["name"] == "windlass";
        message["executable"].as_str().filter(|_| ours).map(PathBuf::from)
    });
    executables.next_back().context("cargo built no program `windlass`")
}
