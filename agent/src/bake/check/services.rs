//! Units: ours are there and start, nobody else's start in their place or beside them.

use std::fs;

use super::super::units;
use super::Examination;

/// Where systemd looks for units, the first wins (systemd.unit(5)).
const FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Units that would run a second kubelet or runtime, or make a node in their own way.
const RIVALS: [&str; 8] = [
    "crio.service",
    "docker.service",
    "k3s.service",
    "k3s-agent.service",
    "kops-configuration.service",
    "nodeadm-config.service",
    "nodeadm-run.service",
    "snap.kubelet-eks.daemon.service",
];

pub(super) fn check(examination: &mut Examination<'_>) {
    for (path, wanted) in units::files() {
        let found = examination.tree.read_text(&path).ok().flatten();
        if found.as_deref() != Some(wanted) {
            let what = if found.is_some() { "is not this windlass'" } else { "is missing" };
            examination.problem(format!("{} {what}", path.display()), "bake again");
        }
    }
    for (link, target) in units::links() {
        let unit = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !examination.tree.path(&link).is_file() {
            let hint = format!("`systemctl enable {unit}`, or bake again");
            examination.problem(format!("{unit} is not enabled: no {}", link.display()), hint);
        }
    }
    for unit in RIVALS {
        if examination.starts(unit) {
            let message = format!("{unit} is enabled, and would make a node beside ours");
            examination
                .problem(message, format!("`systemctl disable {unit}`, or remove its package"));
        }
    }
    for unit in examination.base.updaters() {
        if examination.starts(unit) {
            let message = format!("{unit} is enabled: it changes packages of running nodes");
            let hint = format!("bake a new image instead: `systemctl mask {unit}`");
            examination.advise(message, hint);
        }
    }
    check_drop_ins(examination);
}

/// A distribution's fragments for units of these names change ours, too: kubeadm's package has one
/// for kubelet that starts another program.
fn check_drop_ins(examination: &mut Examination<'_>) {
    let units = units::files().filter(|(path, _)| path.starts_with(units::FOLDER));
    let names =
        units.filter_map(|(path, _)| Some(path.file_name()?.to_string_lossy().into_owned()));
    for unit in names {
        for folder in FOLDERS.iter().take(4) {
            let folder = format!("{folder}/{unit}.d");
            for name in examination.tree.list(&folder) {
                if !name.ends_with(".conf") {
                    continue;
                }
                let message = format!("{folder}/{name} changes {unit}, and is not ours");
                // No package knows these units: whoever has one for them in /etc means it.
                if unit.starts_with("windlass-") && folder.starts_with(FOLDERS[0]) {
                    let hint =
                        format!("look at what it makes of `systemd-analyze security {unit}`");
                    examination.advise(message, hint);
                } else {
                    examination.problem(message, "remove it, or the package that it came with");
                }
            }
        }
    }
}

impl Examination<'_> {
    /// Whether the unit is there and something at boot wants it.
    pub(super) fn starts(&self, unit: &str) -> bool {
        let there = |folder: &&str| self.tree.path(format!("{folder}/{unit}")).is_file();
        FOLDERS.iter().any(there) && !self.is_masked(unit) && self.is_wanted(unit)
    }

    fn is_masked(&self, unit: &str) -> bool {
        let link = self.tree.place(format!("{}/{unit}", FOLDERS[0]));
        fs::read_link(link).is_ok_and(|target| target.as_os_str() == "/dev/null")
    }

    fn is_wanted(&self, unit: &str) -> bool {
        FOLDERS.iter().any(|folder| {
            let wants = self.tree.list(folder).into_iter();
            let mut wants = wants.filter(|n| n.ends_with(".wants") || n.ends_with(".requires"));
            wants.any(|wants| {
                let link = self.tree.place(format!("{folder}/{wants}/{unit}"));
                fs::symlink_metadata(link).is_ok()
            })
        })
    }
}
