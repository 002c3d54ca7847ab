//! What is mounted where, as the kernel has it; and the two mounts that are made here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use nix::mount::{MsFlags, mount};

use super::DATA;
use super::file_system::Made;
use crate::host::Machine;

const NOTHING: Option<&str> = None;

/// proc(5), `/proc/pid/mountinfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mounts(Vec<Mount>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// `MAJOR:MINOR` of the file system.
    device: String,
    /// What of the file system is mounted.
    root: String,
    at: String,
}

impl Mounts {
    pub(super) fn read(machine: &Machine) -> anyhow::Result<Self> {
        let text = machine.read_text("/proc/self/mountinfo")?;
        Ok(Self::parse(&text.context("there is no /proc/self/mountinfo")?))
    }

    pub(super) fn parse(mountinfo: &str) -> Self {
        let mount = |line: &str| {
            let mut words = line.split(' ').skip(2);
            let device = words.next()?.to_owned();
            Some(Mount { device, root: unescaped(words.next()?), at: unescaped(words.next()?) })
        };
        Self(mountinfo.lines().filter_map(mount).collect())
    }

    /// Whether anything is mounted there.
    pub(super) fn has(&self, place: &str) -> bool {
        self.0.iter().any(|mount| mount.at == place)
    }

    /// Where the device is mounted.
    pub(super) fn of(&self, device: &str) -> Option<&str> {
        let mount = self.0.iter().find(|mount| mount.device == device)?;
        Some(&mount.at)
    }

    /// Whether what is seen at `place` is the folder `name` of what is mounted at [`DATA`].
    pub(super) fn is_bound(&self, place: &str, name: &str) -> bool {
        let top = |at: &str| self.0.iter().rfind(|mount| mount.at == at);
        match (top(DATA), top(place)) {
            (Some(data), Some(bound)) => {
                data.device == bound.device && bound.root == format!("/{name}")
            }
            _ => false,
        }
    }
}

/// A space is `\040`.
fn unescaped(word: &str) -> String {
    word.replace("\\040", " ")
}

/// The file system on `device` is at [`DATA`], for root alone.
pub(super) fn mount_data(machine: &Machine, made: &Made) -> anyhow::Result<()> {
    let (from, data, kind) = (machine.path(&made.device), machine.path(DATA), made.kind.name());
    fs::create_dir_all(&data).with_context(|| format!("making {DATA}"))?;
    // Containers have device files and set-user-ID programs in their layers: none of that is forbidden.
    mount(Some(&from), &data, Some(kind), MsFlags::MS_NOATIME, NOTHING).with_context(|| {
        let device = &made.device;
        format!(
            "mounting {device} ({kind}) at {DATA}\nhint: the kernel's log says why; what cannot be \
             repaired (`fsck.{kind}`, `xfs_repair`) goes with the instance: replace it"
        )
    })?;
    // Else what is mounted below kubelet's folder were also below this one.
    mount(NOTHING, &data, NOTHING, MsFlags::MS_PRIVATE, NOTHING)
        .with_context(|| format!("making {DATA} private"))?;
    let own = fs::Permissions::from_mode(0o700);
    fs::set_permissions(&data, own).with_context(|| format!("the permissions of {DATA}"))
}

/// A folder is seen in another place as well.
pub(super) fn bind(from: &Path, to: &Path) -> anyhow::Result<()> {
    mount(Some(from), to, NOTHING, MsFlags::MS_BIND, NOTHING)
        .with_context(|| format!("binding {} to {}", from.display(), to.display()))
}
