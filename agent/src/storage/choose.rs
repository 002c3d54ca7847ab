//! Which disk it is, and what has to be made on it: a pure function of what was seen. Whatever is not
//! clear is refused with everything that was found.

use super::disks::{Disk, Kind};
use super::probe::{Content, FileSystem};
use crate::config::{InstanceStore, Storage};

/// What becomes of which disks, by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// It has our file system.
    Mount(String, FileSystem),
    /// Nothing is on it, or a file system of ours that was never finished.
    Format(String),
    /// They are an array of ours; `Some` where the kernel has put it together.
    Assemble { members: Vec<String>, array: String, assembled: Option<String> },
    /// They are to become an array.
    Create { members: Vec<String> },
}

/// What this machine was until now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    /// A node whose data was to be on such a disk.
    Same,
    /// A node whose group said something else. Its pods may have used the disks.
    Other,
}

const NEW_INSTANCE: &str = "hint: what a group's disks are for is decided when an instance is new: \
                            replace this one";

pub(super) fn choose(wanted: Storage, disks: &[Disk], before: Before) -> Result<Choice, String> {
    if disks.is_empty() {
        return Err(none(Kind::wanted(wanted)));
    }
    match wanted {
        Storage { volume: true, .. } => one_volume(disks, before),
        Storage { instance_store: InstanceStore::Raid0, .. } if disks.len() > 1 => array(disks),
        // An array of one disk would be that disk.
        _ => one_of(disks),
    }
}

/// Whether a choice, or that there is none, may be another in a moment.
pub(super) fn is_open(disks: &[Disk]) -> bool {
    disks.iter().any(|disk| matches!(disk.content, Content::Unknown(_)))
}

fn one_of(disks: &[Disk]) -> Result<Choice, String> {
    let ours = disks.iter().filter_map(|disk| match disk.content {
        Content::Ours(kind) => Some((&disk.name, kind)),
        _ => None,
    });
    match ours.collect::<Vec<_>>()[..] {
        [(name, kind)] => return Ok(Choice::Mount(name.clone(), kind)),
        [] => {}
        _ => {
            let why = "more than one disk has a file system of windlass', and which is in use cannot be told";
            return Err(refusal(why, disks, NEW_INSTANCE));
        }
    }
    if disks.iter().any(|disk| matches!(disk.content, Content::Member { .. })) {
        let why = "the disks are an array of windlass', wanted a disk alone";
        return Err(refusal(why, disks, NEW_INSTANCE));
    }
    if is_open(disks) {
        return Err(refusal(
            "what is on the disks is not known",
            disks,
            "hint: it is looked again",
        ));
    }
    let free = [Content::Unfinished, Content::Blank]
        .iter()
        .find_map(|wanted| disks.iter().find(|disk| disk.content == *wanted));
    let disk = free.ok_or_else(|| {
        let hint = "hint: only a disk with nothing at all on it is formatted: whoever put that there has \
                    to leave it out, or to write zeros over it (`blkdiscard --zeroout`)";
        refusal("no disk is empty", disks, hint)
    })?;
    Ok(Choice::Format(disk.name.clone()))
}

/// The volume that is ours is known among those of pods; one that is not made yet might be a pod's.
fn one_volume(disks: &[Disk], before: Before) -> Result<Choice, String> {
    let ours = disks.iter().any(|disk| matches!(disk.content, Content::Ours(_)));
    if !ours && disks.len() > 1 {
        let why = format!("there are {} EBS volumes beside the root's, wanted one", disks.len());
        let hint = "hint: which one it would be is not guessed: leave the others out of the launch \
                    template";
        return Err(refusal(&why, disks, hint));
    }
    if !ours && before != Before::Nothing {
        let why = "this machine was a node, and a volume of windlass' is not there: another may be a pod's";
        return Err(refusal(why, disks, NEW_INSTANCE));
    }
    one_of(disks)
}

fn array(disks: &[Disk]) -> Result<Choice, String> {
    let members: Vec<_> = disks.iter().map(|disk| disk.name.clone()).collect();
    if disks.iter().all(|disk| disk.content == Content::Blank) {
        return Ok(Choice::Create { members });
    }
    let parts = disks.iter().map(|disk| match &disk.content {
        Content::Member { array, assembled } => Some((array, assembled.as_ref())),
        _ => None,
    });
    match parts.collect::<Option<Vec<_>>>().as_deref() {
        Some(parts) if parts.iter().all(|(array, _)| *array == parts[0].0) => {
            // Some may be in it already while udev puts it together.
            let assembled = parts.iter().find_map(|(_, assembled)| *assembled).cloned();
            Ok(Choice::Assemble { members, array: parts[0].0.clone(), assembled })
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

fn refusal(why: &str, disks: &[Disk], hint: &str) -> String {
    let found: Vec<_> = disks.iter().map(ToString::to_string).collect();
    format!("{why}: {}\n{hint}", found.join("; "))
}

#[cfg(test)]
mod tests;
