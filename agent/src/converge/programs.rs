//! What the image must have: looked at before anything is changed, since no later step could be
//! right without it and no retry brings it.

use std::collections::BTreeSet;

use anyhow::bail;

use crate::host::Machine;
use crate::plan::image::{NVIDIA_FRAGMENT, NVIDIA_RUNTIME};

/// Refuses a machine that lacks one, naming all that it lacks.
pub(super) fn check(machine: &Machine, programs: &BTreeSet<&'static str>) -> anyhow::Result<()> {
    let missing: Vec<_> = missing(machine, programs).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let hint = match missing.iter().all(|it| [NVIDIA_RUNTIME, NVIDIA_FRAGMENT].contains(it)) {
        true => {
            "the group has `gpu = \"nvidia\"`: add the package nvidia-container-toolkit to the image, \
             and bake it anew"
        }
        false => {
            "pods have no network without: add them to `bake.toml` (`nft` is in the package \
             nftables), and bake the image anew"
        }
    };
    bail!("the image lacks {}\nhint: {hint}", missing.join(", "))
}

/// Those that the machine lacks.
pub(super) fn missing<'a>(
    machine: &'a Machine,
    programs: &'a BTreeSet<&'static str>,
) -> impl Iterator<Item = &'static str> + 'a {
    programs.iter().copied().filter(|program| !machine.has_program(program))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::converge::files::tests::Scratch;

    #[test]
    fn what_is_missing_is_said_with_what_it_is_for() {
        let (_scratch, machine) = Scratch::new("programs");
        let said = |programs: &[&'static str]| {
            let programs = programs.iter().copied().collect();
            check(&machine, &programs).expect_err("an empty folder").to_string()
        };
        let gpu = said(&[NVIDIA_RUNTIME, NVIDIA_FRAGMENT]);
        let wanted =
            format!("the image lacks {NVIDIA_FRAGMENT}, {NVIDIA_RUNTIME}\nhint: the group has");
        assert!(gpu.starts_with(&wanted), "{gpu}");
        let both = said(&["nft", NVIDIA_RUNTIME]);
        assert!(both.contains("hint: pods have no network without"), "{both}");
    }
}
