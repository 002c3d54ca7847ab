//! What is mounted where, as the kernel has it; and the two mounts that are made here.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::Context;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{major, minor};

use super::DATA;
use super::file_system::Made;
use crate::host::Machine;

const NOTHING: Option<&str> = None;

/// proc(5), `/proc/pid/mountinfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mounts(Vec<Mount>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// `MAJOR:MINOR` of the file system's device.
    device: String,
    /// What of the file system is mounted.
    root: String,
    at: String,
}

impl Mounts {
    pub(super) fn read(machine: &Machine) -> anyhow::Result<Self> {
        let text = machine.read_text("/proc/self/mountinfo")?;
        let text = text.context("there is no /proc/self/mountinfo")?;
        Ok(Self::parse(&text, |source| number(&machine.path(source))))
    }

    /// btrfs has a number of its own, which is no device's; `number` is that of what it was mounted from.
    fn parse(mountinfo: &str, number: impl Fn(&str) -> Option<String>) -> Self {
        let mount = |line: &str| {
            let (what, how) = line.split_once(" - ")?;
            let mut words = what.split(' ').skip(2);
            let (own, root, at) = (words.next()?, words.next()?, words.next()?);
            let source = || how.split(' ').nth(1).filter(|source| source.starts_with("/dev/"));
            let device = if own.starts_with("0:") { source().and_then(&number) } else { None };
            let device = device.unwrap_or_else(|| own.to_owned());
            Some(Mount { device, root: unescaped(root), at: unescaped(at) })
        };
        Self(mountinfo.lines().filter_map(mount).collect())
    }

    /// Whether anything is mounted there.
    pub(super) fn has(&self, place: &str) -> bool {
        self.0.iter().any(|mount| mount.at == place)
    }

    /// Whether it is the device that is mounted there.
    pub(super) fn is_at(&self, device: &str, place: &str) -> bool {
        self.0.iter().any(|mount| mount.device == device && mount.at == place)
    }

    /// A place where the device is mounted.
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

/// A block device's.
fn number(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok().filter(|it| it.file_type().is_block_device())?;
    Some(format!("{}:{}", major(metadata.rdev()), minor(metadata.rdev())))
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

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
        22 1 0:24 /root /home rw shared:1 - btrfs /dev/nvme0n1p1 rw\n\
        23 1 0:24 /root / rw shared:1 - btrfs /dev/nvme0n1p1 rw\n\
        30 22 259:4 / /srv/two\\040words rw - xfs /dev/nvme1n1 rw\n\
        31 22 0:30 / /run rw shared:9 master:2 - tmpfs tmpfs rw\n\
        32 22 0:31 / /gone rw - btrfs /dev/gone rw\n";

    #[test]
    fn a_device_is_mounted_also_where_the_file_system_has_a_number_of_its_own() {
        let number = |source: &str| (source == "/dev/nvme0n1p1").then(|| "259:1".to_owned());
        let mounts = Mounts::parse(MOUNTINFO, number);
        assert!(mounts.is_at("259:1", "/") && !mounts.is_at("259:4", "/"));
        assert_eq!(mounts.of("259:1"), Some("/home"));
        assert_eq!(mounts.of("259:4"), Some("/srv/two words"));
        assert_eq!((mounts.of("0:30"), mounts.of("0:31")), (Some("/run"), Some("/gone")));
        assert_eq!(mounts.of("0:24"), None);
        assert!(mounts.has("/run") && !mounts.has("/srv"));
    }

    #[test]
    fn a_block_device_has_the_number_that_the_kernel_calls_it_by() {
        for disk in fs::read_dir("/sys/class/block").into_iter().flatten().flatten() {
            let device = Path::new("/dev").join(disk.file_name());
            let wanted = fs::read_to_string(disk.path().join("dev")).expect("a number");
            if device.exists() {
                assert_eq!(number(&device).as_deref(), Some(wanted.trim()), "{}", device.display());
            }
        }
        assert_eq!(number(Path::new("/dev/null")), None);
        assert_eq!(number(Path::new("/dev/not-there")), None);
    }
}
