//! Whether the image's disk is large enough, before anything is written to it.

use anyhow::{Context, ensure};
use nix::sys::statvfs::statvfs;

use super::fetch::missing_bytes;
use super::plan::Plan;
use super::progress::megabytes;
use super::staging::Staging;
use super::tree::Tree;

/// What is left for the units, containerd's databases and whoever boots the image.
const RESERVE_BYTES: u64 = 64 * 1024 * 1024;

/// A release's programs are about three times as long as its gzipped archive, and the layers of an
/// image as its archive: an estimate, since only unpacking tells.
const UNPACKED: u64 = 3;

/// # Errors
///
/// There is not enough, by how much, and what for.
pub fn ensure_enough(tree: &Tree, staging: &Staging, plan: &Plan) -> anyhow::Result<()> {
    let missing = plan.missing();
    if missing.is_empty() {
        return Ok(());
    }
    let archives = plan.archives.iter().filter(|step| step.there.is_none());
    let images = plan.images.iter().filter(|step| step.there.is_none());
    let unpacked = (archives.map(|step| step.wanted.digested.bytes))
        .chain(images.map(|step| step.wanted.digested.bytes))
        .sum::<u64>();
    let wanted = missing_bytes(staging, &missing) + UNPACKED * unpacked + RESERVE_BYTES;
    let free = free_bytes(tree)?;
    ensure!(
        free >= wanted,
        "the image's disk has {} free, wanted {} for {} parts\nhint: give the builder a larger \
         disk (`volume_size` of Packer's `launch_block_device_mappings`)",
        megabytes(free),
        megabytes(wanted),
        missing.len()
    );
    Ok(())
}

fn free_bytes(tree: &Tree) -> anyhow::Result<u64> {
    let found = statvfs(tree.root());
    let found = found.with_context(|| format!("the free space of {}", tree.root().display()))?;
    Ok(found.blocks_available() * found.fragment_size())
}
