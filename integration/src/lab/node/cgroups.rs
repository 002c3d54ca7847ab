//! Control groups of a node: one group of the node's name at the top of each hierarchy of the host,
//! which the node sees as its root.
//!
//! All that a node runs is in there, so they also tell what to end when a lab was killed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const ROOT: &str = "/sys/fs/cgroup";

/// One mounted hierarchy of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Below `/sys/fs/cgroup`; empty where a cgroup2 hierarchy is mounted there itself.
    pub folder: String,
    /// `cgroup` or `cgroup2`.
    pub kind: String,
    /// What a second mount of it is given: `memory`, or `none,name=systemd`.
    pub options: String,
}

impl Hierarchy {
    fn path(&self, name: &str) -> PathBuf {
        Path::new(ROOT).join(&self.folder).join(name)
    }
}

/// The host's hierarchies, as mounted.
pub fn hierarchies() -> Result<Vec<Hierarchy>> {
    let mounts =
        fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    let found = parse(&mounts);
    if found.is_empty() {
        bail!("no control groups are mounted below {ROOT}\nhint: a node needs them, v1 or v2");
    }
    Ok(found)
}

/// Whether resources are controlled by v1 hierarchies, as on a hybrid host.
pub fn is_v1() -> Result<bool> {
    Ok(hierarchies()?
        .iter()
        .any(|hierarchy| hierarchy.options.split(',').any(|option| option == "memory")))
}

fn parse(mounts: &str) -> Vec<Hierarchy> {
    let hierarchy = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        let folder = place.strip_prefix(ROOT)?.trim_start_matches('/').to_owned();
        // The rest are mount flags, which mount(2) takes apart from a hierarchy's own.
        let flags =
            ["rw", "ro", "nosuid", "nodev", "noexec", "relatime", "noatime", "xattr", "nsdelegate"];
        let own: Vec<&str> = options
            .split(',')
            .filter(|option| {
                !flags.contains(option)
                    && !option.starts_with("release_agent")
                    && !option.starts_with("memory_")
            })
            .collect();
        let named = own.iter().any(|option| option.starts_with("name="));
        let options = match kind {
            "cgroup" if named => format!("none,{}", own.join(",")),
            "cgroup" => own.join(","),
            "cgroup2" => String::new(),
            _ => return None,
        };
        Some(Hierarchy { folder, kind: kind.to_owned(), options })
    };
    mounts.lines().filter_map(hierarchy).collect()
}

/// Puts this program, and so all that it starts, into groups of this name.
pub fn join(name: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let group = hierarchy.path(name);
        fs::create_dir_all(&group)
            .with_context(|| format!("cannot make the control group {}", group.display()))?;
        if hierarchy.options.split(',').any(|option| option == "cpuset") {
            // A new group of cpuset has neither processors nor memory, and takes nobody.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let all = fs::read_to_string(hierarchy.path("").join(file));
                all.and_then(|all| fs::write(group.join(file), all)).with_context(|| {
                    format!("cannot give {file} to the control group {}", group.display())
                })?;
            }
        }
        fs::write(group.join("cgroup.procs"), std::process::id().to_string())
            .with_context(|| format!("cannot enter the control group {}", group.display()))?;
    }
    Ok(())
}

/// The names of top-level groups that begin so, in any hierarchy.
pub fn with_prefix(prefix: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for hierarchy in hierarchies()? {
        for entry in fs::read_dir(hierarchy.path("")).into_iter().flatten().flatten() {
            names.extend(
                entry.file_name().into_string().ok().filter(|name| name.starts_with(prefix)),
            );
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Kills all in the groups of this name and removes the groups.
pub fn end(name: &str) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(20);
    let started = Instant::now();
    for hierarchy in hierarchies()? {
        let group = hierarchy.path(name);
        while group.exists() {
            kill_all(&group);
            match remove(&group) {
                Ok(()) => {}
                Err(_) if started.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(10))
                }
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!("cannot remove the control group {}", group.display())
                    });
                }
            }
        }
    }
    Ok(())
}

fn kill_all(group: &Path) {
    for child in children(group) {
        kill_all(&child);
    }
    let procs = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for pid in procs.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid > 1) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

fn remove(group: &Path) -> std::io::Result<()> {
    for child in children(group) {
        remove(&child)?;
    }
    match fs::remove_dir(group) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn children(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_read_as_the_host_mounts_them() {
        let found = parse(
            "tmpfs /sys/fs/cgroup tmpfs rw,relatime,mode=755 0 0\n\
             cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,relatime,cpu,cpuacct 0 0\n\
             cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,xattr,name=systemd 0 0\n\
             cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime,nsdelegate 0 0\n",
        );
        let expected = [
            ("cpu,cpuacct", "cgroup", "cpu,cpuacct"),
            ("systemd", "cgroup", "none,name=systemd"),
            ("unified", "cgroup2", ""),
        ];
        let expected = expected.map(|(folder, kind, options)| Hierarchy {
            folder: folder.into(),
            kind: kind.into(),
            options: options.into(),
        });
        assert_eq!(found, expected);
        let unified = parse("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime 0 0\n");
        assert_eq!(unified[0].folder, "");
    }
}
