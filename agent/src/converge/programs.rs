//! What the image must have: looked at before anything is changed, since no later step could be
//! right without it and no retry brings it.

use std::collections::BTreeSet;

use anyhow::bail;

use crate::host::Machine;

/// Refuses a machine that lacks one, naming all that it lacks.
pub(super) fn check(machine: &Machine, programs: &BTreeSet<&'static str>) -> anyhow::Result<()> {
    let missing: Vec<_> = missing(machine, programs).collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "the image lacks {}\nhint: pods have no network without: add them to `bake.toml` (`nft` is \
         in the package nftables), and bake the image anew",
        missing.join(", ")
    )
}

/// Those that the machine lacks.
pub(super) fn missing<'a>(
    machine: &'a Machine,
    programs: &'a BTreeSet<&'static str>,
) -> impl Iterator<Item = &'static str> + 'a {
    programs.iter().copied().filter(|program| !machine.has_program(program))
}
