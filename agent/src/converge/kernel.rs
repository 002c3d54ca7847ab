//! What the kernel is told: settings and routes.

use std::fs;

use anyhow::Context;

use super::Ensured;
use crate::host::Machine;
use crate::plan::Route;

/// The setting with this dotted name has this value.
pub fn ensure_sysctl(machine: &Machine, name: &str, value: &str) -> anyhow::Result<Ensured> {
    // sysctl(8): a slash in a name stands for a dot in a file's name, as in `net/ipv4/conf/eth0.1`.
    let swapped: String = name
        .chars()
        .map(|c| match c {
            '.' => '/',
            '/' => '.',
            c => c,
        })
        .collect();
    let path = machine.path(format!("/proc/sys/{swapped}"));
    let found = fs::read_to_string(&path);
    let found = found
        .with_context(|| format!("reading the kernel setting `{name}` ({})", path.display()))?;
    if found.split_whitespace().eq(value.split_whitespace()) {
        return Ok(Ensured::Unchanged);
    }
    fs::write(&path, value).with_context(|| {
        format!("setting the kernel's `{name}` to `{value}` (it is `{}`)", found.trim())
    })?;
    Ok(Ensured::Changed)
}

/// The kernel has this route.
pub async fn ensure_route(machine: &Machine, route: &Route) -> anyhow::Result<Ensured> {
    if machine.has_route(route).await? {
        return Ok(Ensured::Unchanged);
    }
    machine.put_route(route).await?;
    Ok(Ensured::Changed)
}
