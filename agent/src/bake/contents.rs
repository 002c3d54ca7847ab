//! The programs of an image: which file each place gets, whether all of them go together.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};

use super::archive;
use super::elf::Program;
use super::inventory::{Inventory, Kind, Listed};
use super::places;
use super::plan::{MODE, Plan, is_installed};
use super::staging::Staging;
use super::tree::Tree;
use crate::converge::files::replace;

/// Everything but images, verified and staged.
#[derive(Debug)]
pub struct Contents {
    /// As image.json lists them.
    pub listed: Vec<Listed>,
    /// Place in the image → staged file, for what is not there yet.
    install: BTreeMap<PathBuf, PathBuf>,
}

impl Contents {
    /// Unpacks what came as archives and looks at every program.
    ///
    /// # Errors
    ///
    /// An archive is not what it should be, a program is for another architecture, or two parts
    /// want the same place.
    pub fn stage(tree: &Tree, staging: &Staging, plan: &Plan) -> anyhow::Result<Self> {
        let mut contents = Self { listed: Vec::new(), install: BTreeMap::new() };
        for step in &plan.binaries {
            let listed = step.there.clone().unwrap_or_else(|| {
                let digested = &step.wanted.digested;
                let mut listed = Listed::new(Kind::Binary, &step.what.part, digested);
                listed.files.insert(step.what.to.clone(), digested.sha256.clone());
                listed
            });
            contents.add(staging, listed, step.there.is_none())?;
        }
        for step in &plan.archives {
            let listed = match &step.there {
                Some(listed) => listed.clone(),
                None => {
                    let (part, digested) = (&step.what.part, &step.wanted.digested);
                    let path = staging.complete(&digested.sha256);
                    let taken = archive::unpack(staging, &part.name, &path, &step.what.members)?;
                    let mut listed = Listed::new(Kind::Archive, part, digested);
                    listed.members = step.what.members.listed().cloned();
                    listed.files =
                        taken.into_iter().map(|one| (one.to, one.digested.sha256)).collect();
                    listed
                }
            };
            contents.add(staging, listed, step.there.is_none())?;
        }
        for (to, staged) in &contents.install {
            ensure_runs(tree, to, staged)?;
        }
        Ok(contents)
    }

    fn add(&mut self, staging: &Staging, listed: Listed, install: bool) -> anyhow::Result<()> {
        for (to, sha256) in &listed.files {
            if let Some(first) = self.owner(to) {
                bail!(
                    "`{first}` and `{}` both bring {}: two versions of one program\nhint: leave \
                     one out, or name the `members` to take",
                    listed.name,
                    to.display()
                );
            }
            if install {
                self.install.insert(to.clone(), staging.complete(sha256));
            }
        }
        self.listed.push(listed);
        Ok(())
    }

    fn owner(&self, to: &Path) -> Option<&str> {
        let owner = self.listed.iter().find(|listed| listed.files.contains_key(to))?;
        Some(&owner.name)
    }

    /// A program of the image as it will be, or as it is already.
    pub fn program(&self, tree: &Tree, name: &str) -> anyhow::Result<PathBuf> {
        let ours = Path::new(places::PROGRAMS).join(name);
        if let Some(staged) = self.install.get(&ours) {
            make_executable(staged)?;
            return Ok(staged.clone());
        }
        let there = [ours, Path::new("/usr/bin").join(name)].map(|path| tree.path(path));
        there.into_iter().find(|path| path.is_file()).ok_or_else(|| {
            anyhow!(
                "images are loaded by the image's own containerd, and it has no `{name}`\nhint: \
                 containerd's release has it"
            )
        })
    }

    /// Puts every program in its place, each by one rename, and says which.
    pub fn install(&self, tree: &Tree) -> anyhow::Result<Vec<String>> {
        for (to, staged) in &self.install {
            make_executable(staged)?;
            let place = tree.place(to);
            // A link to the staged file costs no copy; one file may be wanted in two places. What is
            // on another file system has no link to it.
            replace(&place, |beside| {
                fs::hard_link(staged, beside).or_else(|_| {
                    fs::copy(staged, beside)?;
                    File::open(beside)?.sync_all()
                })
            })?;
        }
        Ok(self.install.keys().map(|to| to.display().to_string()).collect())
    }

    /// Removes what an earlier bake put there and this one would not, and says what. A file that
    /// lies elsewhere, or that is no longer what was put there, is somebody else's.
    pub fn remove_former(&self, tree: &Tree, before: &Inventory) -> anyhow::Result<Vec<String>> {
        let mut removed = Vec::new();
        for (to, sha256) in before.files() {
            if self.owner(to).is_none() && places::is_in_one(to) && is_installed(tree, to, sha256) {
                let place = tree.place(to);
                fs::remove_file(&place).with_context(|| format!("removing {}", place.display()))?;
                removed.push(format!("removed {}", to.display()));
            }
        }
        Ok(removed)
    }
}

fn make_executable(path: &Path) -> anyhow::Result<()> {
    let changed = fs::set_permissions(path, fs::Permissions::from_mode(MODE));
    changed.with_context(|| format!("making {} executable", path.display()))
}

fn ensure_runs(tree: &Tree, to: &Path, staged: &Path) -> anyhow::Result<()> {
    let found = Program::of(staged).with_context(|| format!("reading {}", staged.display()))?;
    let hint = match found {
        Program::Packed(_) => "\nhint: take it unpacked: a file can be named instead of a URL",
        Program::Gzip => "\nhint: an archive is described under [[archive]]",
        Program::Unknown => "\nhint: is it the program itself, and not a page about it?",
        _ => "\nhint: take its release for the image's architecture",
    };
    ensure!(
        found.runs_on(tree.architecture),
        "what is to become {} is {found}, wanted a program for {}{hint}",
        to.display(),
        tree.architecture
    );
    let place = tree.place(to);
    ensure!(!place.is_dir(), "{} is a folder in the image, wanted a file or nothing", to.display());
    Ok(())
}
