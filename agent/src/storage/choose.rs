//! Which disk it is, and what has to be made on it: a pure function of what was seen. Whatever is not
//! clear is refused with everything that was found.

use super::begun::Begun;
use super::disks::{Disk, Kind};
use super::probe::{Content, FileSystem};
use crate::config::{InstanceStore, Storage};

/// What becomes of which disks, by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// It has our file system.
    Mount(String, FileSystem),
    /// Nothing is on it, or half of what a run that was killed was about to make.
    Format(String),
    /// They are an array of ours; `Some` where the kernel has put it together.
    Assemble { members: Vec<String>, array: String, assembled: Option<String> },
    /// They are to become an array. Some may have half of what a run that was killed was about to make.
    Create { members: Vec<String> },
}

const NEW_INSTANCE: &str = "hint: what a group's disks are for is decided when an instance is new: \
                            replace this one";

pub(super) fn choose(wanted: Storage, disks: &[Disk], begun: &Begun) -> Result<Choice, String> {
    let disks: Vec<_> = disks.iter().map(|disk| (disk, state(disk, begun))).collect();
    if disks.is_empty() {
        return Err(none(Kind::wanted(wanted)));
    }
    match wanted {
        Storage { volume: true, .. } => one_volume(&disks),
        Storage { instance_store: InstanceStore::Raid0, .. } if disks.len() > 1 => array(&disks),
        // An array of one disk would be that disk.
        _ => one_of(&disks),
    }
}

/// A disk, and what is on it that counts.
type Judged<'a> = (&'a Disk, Content);

/// What we began to make there and did not end is as good as nothing. What others made is never ours,
/// whatever we had begun.
fn state(disk: &Disk, begun: &Begun) -> Content {
    match &disk.content {
        Content::Ours(_) | Content::Member { .. } if begun.has(&disk.serial) => Content::Blank,
        content => content.clone(),
    }
}

fn one_of(disks: &[Judged<'_>]) -> Result<Choice, String> {
    let ours = disks.iter().filter(|(_, content)| matches!(content, Content::Ours(_)));
    match ours.collect::<Vec<_>>()[..] {
        [(disk, Content::Ours(kind))] => return Ok(Choice::Mount(disk.name.clone(), *kind)),
        [] => {}
        _ => {
            let why = "more than one disk has a file system of windlass', and which is in use cannot be told";
            return Err(refusal(why, disks, NEW_INSTANCE));
        }
    }
    if disks.iter().any(|(_, content)| matches!(content, Content::Member { .. })) {
        let why = "the disks are an array of windlass', wanted a disk alone";
        return Err(refusal(why, disks, NEW_INSTANCE));
    }
    let blank = disks.iter().find(|(_, content)| *content == Content::Blank);
    let (disk, _) = blank.ok_or_else(|| {
        let hint = "hint: only a disk with nothing at all on it is formatted: whoever put that there has \
                    to leave it out, or to take it off (`wipefs --all`)";
        refusal("no disk is empty", disks, hint)
    })?;
    Ok(Choice::Format(disk.name.clone()))
}

/// On an instance that was a node before there may be volumes of pods; the one that is ours is known.
fn one_volume(disks: &[Judged<'_>]) -> Result<Choice, String> {
    let ours = disks.iter().any(|(_, content)| matches!(content, Content::Ours(_)));
    if disks.len() > 1 && !ours {
        let why = format!("there are {} EBS volumes beside the root's, wanted one", disks.len());
        let hint = "hint: which one it would be is not guessed: leave the others out of the launch \
                    template";
        return Err(refusal(&why, disks, hint));
    }
    one_of(disks)
}

fn array(disks: &[Judged<'_>]) -> Result<Choice, String> {
    let members: Vec<_> = disks.iter().map(|(disk, _)| disk.name.clone()).collect();
    if disks.iter().all(|(_, content)| *content == Content::Blank) {
        return Ok(Choice::Create { members });
    }
    let parts = disks.iter().map(|(_, content)| match content {
        Content::Member { array, assembled } => Some((array, assembled)),
        _ => None,
    });
    match parts.collect::<Option<Vec<_>>>().as_deref() {
        Some([(array, assembled), others @ ..])
            if others.iter().all(|other| *other == (*array, *assembled)) =>
        {
            let (array, assembled) = ((*array).clone(), (*assembled).clone());
            Ok(Choice::Assemble { members, array, assembled })
        }
        _ => {
            let why = "the disks are neither all empty nor all of one array of windlass'";
            Err(refusal(why, disks, NEW_INSTANCE))
        }
    }
}

fn none(kind: Kind) -> String {
    match kind {
        Kind::InstanceStore => {
            "the instance has no instance store\n\
             hint: launch a type that has one (`d` in its family's name), or leave \
             `storage.instance_store` out for this group"
        }
        Kind::Volume => {
            "the instance has no EBS volume beside the root's, wanted one\n\
             hint: add it to the launch template's block device mappings, or leave `storage.volume` \
             out for this group"
        }
    }
    .to_owned()
}

fn refusal(why: &str, disks: &[Judged<'_>], hint: &str) -> String {
    let found: Vec<_> = disks.iter().map(|(disk, _)| disk.to_string()).collect();
    format!("{why}: {}\n{hint}", found.join("; "))
}

#[cfg(test)]
mod tests;
