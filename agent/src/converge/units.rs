//! Units that run, and run with what is in their files now.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use crate::host::{Machine, UnitState};
use crate::plan::Unit;

/// What a unit needs to run by its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    Start,
    Restart,
}

/// The units run, or were told to; the names of those that were. `found` is what they did when
/// they were last looked at.
pub async fn ensure_units(
    machine: &Machine,
    units: &[Unit],
    found: &BTreeMap<String, UnitState>,
) -> anyhow::Result<Vec<String>> {
    let needing = |wanted| {
        let all = units.iter().filter(move |unit| need(machine, unit, found) == wanted);
        all.map(|unit| unit.name.as_str()).collect::<Vec<_>>()
    };
    let (start, restart) = (needing(Need::Start), needing(Need::Restart));
    machine.start_units(&start).await?;
    machine.restart_units(&restart).await?;
    Ok(start.into_iter().chain(restart).map(str::to_owned).collect())
}

/// A unit that runs since before a file changed that it reads only when it starts needs a restart;
/// comparing times needs no memory of what an earlier run did.
pub(super) fn need(machine: &Machine, unit: &Unit, found: &BTreeMap<String, UnitState>) -> Need {
    match found.get(&unit.name) {
        None | Some(UnitState::Stopped) => Need::Start,
        Some(UnitState::Running { since }) if changed_since(machine, unit, *since) => Need::Restart,
        Some(UnitState::Running { .. }) => Need::Nothing,
    }
}

fn changed_since(machine: &Machine, unit: &Unit, since: SystemTime) -> bool {
    unit.restarted_by.iter().any(|file| {
        let modified = fs::metadata(machine.path(file)).and_then(|metadata| metadata.modified());
        modified.is_ok_and(|modified| modified > since)
    })
}
