//! On which disks something is being made. A run that was killed leaves it written down, and only by
//! that may the next one overwrite half of what we made.

use std::collections::BTreeSet;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::converge::ensure_file;
use crate::converge::files::ensure_absent;
use crate::host::Machine;

/// On the root's disk, synced before the first byte of another disk changes.
const PLACE: &str = "/var/lib/windlass/storage-begun.json";

/// Serial numbers: a name such as `nvme1n1` may be another disk's after a start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun(pub BTreeSet<String>);

impl Begun {
    pub(super) fn read(machine: &Machine) -> anyhow::Result<Self> {
        let Some(text) = machine.read(PLACE)? else { return Ok(Self::default()) };
        serde_json::from_slice(&text).with_context(|| format!("reading {PLACE}"))
    }

    pub(super) fn write(&self, machine: &Machine) -> anyhow::Result<()> {
        ensure_file(machine, PLACE, 0o600, &serde_json::to_vec(self)?).map(drop)
    }

    /// It is whole.
    pub(super) fn ended(machine: &Machine) -> anyhow::Result<()> {
        ensure_absent(machine, PLACE).map(drop)
    }

    pub(super) fn has(&self, serial: &str) -> bool {
        !serial.is_empty() && self.0.contains(serial)
    }
}
