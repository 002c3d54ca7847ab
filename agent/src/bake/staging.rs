//! A folder in the image's root in which everything waits until the last of it is verified. Only
//! then is the first file of the image touched.
//!
//! Complete contents are called by their digest and are good in a later run; what ends in `.part`
//! is a download that may go on. One bake at a time: the folder is locked.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

use super::digest::{self, Digested};
use super::tree::Tree;
use crate::config::userdata::Sha256Hex;

/// On the file system of most of what is installed, so that a rename installs it.
pub const FOLDER: &str = "/.windlass-bake";

/// The folder, for as long as this value or a clone of it lives ours alone.
#[derive(Clone, Debug)]
pub struct Staging {
    folder: PathBuf,
    _lock: Arc<File>,
}

impl Staging {
    /// Makes the folder, or takes over the one of a run that was interrupted.
    pub fn open(tree: &Tree) -> anyhow::Result<Self> {
        let folder = tree.place(FOLDER);
        let made = fs::create_dir_all(&folder)
            .and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(0o700)))
            .and_then(|()| File::create(folder.join("lock")));
        let lock = made.map_err(|error| failed("making", &folder, error))?;
        if lock.try_lock().is_err() {
            bail!("another `windlass bake` is at work on {}", tree.root().display());
        }
        Ok(Self { folder, _lock: Arc::new(lock) })
    }

    /// Where contents with this digest are or will be.
    pub fn complete(&self, sha256: &Sha256Hex) -> PathBuf {
        self.folder.join(sha256.as_str())
    }

    /// Where contents with this digest grow.
    pub fn growing(&self, sha256: &Sha256Hex) -> PathBuf {
        self.folder.join(format!("{sha256}.part"))
    }

    /// Another place below the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether contents with this digest are there. They are read again: a power cut may have left
    /// a file whose name got to the disk before its contents.
    pub fn has(&self, sha256: &Sha256Hex) -> bool {
        digest::of_file(&self.complete(sha256)).is_ok_and(|found| found.sha256 == *sha256)
    }

    /// Copies all that `from` gives and calls it by its digest.
    pub fn take(&self, name: &str, from: &mut impl io::Read) -> anyhow::Result<Digested> {
        let growing = self.path(&format!("{name}.part"));
        let copied = File::create(&growing).and_then(|mut file| {
            let digested = digest::copy(from, &mut file)?;
            file.sync_all()?;
            fs::rename(&growing, self.complete(&digested.sha256))?;
            Ok(digested)
        });
        copied.map_err(|error| {
            let _ = fs::remove_file(&growing);
            failed("writing", &growing, error)
        })
    }

    /// Gone with all that is in it.
    pub fn remove(self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.folder)
            .with_context(|| format!("removing {}", self.folder.display()))
    }
}

/// Something could not be done to a file.
#[derive(Debug, thiserror::Error)]
#[error("{said}")]
pub struct Failed {
    said: String,
    kind: ErrorKind,
}

/// The error of something done to `path`, with what to do about it.
pub fn failed(doing: &str, path: &Path, error: io::Error) -> anyhow::Error {
    let hint = match error.kind() {
        ErrorKind::StorageFull => "\nhint: the image's file system is full: give it a larger disk",
        ErrorKind::ReadOnlyFilesystem => "\nhint: the image's file system is mounted read-only",
        ErrorKind::PermissionDenied => "\nhint: `windlass bake` runs as root",
        _ => "",
    };
    let said = format!("{doing} {}: {error}{hint}", path.display());
    Failed { said, kind: error.kind() }.into()
}

/// Whether that was for want of space.
pub fn is_for_space(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failed>().is_some_and(|failed| failed.kind == ErrorKind::StorageFull)
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::bare;
    use super::*;

    #[test]
    fn two_bakes_of_one_image_do_not_meet() {
        let (_scratch, tree) = bare("staging-lock");
        let first = Staging::open(&tree).expect("ours");
        let second = Staging::open(&tree).expect_err("taken");
        assert!(second.to_string().starts_with("another `windlass bake` is at work on "));
        first.remove().expect("removed");
        Staging::open(&tree).expect("free again");
    }

    #[test]
    fn what_a_power_cut_left_is_not_believed_by_its_name() {
        let (_scratch, tree) = bare("staging-cut");
        let staging = Staging::open(&tree).expect("ours");
        let digested = staging.take("thing", &mut &b"contents"[..]).expect("taken");
        assert_eq!(digested.bytes, 8);
        assert!(staging.has(&digested.sha256));
        fs::write(staging.complete(&digested.sha256), "conte").expect("cut");
        assert!(!staging.has(&digested.sha256));
    }
}
