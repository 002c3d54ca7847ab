//! What a run has to do: each part of `bake.toml` against what is in the image already.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;

use super::description::{Archive, Binary, Description, Image, Members, Origin, Part};
use super::digest;
use super::fetch::Wanted;
use super::inventory::{Inventory, Kind, Listed};
use super::store;
use super::tree::Tree;
use crate::config::userdata::Sha256Hex;

/// How programs are installed.
pub const MODE: u32 = 0o755;

/// A run's work.
#[derive(Debug, Default)]
pub struct Plan {
    pub binaries: Vec<Step<Binary>>,
    pub archives: Vec<Step<Archive>>,
    pub images: Vec<Step<Image>>,
}

/// One part.
#[derive(Clone, Debug)]
pub struct Step<T> {
    pub what: T,
    pub wanted: Wanted,
    /// What an earlier run noted of it, when all of that is still so: then nothing is to be done.
    pub there: Option<Listed>,
}

impl Plan {
    /// Looks at the image.
    pub fn new(
        description: &Description,
        tree: &Tree,
        before: Option<&Inventory>,
    ) -> anyhow::Result<Self> {
        let mut plan = Self::default();
        let own = own(description)?;
        for binary in description.binaries.iter().chain(&own) {
            let wanted = Wanted::of(&binary.part)?;
            let there = is_installed(tree, &binary.to, &wanted.digested.sha256).then(|| {
                let mut listed = Listed::new(Kind::Binary, &binary.part, &wanted.digested);
                listed.files.insert(binary.to.clone(), wanted.digested.sha256.clone());
                listed
            });
            plan.binaries.push(Step { what: binary.clone(), wanted, there });
        }
        for archive in &description.archives {
            let wanted = Wanted::of(&archive.part)?;
            let listed = listed(before, Kind::Archive, &archive.part, &wanted);
            let there = listed.filter(|listed| has_members(tree, listed, &archive.members));
            plan.archives.push(Step { what: archive.clone(), wanted, there });
        }
        for image in &description.images {
            let wanted = Wanted::of(&image.part)?;
            let listed = listed(before, Kind::Image, &image.part, &wanted);
            let images = before.map(|before| &before.images);
            let there = listed.filter(|listed| {
                let digests = listed.images.iter().map(|name| images.and_then(|all| all.get(name)));
                !listed.images.is_empty()
                    && digests
                        .into_iter()
                        .all(|digest| digest.is_some_and(|digest| store::has(tree, digest)))
            });
            plan.images.push(Step { what: image.clone(), wanted, there });
        }
        Ok(plan)
    }

    /// What is to be fetched, each contents once.
    pub fn missing(&self) -> Vec<&Wanted> {
        let binaries = self.binaries.iter().filter(|step| step.there.is_none());
        let archives = self.archives.iter().filter(|step| step.there.is_none());
        let images = self.images.iter().filter(|step| step.there.is_none());
        let all = (binaries.map(|step| &step.wanted))
            .chain(archives.map(|step| &step.wanted))
            .chain(images.map(|step| &step.wanted));
        let mut seen = BTreeSet::new();
        all.filter(|wanted| seen.insert(&wanted.digested.sha256)).collect()
    }
}

/// Windlass itself, which is in every image: this very program, if no other is described.
fn own(description: &Description) -> anyhow::Result<Option<Binary>> {
    if description.binaries.iter().any(|binary| binary.part.name == "windlass") {
        return Ok(None);
    }
    let this = std::env::current_exe().context("where this program's file is")?;
    let part = Part {
        name: "windlass".to_owned(),
        from: Origin::File(this),
        sha256: None,
        size_bytes: None,
        version: Some(concat!("v", env!("CARGO_PKG_VERSION")).to_owned()),
        licence: Some(env!("CARGO_PKG_LICENSE").to_owned()),
    };
    Ok(Some(Binary { part, to: Path::new(super::places::PROGRAMS).join("windlass") }))
}

/// What an earlier run noted of the same contents. What `bake.toml` says of them otherwise counts.
fn listed(before: Option<&Inventory>, kind: Kind, part: &Part, wanted: &Wanted) -> Option<Listed> {
    let listed = before?.listed(kind, &part.name)?;
    let same = listed.sha256 == wanted.digested.sha256;
    let now = Listed::new(kind, part, &wanted.digested);
    same.then(|| Listed {
        members: listed.members.clone(),
        files: listed.files.clone(),
        images: listed.images.clone(),
        ..now
    })
}

/// Whether the image has of an archive what is asked for now: by the same selection, all of it.
fn has_members(tree: &Tree, listed: &Listed, members: &Members) -> bool {
    listed.members.as_ref() == members.listed()
        && !listed.files.is_empty()
        && listed.files.iter().all(|(to, sha256)| is_installed(tree, to, sha256))
}

/// Whether a program is there as it would be installed.
pub fn is_installed(tree: &Tree, to: &Path, sha256: &Sha256Hex) -> bool {
    let same = || digest::of_file(&tree.place(to)).is_ok_and(|found| found.sha256 == *sha256);
    is_program(tree, to) && same()
}

/// Whether a file, and no link, is there that may be run as a program that is installed.
pub fn is_program(tree: &Tree, to: &Path) -> bool {
    let metadata = fs::symlink_metadata(tree.place(to));
    metadata.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o7777 == MODE)
}
