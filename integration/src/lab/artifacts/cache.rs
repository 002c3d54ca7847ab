//! The cache folder: `NAME-HASH` folders that are complete or absent.
//!
//! A thing is built in a temporary folder beside its final place and renamed into it, under a lock
//! of its name. Whoever is killed in between leaves only a temporary folder, which the next builder
//! removes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};

use crate::lab::progress::Progress;

/// Overrides the cache's place.
pub const VARIABLE: &str = "WINDLASS_LAB_CACHE";

/// The folder that all clones on a machine share.
#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$WINDLASS_LAB_CACHE`, or `windlass-lab` in the user's cache folder.
    pub fn open() -> Result<Self> {
        let root = match (
            std::env::var_os(VARIABLE),
            std::env::var_os("XDG_CACHE_HOME"),
            std::env::var_os("HOME"),
        ) {
            (Some(root), _, _) => PathBuf::from(root),
            (None, Some(cache), _) => PathBuf::from(cache).join("windlass-lab"),
            (None, None, Some(home)) => PathBuf::from(home).join(".cache/windlass-lab"),
            (None, None, None) => {
                bail!("no place for the lab's cache\nhint: set {VARIABLE} or HOME")
            }
        };
        Self::at(root)
    }

    pub fn at(root: PathBuf) -> Result<Self> {
        for folder in ["locks", "tmp"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of `name` for exactly these inputs; `build` fills it when it is not there.
    pub fn ensure(
        &self,
        name: &str,
        key: &Key,
        progress: &Progress,
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let place = self.root.join(format!("{name}-{}", key.hex()));
        if place.exists() {
            return Ok(place);
        }
        let _lock = self.lock(name, progress)?;
        if place.exists() {
            return Ok(place);
        }
        let started = Instant::now();
        let temporary = self.fresh_temporary(name)?;
        build(&temporary).with_context(|| format!("cannot make the lab's `{name}`"))?;
        fs::rename(&temporary, &place).with_context(|| {
            format!("cannot rename {} to {}", temporary.display(), place.display())
        })?;
        progress.say(name, format!("done in {:.1} s", started.elapsed().as_secs_f64()));
        Ok(place)
    }

    /// Waits for the lock of this name; says so when another has it. Dropping the file releases it.
    pub fn lock(&self, name: &str, progress: &Progress) -> Result<File> {
        let path = self.root.join("locks").join(name);
        let file = File::create(&path)
            .with_context(|| format!("cannot open the lock {}", path.display()))?;
        if file.try_lock().is_err() {
            progress.say(name, "another run is at it, waiting");
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(file)
    }

    /// Holds a folder against [`Cache::prune`] for as long as the file lives.
    pub fn hold(&self, folder: &Path) -> Result<File> {
        let path = self.lock_of(folder);
        let file = File::create(&path)
            .with_context(|| format!("cannot open the lock {}", path.display()))?;
        file.lock_shared().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }

    /// Removes the oldest folders of this name beyond so many, but neither `except` nor any that
    /// somebody holds.
    pub fn prune(&self, name: &str, keep: usize, except: &Path) -> Result<()> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root)?.flatten() {
            let path = entry.path();
            let ours = entry.file_name().to_string_lossy().starts_with(&format!("{name}-"));
            if ours && path != except {
                found.push((entry.metadata()?.modified()?, path));
            }
        }
        found.sort();
        for (_, folder) in found.iter().rev().skip(keep.saturating_sub(1)) {
            let path = self.lock_of(folder);
            let file = File::create(&path)?;
            if file.try_lock().is_ok() {
                fs::remove_dir_all(folder)
                    .with_context(|| format!("cannot remove {}", folder.display()))?;
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    fn lock_of(&self, folder: &Path) -> PathBuf {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.root.join("locks").join(format!("{name}.held"))
    }

    fn fresh_temporary(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join("tmp").join(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(anyhow!(error).context(format!(
                    "cannot remove {}, left by an earlier run that was killed",
                    path.display()
                )));
            }
            _ => {}
        }
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }
}

/// What goes into a thing. Each part is hashed with its length, so that parts cannot run together.
#[derive(Clone, Debug, Default)]
pub struct Key(Sha256);

impl Key {
    #[must_use]
    pub fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
        self
    }

    /// Twelve hexadecimal digits.
    pub fn hex(&self) -> String {
        hex::encode(&self.0.clone().finalize()[..6])
    }
}

/// The SHA-256 of a file, in hexadecimal.
pub fn file_digest(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))? {
            0 => return Ok(hex::encode(hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_to_build_is_not_there_and_what_was_built_is_not_built_again() {
        let root = std::env::temp_dir().join(format!("windlass-lab-cache-{}", std::process::id()));
        let cache = Cache::at(root.clone()).unwrap();
        let progress = Progress::quiet();
        let key = Key::default().with("one");
        let failed = cache.ensure("thing", &key, &progress, |folder| {
            fs::write(folder.join("half"), "")?;
            bail!("no space")
        });
        assert_eq!(format!("{:#}", failed.unwrap_err()), "cannot make the lab's `thing`: no space");
        let made = cache
            .ensure("thing", &key, &progress, |folder| Ok(fs::write(folder.join("whole"), "")?))
            .unwrap();
        assert!(made.join("whole").exists() && !made.join("half").exists());
        let found = cache.ensure("thing", &key, &progress, |_| bail!("built twice")).unwrap();
        assert_eq!(made, found);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_oldest_go_and_what_is_held_stays() {
        let root = std::env::temp_dir().join(format!("windlass-lab-prune-{}", std::process::id()));
        let cache = Cache::at(root.clone()).unwrap();
        let make = |part: &str| {
            let key = Key::default().with(part);
            cache.ensure("thing", &key, &Progress::quiet(), |_| Ok(())).unwrap()
        };
        let held = make("held");
        let _hold = cache.hold(&held).unwrap();
        let (old, new) = (make("old"), make("new"));
        cache.prune("thing", 1, &new).unwrap();
        assert_eq!([held.exists(), old.exists(), new.exists()], [true, false, true]);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn parts_of_a_key_do_not_run_together() {
        assert_ne!(
            Key::default().with("ab").with("c").hex(),
            Key::default().with("a").with("bc").hex()
        );
    }
}
