//! Units that run, and run with what is in their files now.

use std::fs;
use std::time::SystemTime;

use super::Ensured;
use crate::host::{Machine, UnitState};
use crate::plan::Unit;

/// The unit runs, or was told to. One that runs since before a file changed that it reads only
/// when it starts is restarted; comparing times needs no memory of what an earlier run did.
pub async fn ensure_unit(machine: &Machine, unit: &Unit) -> anyhow::Result<Ensured> {
    match machine.unit_state(&unit.name).await? {
        UnitState::Stopped => machine.start_unit(&unit.name).await?,
        UnitState::Running { since } if changed_since(machine, unit, since) => {
            machine.restart_unit(&unit.name).await?;
        }
        UnitState::Running { .. } => return Ok(Ensured::Unchanged),
    }
    Ok(Ensured::Changed)
}

fn changed_since(machine: &Machine, unit: &Unit, since: SystemTime) -> bool {
    unit.restarted_by.iter().any(|file| {
        let modified = fs::metadata(machine.path(file)).and_then(|metadata| metadata.modified());
        modified.is_ok_and(|modified| modified > since)
    })
}
