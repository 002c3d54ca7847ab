//! What is on a device, asked of `blkid` by low-level probing: of the device itself, not of a cache.
//!
//! Source: blkid(8).

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::bail;
use nix::libc::{EBUSY, O_EXCL};

use super::run::output;
use super::{LABEL, UNFINISHED};
use crate::host::Machine;

/// What is on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing at all.
    Blank,
    /// A file system that we made.
    Ours(FileSystem),
    /// One that we began to make. Nothing was ever put into it.
    Unfinished,
    /// A part of an array that we made.
    Member {
        /// The array's UUID.
        array: String,
        /// The array's device, where the kernel has put it together: `md127`.
        assembled: Option<String>,
    },
    /// Anything else; as a sentence goes on after the disk's name.
    Foreign(String),
    /// It cannot be looked at now.
    Unknown(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileSystem {
    Ext4,
    Xfs,
}

impl FileSystem {
    /// As the kernel and `mkfs` call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }
}

/// As much at each end of a device as whatever is on it begins or ends with.
const END_BYTES: usize = 1 << 20;

/// Looks at a device that is not mounted; `holders` is what is made of it.
pub(super) async fn device(
    machine: &Machine,
    path: &str,
    holders: &[String],
) -> anyhow::Result<Content> {
    let open = OpenOptions::new().read(true).custom_flags(O_EXCL).open(machine.path(path));
    match open {
        // A part of an array has its holder. Else a program has it, maybe one that is about to make an array.
        Err(error) if error.raw_os_error() == Some(EBUSY) && holders.is_empty() => {
            return Ok(Content::Unknown("is in use".to_owned()));
        }
        Err(error) if error.raw_os_error() == Some(EBUSY) => {}
        // blkid says of a device that it cannot read what it says of an empty one.
        opened => {
            if let Err(error) = opened.and_then(|device| ends(&device)) {
                return Ok(Content::Unknown(format!("cannot be read: {error}")));
            }
        }
    }
    let probed = output("blkid", &["-p", "-o", "export", path]).await?;
    let said = String::from_utf8_lossy(&probed.stderr);
    match probed.status.code() {
        Some(0) => Ok(content(&String::from_utf8_lossy(&probed.stdout), holders)),
        Some(2) if said.trim().is_empty() => Ok(match holders {
            [] => Content::Blank,
            _ => Content::Foreign(format!("is a part of {}", holders.join(", "))),
        }),
        Some(8) => Ok(Content::Foreign("has traces of more than one file system".to_owned())),
        _ => bail!("`blkid -p {path}` failed ({}): {}", probed.status, said.trim()),
    }
}

/// What blkid takes for blank may have data all the same: encrypted, or of a program that writes to it without
/// a file system. What was never written to reads as zeros.
pub(super) fn unsigned(machine: &Machine, path: &str) -> Content {
    match File::open(machine.path(path)).and_then(|device| ends(&device)) {
        Ok(ends) if ends.iter().flatten().all(|byte| *byte == 0) => Content::Blank,
        Ok(_) => Content::Foreign("has data that blkid does not know".to_owned()),
        Err(error) => Content::Unknown(format!("cannot be read: {error}")),
    }
}

fn ends(mut device: &File) -> io::Result<[Vec<u8>; 2]> {
    let size = device.seek(SeekFrom::End(0))?;
    if size < END_BYTES as u64 {
        return Err(io::Error::other(format!("it has {size} bytes")));
    }
    let mut read = |from| {
        let mut bytes = vec![0; END_BYTES];
        device.seek(from)?;
        device.read_exact(&mut bytes).map(|()| bytes)
    };
    Ok([read(SeekFrom::Start(0))?, read(SeekFrom::End(-(END_BYTES as i64)))?])
}

/// `said` is lines of `KEY=VALUE`, in which special characters have a backslash before them.
fn content(said: &str, holders: &[String]) -> Content {
    let found: BTreeMap<&str, String> = said
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key, value.replace('\\', "")))
        .collect();
    let value = |key: &str| found.get(key).map(String::as_str);
    let ours = value("LABEL") == Some(LABEL);
    // mdadm puts the name of the array's host before its own: that of ours is `any`.
    let our_array = value("LABEL").and_then(|it| it.strip_prefix("any:")) == Some(LABEL);
    match (value("TYPE"), holders) {
        (Some("linux_raid_member"), [] | [_]) if our_array => Content::Member {
            array: value("UUID").unwrap_or_default().to_owned(),
            assembled: holders.first().cloned(),
        },
        (Some("ext4" | "xfs"), []) if value("LABEL") == Some(UNFINISHED) => Content::Unfinished,
        (Some("ext4"), []) if ours => Content::Ours(FileSystem::Ext4),
        (Some("xfs"), []) if ours => Content::Ours(FileSystem::Xfs),
        (Some(kind), _) => Content::Foreign(match value("LABEL") {
            Some(label) => format!("has {kind} by the name `{label}`"),
            None => format!("has {kind}"),
        }),
        (None, _) => Content::Foreign(match value("PTTYPE") {
            Some(table) => format!("has a partition table ({table})"),
            None => "has something on it".to_owned(),
        }),
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("is empty"),
            Self::Ours(kind) => write!(f, "has {} of windlass'", kind.name()),
            Self::Unfinished => f.write_str("has a file system of windlass' that is not finished"),
            Self::Member { array, .. } => write!(f, "is a part of windlass' array {array}"),
            Self::Foreign(what) | Self::Unknown(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_blkid_says_is_ours_only_by_kind_and_name() {
        let foreign = |what: &str| Content::Foreign(what.to_owned());
        let member = |assembled: Option<&str>| Content::Member {
            array: "a-b".to_owned(),
            assembled: assembled.map(str::to_owned),
        };
        let raid = "DEVNAME=/dev/nvme1n1\nUUID=a-b\nLABEL=any:windlass\nTYPE=linux_raid_member\n";
        for (said, holders, wanted) in [
            ("LABEL=windlass\nTYPE=ext4\n", &[][..], Content::Ours(FileSystem::Ext4)),
            ("TYPE=xfs\nLABEL=windlass\n", &[], Content::Ours(FileSystem::Xfs)),
            ("TYPE=xfs\nLABEL=windlass-new\n", &[], Content::Unfinished),
            ("LABEL=windlass\nTYPE=vfat\n", &[], foreign("has vfat by the name `windlass`")),
            ("LABEL=my\\ data\nTYPE=ext4\n", &[], foreign("has ext4 by the name `my data`")),
            ("TYPE=ext4\n", &[], foreign("has ext4")),
            ("LABEL=windlass\nTYPE=ext4\n", &["dm-0"], foreign("has ext4 by the name `windlass`")),
            ("PTTYPE=gpt\n", &[], foreign("has a partition table (gpt)")),
            ("USAGE=other\n", &[], foreign("has something on it")),
            (raid, &[], member(None)),
            (raid, &["md127"], member(Some("md127"))),
            (
                "LABEL=host:data\nTYPE=linux_raid_member\n",
                &["md0"],
                foreign("has linux_raid_member by the name `host:data`"),
            ),
        ] {
            let holders: Vec<_> = holders.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(content(said, &holders), wanted, "{said} {holders:?}");
        }
    }
}
