//! The machine that Windlass runs on: a root directory, its services, its network.
//!
//! It can be a folder instead: then paths are looked up below it, and what has an effect outside
//! of files (units, kernel routes, modules) is kept in memory, where it can be looked at. So the
//! same code runs in tests, in `windlass bake` and in `windlass plan --root`.

mod folder;
mod journal;
mod links;
mod logind;
mod monitor;
mod netlink;
mod nftables;
mod programs;
mod reach;
mod rules;
mod units;
mod ways;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use nix::time::{ClockId, clock_gettime};

pub use links::{Link, Links};
pub use logind::ShutdownLock;
pub use monitor::{Monitor, Stirred, Tidings};
pub use units::UnitState;
pub use ways::{Added, Entry, WayError, Ways};

use folder::Folder;

/// A machine. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
    effects: Effects,
}

#[derive(Clone, Debug)]
enum Effects {
    Real,
    Kept(Arc<Mutex<Folder>>),
}

/// What times of a boot are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// How long ago that was.
    pub ago: Duration,
}

impl Machine {
    /// The one that this program runs on.
    pub fn this() -> Self {
        Self { root: PathBuf::from("/"), effects: Effects::Real }
    }

    /// The one that this program runs on, with other files than its own.
    pub fn this_with_files(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), effects: Effects::Real }
    }

    /// A folder that stands for a machine.
    pub fn folder(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), effects: Effects::Kept(Arc::default()) }
    }

    /// Where an absolute path of the machine lies for this program.
    pub fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        self.root.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    /// The file's contents; `None` where there is none.
    pub fn read(&self, absolute: impl AsRef<Path>) -> anyhow::Result<Option<Vec<u8>>> {
        let path = self.path(absolute);
        match std::fs::read(&path) {
            Ok(contents) => Ok(Some(contents)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// As [`Machine::read`], where there should be text.
    pub fn read_text(&self, absolute: impl AsRef<Path>) -> anyhow::Result<Option<String>> {
        let absolute = absolute.as_ref();
        let text = self.read(absolute)?.map(String::from_utf8).transpose();
        text.with_context(|| format!("{} is not UTF-8", absolute.display()))
    }

    /// Whether systemd runs in a container here (systemd's "Container Interface" has it say so).
    pub fn is_container(&self) -> bool {
        self.path("/run/systemd/container").exists()
    }

    /// Since the kernel's boot, the time that it slept included (`CLOCK_BOOTTIME`).
    pub fn since_boot(&self) -> anyhow::Result<Duration> {
        match &self.effects {
            Effects::Real => Ok(Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?)),
            Effects::Kept(folder) => Ok(lock(folder).booted.elapsed()),
        }
    }

    /// Another one for each boot of the kernel (random(4), `boot_id`).
    pub fn boot_id(&self) -> anyhow::Result<String> {
        let kept = "/proc/sys/kernel/random/boot_id";
        Ok(self.read_text(kept)?.unwrap_or_default().trim().to_owned())
    }

    /// The kernel's boot; in a container, whose kernel booted long before, PID 1's start.
    pub fn origin(&self) -> anyhow::Result<Origin> {
        if let Effects::Kept(_) = self.effects {
            return Ok(Origin { ago: Duration::ZERO });
        }
        let since_boot = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
        if !self.is_container() {
            return Ok(Origin { ago: since_boot });
        }
        let stat = self.read_text("/proc/1/stat")?.context("no /proc/1/stat")?;
        let started = start_of_process(&stat).context("/proc/1/stat is not as proc(5) has it")?;
        Ok(Origin { ago: since_boot.saturating_sub(started) })
    }

    /// The most memory that this program had resident so far (proc(5), `VmHWM`); none of a folder.
    pub fn peak_memory_bytes(&self) -> Option<u64> {
        let Effects::Real = self.effects else { return None };
        let status = self.read_text("/proc/self/status").ok()??;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    }

    /// What a folder was asked to do outside of its files, in order; empty for a real machine.
    pub fn kept(&self) -> Vec<String> {
        match &self.effects {
            Effects::Real => Vec::new(),
            Effects::Kept(folder) => lock(folder).log.clone(),
        }
    }
}

fn lock(folder: &Mutex<Folder>) -> std::sync::MutexGuard<'_, Folder> {
    folder.lock().expect("nobody panics while holding the folder")
}

/// Field 22 of `/proc/PID/stat`: clock ticks after the kernel's boot. The second field, the
/// program's name, may contain anything but ends with the last parenthesis.
fn start_of_process(stat: &str) -> Option<Duration> {
    let after_name = stat.rsplit_once(')')?.1;
    let ticks: u64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    Some(Duration::from_millis(ticks * 1000 / u64::try_from(per_second).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_hide_the_start() {
        let fields: Vec<String> = (3..=52).map(|field| (field * 100).to_string()).collect();
        let stat = format!("1 (a) b (c) {}", fields.join(" "));
        assert_eq!(start_of_process(&stat), Some(Duration::from_millis(22_000)));
    }

    #[test]
    fn a_folders_paths_lie_below_it() {
        let machine = Machine::folder("/tmp/tree");
        assert_eq!(machine.path("/etc/fstab"), Path::new("/tmp/tree/etc/fstab"));
    }
}
