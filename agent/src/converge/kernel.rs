//! The kernel's settings.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use super::{Changes, Ensured};
use crate::host::Machine;

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

/// Those of one interface first: with `net.ipv6.conf.all.forwarding` the kernel drops the routes
/// that it learnt from advertisements, unless the interface's `accept_ra` is 2 by then.
pub fn in_order<'a>(
    settings: impl Iterator<Item = (&'a String, &'a String)> + Clone,
) -> impl Iterator<Item = (&'a String, &'a String)> {
    let of_all = |name: &str| name.contains(".all.");
    let (own, all) = (settings.clone(), settings);
    own.filter(move |(name, _)| !of_all(name)).chain(all.filter(move |(name, _)| of_all(name)))
}

/// The settings have these values.
pub(super) fn ensure_sysctls<'a>(
    machine: &Machine,
    settings: impl Iterator<Item = (&'a String, &'a String)> + Clone,
) -> anyhow::Result<Changes> {
    let mut changes = Changes::default();
    for (name, value) in in_order(settings) {
        changes.add(ensure_sysctl(machine, name, value)?, || format!("{name} = {value}"));
    }
    Ok(changes)
}
