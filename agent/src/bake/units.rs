//! The units that every image has. One line here for each file of `systemd/`; whether a unit starts
//! by itself is said below, when is said in the unit.

use std::path::{Path, PathBuf};

/// In /etc, where they take precedence over those of a distribution's packages.
pub const FOLDER: &str = "/etc/systemd/system";

/// Path below /etc/systemd → contents.
pub const FILES: [(&str, &str); 9] = [
    // What the journal may take of an image's disk and memory.
    ("journald.conf.d/windlass.conf", include_str!("../../../systemd/journald.conf")),
    ("system/containerd.service", include_str!("../../../systemd/containerd.service")),
    ("system/kubelet.service", include_str!("../../../systemd/kubelet.service")),
    ("system/runtime.slice", include_str!("../../../systemd/runtime.slice")),
    ("system/windlass-abandon.service", include_str!("../../../systemd/windlass-abandon.service")),
    ("system/windlass-admit.service", include_str!("../../../systemd/windlass-admit.service")),
    ("system/windlass-boot.service", include_str!("../../../systemd/windlass-boot.service")),
    ("system/windlass-storage.service", include_str!("../../../systemd/windlass-storage.service")),
    ("system/windlass-watch.service", include_str!("../../../systemd/windlass-watch.service")),
];

/// Units that start by themselves; the others are started by `windlass boot`.
pub const ENABLED: [&str; 2] = ["containerd.service", "windlass-boot.service"];

/// Each file with its place in the image.
pub fn files() -> impl Iterator<Item = (PathBuf, &'static str)> {
    FILES.iter().map(|(path, contents)| (Path::new("/etc/systemd").join(path), *contents))
}

/// The links that `systemctl enable` would make for what a unit says under `[Install]`, each with
/// what it points to.
pub fn links() -> impl Iterator<Item = (PathBuf, PathBuf)> {
    let enabled = FILES.iter().filter_map(|(path, contents)| {
        let name = path.rsplit('/').next()?;
        ENABLED.contains(&name).then_some((name, *contents))
    });
    enabled.flat_map(|(name, contents)| {
        let target = Path::new(FOLDER).join(name);
        wanted_by(contents).map(move |by| (Path::new(FOLDER).join(by).join(name), target.clone()))
    })
}

/// systemd.unit(5), `WantedBy=` and `RequiredBy=`: the folders of links.
fn wanted_by(unit: &str) -> impl Iterator<Item = String> {
    let folders = [("WantedBy=", "wants"), ("RequiredBy=", "requires")];
    unit.lines().flat_map(move |line| {
        let found = folders.iter().find_map(|(key, kind)| Some((line.strip_prefix(key)?, kind)));
        let names = found.into_iter().flat_map(|(names, kind)| {
            names.split_whitespace().map(move |name| format!("{name}.{kind}"))
        });
        names.collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_that_is_enabled_says_by_what_it_is_wanted() {
        for unit in ENABLED {
            let link = links().find(|(_, target)| target.ends_with(unit));
            let (link, target) = link.unwrap_or_else(|| panic!("{unit} has no [Install]"));
            assert!(files().any(|(path, _)| path == target), "{}", target.display());
            assert_eq!(link, Path::new(FOLDER).join("multi-user.target.wants").join(unit));
        }
    }
}
