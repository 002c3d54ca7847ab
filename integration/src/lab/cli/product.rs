//! The product's program: in the profile that this program was built in, with the same package set,
//! so that the features are the same and nothing is compiled twice; or as it is released, alone.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::up::{Latency, Options};
use crate::lab::release::{self, Built, Folders};

/// In the profile of this program, and with what else it was built with.
pub fn of_this_build() -> Result<PathBuf> {
    program(&Options::of_this_build(None))
}

/// As it is released. `WINDLASS_PROGRAM` names one that is built already.
pub fn released() -> Result<PathBuf> {
    let built = std::env::var_os("WINDLASS_PROGRAM").map(PathBuf::from);
    program(&Options::released(Latency::None, built))
}

pub(super) fn program(options: &Options) -> Result<PathBuf> {
    if let Some(given) = &options.windlass {
        return given.canonicalize().with_context(|| format!("cannot find {}", given.display()));
    }
    if options.release || !cfg!(debug_assertions) {
        return Ok(Folders::own()?.build()?.program);
    }
    let mut build = release::cargo();
    build
        .args(["build", "--quiet", "--package", "windlass", "--bin", "windlass"])
        .args(["--package", "integration"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    Ok(Built::by(&mut build, &release::own_triple())?.program)
}
