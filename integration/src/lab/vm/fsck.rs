//! Whether a machine's disk is sound, looked at from without.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::disk::ROOT;
use super::tools::Tools;
use crate::lab::artifacts::Cache;
use crate::lab::progress::Progress;
use crate::lab::run::output;

/// What `e2fsck` says of the root file system in a machine's folder, and an error where it is not
/// sound. Nothing is mended, and the journal is not replayed: the machine has to be off, by its own
/// doing.
pub fn fsck(cache: &Cache, progress: &Progress, machine: &Path) -> Result<String> {
    let tools = Tools::ensure(cache, progress)?;
    let (layer, raw) = (machine.join("disk.qcow2"), machine.join("disk.raw"));
    let mut convert = tools.command("qemu-img", ["convert", "-f", "qcow2", "-O", "raw"])?;
    output(convert.arg(&layer).arg(&raw)).context("cannot read the machine's disk")?;
    let root = format!("{}?offset={}", raw.display(), ROOT.0);
    let found = output(&mut tools.command("e2fsck", ["-f", "-n", &root])?);
    fs::remove_file(&raw).with_context(|| format!("cannot remove {}", raw.display()))?;
    found.context("the file system is not sound")
}
