//! Files that are whole or not there: written beside, synced, renamed over. Everything that
//! Windlass writes on a host goes through here.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::{Ensured, parent};
use crate::host::Machine;

/// A file with these permission bits and contents. When this returns, it outlives a power cut.
pub fn ensure_file(
    machine: &Machine,
    absolute: impl AsRef<Path>,
    mode: u32,
    contents: &[u8],
) -> anyhow::Result<Ensured> {
    let path = machine.path(absolute);
    if is_there(&path, mode, contents) {
        return Ok(Ensured::Unchanged);
    }
    replace(&path, |beside| write_synced(beside, mode, contents))?;
    Ok(Ensured::Changed)
}

/// A symbolic link to `target`, which is taken as it is written.
pub fn ensure_symlink(
    machine: &Machine,
    absolute: impl AsRef<Path>,
    target: impl AsRef<Path>,
) -> anyhow::Result<Ensured> {
    let (path, target) = (machine.path(absolute), target.as_ref());
    if fs::read_link(&path).is_ok_and(|found| found == target) {
        return Ok(Ensured::Unchanged);
    }
    replace(&path, |beside| symlink(target, beside))?;
    Ok(Ensured::Changed)
}

/// Makes `path` what `make` puts beside it; at no moment is there half a file.
pub(crate) fn replace(
    path: &Path,
    make: impl FnOnce(&Path) -> io::Result<()>,
) -> anyhow::Result<()> {
    let folder = parent(path);
    fs::create_dir_all(&folder).map_err(|error| unwritten(&folder, error))?;
    let beside = beside(path);
    // Left by a run that was killed.
    let _ = fs::remove_file(&beside);
    let made = make(&beside)
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| File::open(&folder)?.sync_all());
    made.map_err(|error| {
        let _ = fs::remove_file(&beside);
        unwritten(path, error)
    })
}

fn write_synced(path: &Path, mode: u32, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // The process' umask may have taken bits away.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(contents)?;
    file.sync_all()
}

fn is_there(path: &Path, mode: u32, contents: &[u8]) -> bool {
    let Ok(metadata) = fs::symlink_metadata(path) else { return false };
    let same = metadata.is_file() && metadata.permissions().mode() & 0o7777 == mode;
    same && fs::read(path).is_ok_and(|found| found == contents)
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.windlass"))
}

fn unwritten(path: &Path, error: io::Error) -> anyhow::Error {
    let hint = match error.kind() {
        ErrorKind::StorageFull => "\nhint: the file system is full: look with `df -h` and `df -i`",
        ErrorKind::ReadOnlyFilesystem => {
            "\nhint: the file system is mounted read-only: look with `findmnt`"
        }
        _ => "",
    };
    anyhow!("writing {}: {error}{hint}", path.display())
}

/// A file that is there or is not, gone after this.
pub fn ensure_absent(machine: &Machine, absolute: impl AsRef<Path>) -> anyhow::Result<Ensured> {
    let path = machine.path(absolute);
    match fs::remove_file(&path) {
        Ok(()) => Ok(Ensured::Changed),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Ensured::Unchanged),
        Err(error) => Err(error).with_context(|| format!("removing {}", path.display())),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A folder that is removed when the test ends.
    pub struct Scratch(PathBuf);

    impl Scratch {
        pub fn new(name: &str) -> (Self, Machine) {
            let path = std::env::temp_dir().join(format!("windlass-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).expect("a folder for the test");
            (Self(path.clone()), Machine::folder(path))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_second_run_changes_nothing() {
        let (_scratch, machine) = Scratch::new("second-run");
        let ensure = || ensure_file(&machine, "/etc/a/b", 0o640, b"text").expect("written");
        assert_eq!((ensure(), ensure()), (Ensured::Changed, Ensured::Unchanged));
        let link = || ensure_symlink(&machine, "/etc/a/link", "b").expect("linked");
        assert_eq!((link(), link()), (Ensured::Changed, Ensured::Unchanged));
        assert_eq!(fs::read(machine.path("/etc/a/link")).expect("a file behind the link"), b"text");
    }

    #[test]
    fn other_permissions_alone_are_a_change() {
        let (_scratch, machine) = Scratch::new("permissions");
        ensure_file(&machine, "/key", 0o644, b"secret").expect("written");
        let again = ensure_file(&machine, "/key", 0o600, b"secret").expect("written");
        assert_eq!(again, Ensured::Changed);
        let mode = fs::metadata(machine.path("/key")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_a_killed_run_left_beside_is_no_hindrance() {
        let (_scratch, machine) = Scratch::new("killed");
        fs::write(machine.path("/.file.windlass"), "half a").expect("the remains");
        ensure_file(&machine, "/file", 0o644, b"whole").expect("written");
        let names: Vec<_> = fs::read_dir(machine.path("/"))
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert_eq!(names, ["file"]);
    }

    #[test]
    fn a_full_disk_is_named_and_leaves_the_old_file() {
        let (_scratch, machine) = Scratch::new("full");
        ensure_file(&machine, "/file", 0o644, b"old").expect("written");
        let path = machine.path("/file");
        let full = |beside: &Path| {
            fs::write(beside, "half")?;
            Err(io::Error::from_raw_os_error(nix::libc::ENOSPC))
        };
        let error = replace(&path, full).expect_err("a full disk");
        let wanted = format!(
            "writing {}: No space left on device (os error 28)\nhint: the file system is full: look with `df -h` and `df -i`",
            path.display()
        );
        assert_eq!(error.to_string(), wanted);
        assert_eq!(fs::read(&path).expect("the old file"), b"old");
        assert!(!machine.path("/.file.windlass").exists());
    }
}
