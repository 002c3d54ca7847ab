//! The program built twice: as it is, and from a copy of the source in another folder, into another
//! target folder, which is kept so that other crates are compiled there only when they change. Both
//! must be the same bytes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

use super::{Built, Folders, own_triple};
use crate::lab::artifacts::{Cache, Key, file_digest};
use crate::lab::progress::Progress;
use crate::lab::run::{command, output};

/// In a target folder: what the other crates in it were built of.
const WARM: &str = "windlass-dependencies";

/// They decide what other crates are compiled, and how.
const INPUTS: [&str; 5] =
    ["Cargo.lock", "Cargo.toml", "agent/Cargo.toml", ".cargo/config.toml", "rust-toolchain.toml"];

/// Not part of the source.
const LEFT_OUT: [&str; 2] = [".git", "target"];

/// The program, and the SHA-256 that both builds have.
#[derive(Clone, Debug)]
pub struct Twice {
    pub built: Built,
    pub digest: String,
}

/// Builds it twice; `clean`: with all that it depends on.
///
/// Compiling aws-sdk-ec2 takes up to 9 GB of memory. So the builds run side by side only where other
/// crates are there already, and one after the other where one may have to compile them.
pub fn twice(cache: &Cache, progress: &Progress, clean: bool) -> Result<Twice> {
    let _lock = cache.lock("twice", progress)?;
    let first = Folders::own()?;
    let folder = cache.root().join("twice");
    let second = first.moved(folder.join("source"), folder.join("target"));
    copy(&first.source, &second.source)?;
    if clean {
        progress.say("twice", "removing what was built before");
        // `cargo clean --release` leaves what was built for a target that is named.
        remove(&first.target.join(own_triple()).join("release"))?;
        remove(&first.target.join("release"))?;
        remove(&second.target)?;
    }
    let (one, other) = if first.is_warm()? && second.is_warm()? {
        progress.say("twice", "building the program in two folders, side by side");
        std::thread::scope(|scope| {
            let other = scope.spawn(|| second.build());
            let one = first.build();
            (one, other.join().map_err(|_| anyhow!("the thread of the second build panicked")))
        })
    } else {
        progress.say("twice", "building the program and its crates in two folders, in turn");
        let one = first.build()?;
        (Ok(one), Ok(second.build()))
    };
    let (one, other) = (one?, other??);
    first.keep_warm()?;
    second.keep_warm()?;
    ensure_same(&one.program, &other.program)?;
    remove(&second.source)?;
    let digest = file_digest(&one.program)?;
    Ok(Twice { built: one, digest })
}

/// The copy's files are new, so that cargo compiles them, whatever was built there before.
fn copy(from: &Path, to: &Path) -> Result<()> {
    remove(to)?;
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let entries = fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))?;
    let mut cp = command("cp", ["--recursive", "--no-dereference", "--target-directory"]);
    cp.arg(to);
    for entry in entries {
        let entry = entry?;
        if !LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
            cp.arg(entry.path());
        }
    }
    output(&mut cp).map(drop)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if folder.exists() => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

impl Folders {
    /// Whether the target folder has all other crates.
    fn is_warm(&self) -> Result<bool> {
        let found = fs::read_to_string(self.target.join(WARM)).unwrap_or_default();
        Ok(found == self.key()?)
    }

    fn keep_warm(&self) -> Result<()> {
        let path = self.target.join(WARM);
        fs::write(&path, self.key()?).with_context(|| format!("cannot write {}", path.display()))
    }

    fn key(&self) -> Result<String> {
        let mut key = Key::default().with(self.renamed().join("\n"));
        for input in INPUTS {
            let path = self.source.join(input);
            let text =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            key = key.with(text);
        }
        Ok(key.hex())
    }
}

fn ensure_same(one: &Path, other: &Path) -> Result<()> {
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let (a, b) = (read(one)?, read(other)?);
    let differing = a.iter().zip(&b).filter(|(a, b)| a != b).count();
    let first = a.iter().zip(&b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
    if a != b {
        bail!(
            "two builds of one source differ: {} has {} bytes, {} has {}; the first that differs is \
             {first:#x}, and {differing} do in all\n\
             hint: `readelf --sections` says which section that is; `strings` of both, compared, \
             often says why",
            one.display(),
            a.len(),
            other.display(),
            b.len()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_differ_are_said_to_and_where() {
        let folder = std::env::temp_dir().join(format!("windlass-twice-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let (one, same) = (write("one", b"abcdef"), write("same", b"abcdef"));
        let (other, longer) = (write("other", b"abCdeF"), write("longer", b"abcdefg"));
        ensure_same(&one, &same).unwrap();
        let error = ensure_same(&one, &other).unwrap_err().to_string();
        assert!(error.contains("the first that differs is 0x2, and 2 do in all"), "{error}");
        let error = ensure_same(&one, &longer).unwrap_err().to_string();
        assert!(error.contains("has 6 bytes") && error.contains("is 0x6, and 0 do"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_copy_has_the_source_and_nothing_that_was_built_or_left_there_before() {
        let folder = std::env::temp_dir().join(format!("windlass-copy-{}", std::process::id()));
        let (from, to) = (folder.join("from"), folder.join("to"));
        for path in ["from/agent/src", "from/target/debug", "from/.git", "from/.cargo", "to/old"] {
            fs::create_dir_all(folder.join(path)).unwrap();
        }
        fs::write(from.join("agent/src/main.rs"), "fn main() {}").unwrap();
        copy(&from, &to).unwrap();
        let there = |path: &str| to.join(path).exists();
        assert!(there("agent/src/main.rs") && there(".cargo"));
        assert!(!there("target") && !there(".git") && !there("old"));
        fs::remove_dir_all(folder).unwrap();
    }
}
