//! Units that run, and run with what is in their files now.

use std::fs;
use std::time::SystemTime;

use super::Ensured;
use crate::host::{Machine, UnitState};
use crate::plan::Unit;

/// What a unit needs to run by its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    Start,
    Restart,
}

/// The unit runs, or was told to.
pub async fn ensure_unit(machine: &Machine, unit: &Unit) -> anyhow::Result<Ensured> {
    match need(machine, unit).await? {
        Need::Nothing => return Ok(Ensured::Unchanged),
        Need::Start => machine.start_unit(&unit.name).await?,
        Need::Restart => machine.restart_unit(&unit.name).await?,
    }
    Ok(Ensured::Changed)
}

/// A unit that runs since before a file changed that it reads only when it starts needs a restart;
/// comparing times needs no memory of what an earlier run did.
pub(super) async fn need(machine: &Machine, unit: &Unit) -> anyhow::Result<Need> {
    Ok(match machine.unit_state(&unit.name).await? {
        UnitState::Stopped => Need::Start,
        UnitState::Running { since } if changed_since(machine, unit, since) => Need::Restart,
        UnitState::Running { .. } => Need::Nothing,
    })
}

fn changed_since(machine: &Machine, unit: &Unit, since: SystemTime) -> bool {
    unit.restarted_by.iter().any(|file| {
        let modified = fs::metadata(machine.path(file)).and_then(|metadata| metadata.modified());
        modified.is_ok_and(|modified| modified > since)
    })
}
