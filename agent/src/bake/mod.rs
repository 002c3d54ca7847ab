//! What an image needs so that a boot installs nothing: programs, units, kernel settings,
//! containerd's configuration, images. All in conventional places, none of it about a cluster or a
//! machine.
//!
//! Everything is fetched, verified and unpacked beside before the first file of the image changes;
//! then each is put in its place by a rename. A run that is interrupted is finished by the next.

mod archive;
pub mod check;
mod containerd;
mod contents;
mod daemon;
mod description;
mod digest;
mod download;
mod elf;
mod fetch;
mod gpu;
mod inventory;
mod names;
mod places;
mod plan;
mod progress;
mod reading;
mod rules;
mod sbom;
mod seal;
mod settings;
mod space;
mod staging;
mod store;
mod tree;
mod units;

use std::fs;
use std::path::Path;

use anyhow::Context;

pub use description::Description;
pub use download::Patience;
pub use elf::Architecture;
pub use inventory::Inventory;
pub use tree::Tree;

use contents::Contents;
use inventory::{Kind, Listed};
use plan::Plan;
use staging::Staging;
use store::{Import, Staged};

use crate::converge::files::ensure_absent;
use crate::converge::{Changes, Ensured, ensure_file, ensure_symlink};
use crate::dependencies;
use crate::facts::observe::IMAGE;
use crate::plan::image::NVIDIA_FRAGMENT;

/// How to bake.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub patience: Patience,
    /// Leave what makes a machine itself and lets people in: for trying on a machine in use.
    pub keep_identity: bool,
}

/// Puts all that `description` names into the image, and takes out what must not be in one.
pub async fn bake(
    tree: &Tree,
    description: &Description,
    options: &Options,
) -> anyhow::Result<Changes> {
    let created = sbom::created()?;
    // Of another windlass than this one nobody here knows what it was built of.
    let is_own = !description.binaries.iter().any(|binary| binary.part.name == "windlass");
    let crates = if is_own { dependencies::own()? } else { Vec::new() };
    if !options.keep_identity {
        seal::ensure_possible(tree)?;
    }
    let before = Inventory::read(tree).unwrap_or_else(|error| {
        // What is there is found out anew, and image.json written anew.
        tracing::warn!("{error:#}; baking as if there were none");
        None
    });
    let plan = Plan::new(description, tree, before.as_ref())?;
    let staging = Staging::open(tree)?;
    let staged = stage(tree, &staging, description, &plan, options).await;
    if staged.as_ref().is_err_and(staging::is_for_space) {
        // A full disk helps nobody, the next run least of all.
        staging.clone().remove()?;
    }
    let (contents, store) = staged?;

    // From here on the image changes.
    let mut changes = Changes(contents.install(tree)?);
    if let Some(before) = &before {
        changes.0.extend(contents.remove_former(tree, before)?);
    }
    if let Some(store) = &store {
        store.install(tree, &staging)?;
        changes.0.extend(store.of_archive.values().flatten().map(|name| format!("image {name}")));
    }
    put_units(tree, &mut changes)?;
    put_settings(tree, &mut changes, description)?;
    let inventory = inventory(tree, description, &plan, contents, store, before);
    let bill = sbom::document(&inventory, &crates, created)?;
    put(tree, &mut changes, sbom::PLACE, bill.as_bytes())?;
    put(tree, &mut changes, IMAGE, inventory.text()?.as_bytes())?;
    if !options.keep_identity {
        changes = changes.and(seal::seal(tree)?);
    }
    staging.remove()?;
    Ok(changes)
}

/// Everything that is missing, verified, beside its place.
async fn stage(
    tree: &Tree,
    staging: &Staging,
    description: &Description,
    plan: &Plan,
    options: &Options,
) -> anyhow::Result<(Contents, Option<Staged>)> {
    space::ensure_enough(tree, staging, plan)?;
    fetch::fetch(staging, &plan.missing(), options.patience).await?;
    let contents = Contents::stage(tree, staging, plan)?;
    let store = stage_images(tree, staging, description, plan, &contents).await?;
    Ok((contents, store))
}

/// The store with the images that it lacks, if any.
async fn stage_images(
    tree: &Tree,
    staging: &Staging,
    description: &Description,
    plan: &Plan,
    contents: &Contents,
) -> anyhow::Result<Option<Staged>> {
    let missing = plan.images.iter().filter(|step| step.there.is_none());
    let import = missing.map(|step| Import {
        name: step.what.part.name.clone(),
        path: staging.complete(&step.wanted.digested.sha256),
    });
    let import: Vec<_> = import.collect();
    if import.is_empty() {
        store::forget_unfinished(tree)?;
        return Ok(None);
    }
    let programs = ["containerd", "ctr"].map(|name| contents.program(tree, name));
    let [containerd, ctr] = programs;
    let sandbox = containerd::sandbox(&description.containerd);
    store::stage(tree, &containerd?, &ctr?, &import, sandbox).await.map(Some)
}

fn inventory(
    tree: &Tree,
    description: &Description,
    plan: &Plan,
    contents: Contents,
    store: Option<Staged>,
    before: Option<Inventory>,
) -> Inventory {
    let mut parts = contents.listed;
    for step in &plan.images {
        parts.push(step.there.clone().unwrap_or_else(|| {
            let part = &step.what.part;
            let brought = store.as_ref().and_then(|store| store.of_archive.get(&part.name));
            let listed = Listed::new(Kind::Image, part, &step.wanted.digested);
            Listed { images: brought.cloned().unwrap_or_default(), ..listed }
        }));
    }
    let provider =
        |listed: &Listed| listed.files.keys().any(|path| path.ends_with("ecr-credential-provider"));
    let images = match store {
        Some(store) => store.images,
        None => before.map(|before| before.images).unwrap_or_default(),
    };
    Inventory {
        kubelet_version: description.kubernetes.clone(),
        credential_provider: parts.iter().any(provider),
        architecture: tree.architecture.to_string(),
        windlass: env!("CARGO_PKG_VERSION").to_owned(),
        parts,
        images,
    }
}

fn put_units(tree: &Tree, changes: &mut Changes) -> anyhow::Result<()> {
    for (path, contents) in units::files() {
        put(tree, changes, &path, contents.as_bytes())?;
    }
    for (link, target) in units::links() {
        let ensured = ensure_symlink(&tree.machine(), tree.inner(&link), target)?;
        changes.add(ensured, || link.display().to_string());
    }
    Ok(())
}

fn put_settings(
    tree: &Tree,
    changes: &mut Changes,
    description: &Description,
) -> anyhow::Result<()> {
    for folder in settings::FOLDERS {
        let path = tree.path(folder);
        if !path.is_dir() {
            fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
            changes.add(Ensured::Changed, || folder.to_owned());
        }
    }
    for (path, contents) in settings::files(&description.containerd) {
        put(tree, changes, path, contents.as_bytes())?;
    }
    match gpu::fragment(tree) {
        Some(fragment) => put(tree, changes, NVIDIA_FRAGMENT, fragment.as_bytes()),
        None => {
            let ensured = ensure_absent(&tree.machine(), tree.inner(NVIDIA_FRAGMENT))?;
            changes.add(ensured, || format!("removed {NVIDIA_FRAGMENT}"));
            Ok(())
        }
    }
}

fn put(
    tree: &Tree,
    changes: &mut Changes,
    path: impl AsRef<Path>,
    contents: &[u8],
) -> anyhow::Result<()> {
    let path = path.as_ref();
    let ensured = ensure_file(&tree.machine(), tree.inner(path), 0o644, contents)?;
    changes.add(ensured, || path.display().to_string());
    Ok(())
}

#[cfg(test)]
mod tests;
