//! What the image must have: looked at before anything is changed, since no later step could be
//! right without it and no retry brings it.

use std::collections::BTreeSet;

use anyhow::bail;

use crate::host::Machine;

/// Refuses a machine that lacks one, naming all that it lacks.
pub(super) fn check(machine: &Machine, programs: &BTreeSet<&'static str>) -> anyhow::Result<()> {
    let missing: Vec<_> =
        programs.iter().filter(|program| !machine.has_program(program)).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "the image lacks {}\nhint: pods have no network without: add them to `bake.toml` (`nft` is \
         in the package nftables), and bake the image anew",
        missing.join(", ")
    )
}
