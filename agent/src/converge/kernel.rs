//! What the kernel is told: settings and routes.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use super::Ensured;
use crate::host::Machine;
use crate::plan::Route;

/// The setting with this dotted name has this value.
pub fn ensure_sysctl(machine: &Machine, name: &str, value: &str) -> anyhow::Result<Ensured> {
    let found = found_sysctl(machine, name)?;
    if found.split_whitespace().eq(value.split_whitespace()) {
        return Ok(Ensured::Unchanged);
    }
    fs::write(place(machine, name), value).with_context(|| {
        format!("setting the kernel's `{name}` to `{value}` (it is `{}`)", found.trim())
    })?;
    Ok(Ensured::Changed)
}

/// The setting's value as the kernel writes it.
pub(super) fn found_sysctl(machine: &Machine, name: &str) -> anyhow::Result<String> {
    let path = place(machine, name);
    let found = fs::read_to_string(&path);
    found.with_context(|| format!("reading the kernel setting `{name}` ({})", path.display()))
}

/// sysctl(8): a slash in a name stands for a dot in a file's name, as in `net/ipv4/conf/eth0.1`.
fn place(machine: &Machine, name: &str) -> PathBuf {
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    machine.path(format!("/proc/sys/{}", name.chars().map(swap).collect::<String>()))
}

/// The kernel has this route.
pub async fn ensure_route(machine: &Machine, route: &Route) -> anyhow::Result<Ensured> {
    if machine.has_route(route).await? {
        return Ok(Ensured::Unchanged);
    }
    machine.put_route(route).await?;
    Ok(Ensured::Changed)
}
