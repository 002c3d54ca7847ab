//! Time: something keeps it, and it is not behind the image.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Examination;

/// Services that set the clock. AWS' own time service is at 169.254.169.123, or a PTP device.
const KEEPERS: [&str; 7] = [
    "chrony.service",
    "chronyd.service",
    "systemd-timesyncd.service",
    "ntp.service",
    "ntpd.service",
    "ntpsec.service",
    "openntpd.service",
];

/// Folders whose files a bake or a package wrote last.
const WRITTEN: [&str; 3] = ["/etc", "/usr/local", "/opt/cni"];

/// How far ahead a file may be before it is said: clocks of builders differ.
const AHEAD: Duration = Duration::from_secs(300);

pub(super) fn check(examination: &mut Examination<'_>) {
    if !KEEPERS.iter().any(|unit| examination.starts(unit)) {
        let hint = examination.base.install(examination.base.time_package());
        examination.problem(
            "nothing keeps the clock: a certificate is not yet valid, or no more, where it is wrong",
            format!("{hint}, and enable its service"),
        );
    }
    let newest = WRITTEN.iter().filter_map(|folder| newest(&examination.tree.path(folder)));
    let Some((when, path)) = newest.max() else { return };
    if let Ok(ahead) = when.duration_since(SystemTime::now())
        && ahead > AHEAD
    {
        let message =
            format!("/{} is {} s in the future", shown(examination, &path), ahead.as_secs());
        examination.problem(message, "the clock here is behind, or was ahead when it was written");
    }
}

fn shown(examination: &Examination<'_>, path: &Path) -> String {
    path.strip_prefix(examination.tree.root()).unwrap_or(path).display().to_string()
}

fn newest(folder: &Path) -> Option<(SystemTime, std::path::PathBuf)> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let each = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        match metadata.is_dir() {
            true => newest(&entry.path()),
            false => Some((metadata.modified().ok()?, entry.path())),
        }
    });
    each.max()
}
