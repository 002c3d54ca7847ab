//! containerd's store with the images in it, so that a boot pulls and imports nothing.
//!
//! It is filled beside its place and put there whole: a bake that fails leaves the store that was
//! there. What kubelet's image collection must never take is pinned.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, anyhow, bail, ensure};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use tokio::process::Command;

use super::daemon::Daemon;
use super::elf::Architecture;
use super::names::Named;
use super::staging::Staging;
use super::tree::Tree;

/// Where `containerd.service` has it.
pub const STORE: &str = "/var/lib/containerd";

/// The store in the making: on the same file system as its place.
const BESIDE: &str = "/var/lib/.containerd.windlass";

/// containerd's database, which a running one keeps locked.
const DATABASE: &str = "io.containerd.metadata.v1.bolt/meta.db";

const BLOBS: &str = "io.containerd.content.v1.content/blobs/sha256";

/// Made by a containerd that is asked who it is; each machine's must be its own.
const IDENTITY: &str = "io.containerd.grpc.v1.introspection/uuid";

/// By it the CRI plugin knows an image as its own.
const MANAGED: &str = "io.cri-containerd.image=managed";

/// By it kubelet knows an image that it must not collect.
const PINNED: &str = "io.cri-containerd.pinned=pinned";

/// An archive to import.
pub struct Import {
    /// As bake.toml calls it.
    pub name: String,
    pub path: PathBuf,
}

/// A store that is complete but not yet in its place.
pub struct Staged {
    beside: PathBuf,
    /// Name → digest, of all images in the store.
    pub images: BTreeMap<String, String>,
    /// The images that each archive has, whether the store had them before or not.
    pub of_archive: BTreeMap<String, Vec<String>>,
}

/// Whether the store has what an image's name stands for.
pub fn has(tree: &Tree, digest: &str) -> bool {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    tree.path(STORE).join(BLOBS).join(hex).is_file()
}

/// Imports the archives into a copy of the image's store, by the programs given.
pub async fn stage(
    tree: &Tree,
    containerd: &Path,
    ctr: &Path,
    archives: &[Import],
    sandbox: &str,
) -> anyhow::Result<Staged> {
    let own = Architecture::own();
    ensure!(
        own == Some(tree.architecture),
        "images are loaded by the image's own containerd, which is for {} and cannot run here ({})\n\
         hint: bake on an instance of that architecture, as Packer does",
        tree.architecture,
        std::env::consts::ARCH
    );
    forget_unfinished(tree)?;
    let beside = tree.place(BESIDE);
    let parent = beside.parent().unwrap_or(tree.root());
    fs::create_dir_all(parent).map_err(|error| super::staging::failed("making", parent, error))?;
    copy(tree, &beside).await?;
    let filled = fill(containerd, ctr, &beside, archives, sandbox).await;
    if filled.is_err() {
        let _ = fs::remove_dir_all(&beside);
    }
    let (images, of_archive) = filled?;
    let identity = fs::remove_file(beside.join(IDENTITY));
    if let Err(error) = identity
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error).context("removing what containerd calls itself by");
    }
    Ok(Staged { beside, images, of_archive })
}

type Filled = (BTreeMap<String, String>, BTreeMap<String, Vec<String>>);

async fn fill(
    containerd: &Path,
    ctr: &Path,
    beside: &Path,
    archives: &[Import],
    sandbox: &str,
) -> anyhow::Result<Filled> {
    let daemon = Daemon::start(containerd, ctr, beside).await?;
    let mut of_archive: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut images = listed(&daemon).await?;
    for archive in archives {
        // One that is packed in another way is containerd's to read; what it changes is seen.
        let named = Named::read(&archive.path).unwrap_or_default();
        let path = archive.path.display().to_string();
        let imported = daemon.ctr(&["images", "import", &path]).await;
        imported.with_context(|| format!("loading the images of `{}`", archive.name))?;
        let after = listed(&daemon).await?;
        let of_others = of_archive.values().flatten();
        let brought = brought(&archive.name, &named, &images, &after, of_others)?;
        ensure!(!brought.is_empty(), "the archive `{}` brought no image by name", archive.name);
        of_archive.insert(archive.name.clone(), brought);
        images = after;
    }
    for name in of_archive.values().flatten() {
        daemon.ctr(&["images", "label", name, MANAGED]).await?;
        if name == sandbox {
            daemon.ctr(&["images", "label", name, MANAGED, PINNED]).await?;
        }
    }
    // What was unpacked is not needed twice: as `discard_unpacked_layers` does after a pull.
    daemon.ctr(&["content", "prune", "references"]).await?;
    daemon.end().await?;
    Ok((images, of_archive))
}

/// Name → digest of every image. The columns of `ctr images list` are REF, TYPE, DIGEST, …
async fn listed(daemon: &Daemon<'_>) -> anyhow::Result<BTreeMap<String, String>> {
    let text = daemon.ctr(&["images", "list"]).await?;
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.nth(1)?.to_owned()))
    };
    Ok(text.lines().skip(1).filter_map(row).collect())
}

/// The names that an import added or changed, and those of the archive that were there before: of a
/// bake that was interrupted, of the base image, of the same archive by another name.
fn brought<'a>(
    archive: &str,
    named: &Named,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
    of_others: impl Iterator<Item = &'a String>,
) -> anyhow::Result<Vec<String>> {
    let of_others: BTreeSet<&String> = of_others.collect();
    let mut brought = Vec::new();
    for (name, digest) in after {
        let changed = before.get(name) != Some(digest);
        if changed && of_others.contains(name) {
            bail!(
                "the archive `{archive}` has another `{name}` than one before it: two versions of one image"
            );
        }
        if changed || named.has(name, digest) {
            brought.push(name.clone());
        }
    }
    Ok(brought)
}

/// A copy in which an import changes nothing of the original: files are links, since containerd
/// never writes to a blob or a layer that is there, but databases are written in place.
async fn copy(tree: &Tree, beside: &Path) -> anyhow::Result<()> {
    let store = tree.path(STORE);
    if !store.join(DATABASE).is_file() {
        let made = DirBuilder::new().mode(0o700).create(beside);
        return made.map_err(|error| super::staging::failed("making", beside, error));
    }
    ensure_idle(&store)?;
    run_cp(&["--archive", "--link"], &store, beside).await?;
    for database in [DATABASE, "io.containerd.snapshotter.v1.overlayfs/metadata.db"] {
        let (from, to) = (store.join(database), beside.join(database));
        if from.is_file() {
            remove(&to)?;
            run_cp(&["--archive"], &from, &to).await?;
        }
    }
    Ok(())
}

/// bbolt locks its file by flock(2) for as long as it is open.
fn ensure_idle(store: &Path) -> anyhow::Result<()> {
    let database = File::open(store.join(DATABASE));
    let database = database.with_context(|| format!("reading {}", store.display()))?;
    database.try_lock().map_err(|_| {
        anyhow!(
            "a containerd runs on {}, and images are to be added to it\nhint: `systemctl stop \
             containerd` before",
            store.display()
        )
    })
}

/// `cp` keeps owners, times and extended attributes, by which overlayfs knows what was deleted.
async fn run_cp(options: &[&str], from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut cp = Command::new("cp");
    let output = cp.args(options).arg("--no-target-directory").arg(from).arg(to);
    let output = output.stdin(Stdio::null()).output().await.context("running cp")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "copying {}: {}", from.display(), said.trim());
    Ok(())
}

impl Staged {
    /// Puts the store in its place at one stroke. The one that was there goes with `staging`.
    pub fn install(&self, tree: &Tree, staging: &Staging) -> anyhow::Result<()> {
        let store = tree.path(STORE);
        let installed = match fs::create_dir_all(&store) {
            Ok(()) => {
                renameat2(AT_FDCWD, &self.beside, AT_FDCWD, &store, RenameFlags::RENAME_EXCHANGE)
            }
            Err(error) => return Err(super::staging::failed("making", &store, error)),
        };
        installed.map_err(|error| {
            anyhow!(
                "putting containerd's store to {}: {error}\nhint: it cannot be a mount point while \
                 an image is baked",
                store.display()
            )
        })?;
        let old = staging.path("containerd.old");
        fs::rename(&self.beside, &old)
            .or_else(|_| fs::remove_dir_all(&self.beside))
            .with_context(|| format!("removing {}", self.beside.display()))
    }
}

/// What a run left that was killed.
pub fn forget_unfinished(tree: &Tree) -> anyhow::Result<()> {
    remove(&tree.place(BESIDE))
}

fn remove(path: &Path) -> anyhow::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => return Ok(()),
    };
    removed.with_context(|| format!("removing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::bare;
    use super::*;

    fn images(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        of.iter().map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned())).collect()
    }

    #[test]
    fn an_archive_brought_what_is_new_or_another_and_not_what_another_archive_brought() {
        let before = images(&[("a:1", "sha256:1"), ("b:1", "sha256:2")]);
        let after = images(&[("a:1", "sha256:9"), ("b:1", "sha256:2"), ("c:1", "sha256:3")]);
        let none = Vec::new();
        let unknown = Named::default();
        let new = brought("one", &unknown, &before, &after, none.iter()).expect("new ones");
        assert_eq!(new, ["a:1", "c:1"]);
        let others = ["a:1".to_owned()];
        let error = brought("two", &unknown, &before, &after, others.iter()).expect_err("twice");
        assert_eq!(
            error.to_string(),
            "the archive `two` has another `a:1` than one before it: two versions of one image"
        );
    }

    #[test]
    fn an_archive_brought_what_the_store_had_before() {
        let (_scratch, tree) = bare("store-again");
        let index = br#"{"manifests": [{"digest": "sha256:1",
            "annotations": {"io.containerd.image.name": "a:1"}}]}"#;
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(index.len() as u64);
        builder.append_data(&mut header, "index.json", &index[..]).expect("appended");
        let path = tree.root().join("archive");
        fs::write(&path, builder.into_inner().expect("a tar")).expect("written");
        let named = Named::read(&path).expect("an archive");
        let there = images(&[("a:1", "sha256:1"), ("b:1", "sha256:2")]);
        // Another archive may have the very same image.
        let others = ["a:1".to_owned()];
        let found = brought("again", &named, &there, &there, others.iter()).expect("no other");
        assert_eq!(found, ["a:1"]);
    }
}
