//! What [`ensure`](super::ensure) would change, without changing it.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use similar::TextDiff;

use super::kernel::found_sysctl;
use super::units::{Need, need};
use crate::host::Machine;
use crate::plan::{File, HostPlan};

/// Every difference between the host and the plan, as a person reads a patch; empty where there is
/// none.
pub async fn difference(machine: &Machine, plan: &HostPlan) -> anyhow::Result<String> {
    let mut text = String::new();
    for file in &plan.files {
        text += &file_difference(machine, file)?;
    }
    for (name, wanted) in &plan.sysctls {
        match found_sysctl(machine, name) {
            Ok(found) if found.split_whitespace().eq(wanted.split_whitespace()) => {}
            Ok(found) => writeln!(text, "sysctl {name}: {} -> {wanted}", found.trim())?,
            Err(_) => writeln!(text, "sysctl {name}: absent -> {wanted}")?,
        }
    }
    for route in &plan.routes {
        if !machine.has_route(route).await? {
            writeln!(text, "route blackhole {}: absent -> present", route.destination)?;
        }
    }
    let names: Vec<_> = plan.units.iter().map(|unit| unit.name.as_str()).collect();
    let found = machine.unit_states(&names).await?;
    for unit in &plan.units {
        match need(machine, unit, &found) {
            Need::Nothing => {}
            Need::Start => writeln!(text, "unit {}: would be started", unit.name)?,
            Need::Restart => writeln!(text, "unit {}: would be restarted", unit.name)?,
        }
    }
    Ok(text)
}

fn file_difference(machine: &Machine, file: &File) -> anyhow::Result<String> {
    let found = machine.read(&file.path)?;
    let mode = fs::metadata(machine.path(&file.path)).map(|it| it.permissions().mode() & 0o7777);
    let path = file.path.display();
    let mut text = String::new();
    if let Ok(mode) = mode
        && mode != file.mode
    {
        writeln!(text, "mode of {path}: {mode:04o} -> {:04o}", file.mode)?;
    }
    let before = found.as_deref().map(String::from_utf8_lossy);
    if before.as_deref() == Some(&file.contents) {
        return Ok(text);
    }
    let from = if before.is_some() { format!("{path}") } else { "/dev/null".to_owned() };
    let before = before.unwrap_or_default();
    let diff = TextDiff::from_lines(before.as_ref(), file.contents.as_str());
    write!(text, "{}", diff.unified_diff().header(&from, &format!("{path}")))?;
    Ok(text)
}
