//! Makes what was chosen: a file system on a disk, or on an array of all of them.
//!
//! Sources: mkfs.xfs(8), mkfs.ext4(8), mdadm(8). mkfs.ext4 asks nobody where no terminal is: that nothing
//! is on the disk is looked at once more just before. Blocks are not discarded: EC2 hands disks over
//! trimmed, and discarding terabytes may take minutes ("SSD instance store volumes", TRIM support).

use anyhow::bail;

use super::account::Refused;
use super::choose::{Before, Choice};
use super::disks::holders;
use super::probe::{self, Content, FileSystem};
use super::run::run;
use super::{LABEL, UNFINISHED};
use crate::converge::{Changes, Ensured};
use crate::host::Machine;

const NO_MDADM: &str = "several disks become one by `mdadm`, which the image lacks\n\
                        hint: add the package mdadm to the image and bake it anew, or say \
                        `instance_store = \"mount\"`";
const NO_MKFS: &str = "the image has neither `mkfs.xfs` nor `mkfs.ext4`\n\
                       hint: add the package xfsprogs or e2fsprogs to the image and bake it anew";

/// A device with our file system on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub device: String,
    pub kind: FileSystem,
}

pub(super) async fn ensure(
    machine: &Machine,
    choice: &Choice,
    before: Before,
    changes: &mut Changes,
) -> anyhow::Result<Made> {
    match choice {
        Choice::Mount(name, kind) => Ok(Made { device: format!("/dev/{name}"), kind: *kind }),
        Choice::Format(name) => {
            format(machine, &format!("/dev/{name}"), available(machine)?, changes).await
        }
        Choice::Create { members } => {
            ensure_mdadm(machine)?;
            let kind = available(machine)?;
            let array = create(machine, members).await?;
            changes.add(Ensured::Changed, || format!("made {array} of {}", members.join(", ")));
            format(machine, &array, kind, changes).await
        }
        Choice::Assemble { members, array, assembled } => {
            ensure_mdadm(machine)?;
            let device = match assembled {
                Some(name) => format!("/dev/{name}"),
                None => assemble(machine, members, array).await?,
            };
            match probe::device(machine, &device, &[]).await? {
                Content::Ours(kind) => Ok(Made { device, kind }),
                Content::Unfinished => format(machine, &device, available(machine)?, changes).await,
                // The run that made it came no further. On a machine that was a node it had a file system.
                Content::Blank if before == Before::Nothing => {
                    format(machine, &device, available(machine)?, changes).await
                }
                Content::Unknown(why) => bail!("windlass' array {device} {why}"),
                other => Err(Refused(format!(
                    "windlass' array {device} {other}, wanted a file system of windlass'\n\
                     hint: replace this instance"
                ))
                .into()),
            }
        }
    }
}

/// XFS where the image has it, as Amazon Linux does: of its kind it is the quickest to make.
fn available(machine: &Machine) -> anyhow::Result<FileSystem> {
    let kinds = [FileSystem::Xfs, FileSystem::Ext4];
    let has = |kind: &FileSystem| machine.has_program(&format!("mkfs.{}", kind.name()));
    kinds.into_iter().find(has).ok_or_else(|| Refused(NO_MKFS.to_owned()).into())
}

fn ensure_mdadm(machine: &Machine) -> anyhow::Result<()> {
    if machine.has_program("mdadm") {
        return Ok(());
    }
    Err(Refused(NO_MDADM.to_owned()).into())
}

/// It has its name when it is whole and on the disk: `mkfs` syncs before it ends.
async fn format(
    machine: &Machine,
    device: &str,
    kind: FileSystem,
    changes: &mut Changes,
) -> anyhow::Result<Made> {
    let options: &[&str] = match (kind, probe::device(machine, device, &[]).await?) {
        (FileSystem::Xfs, Content::Blank) => &["-q", "-K"],
        (FileSystem::Xfs, Content::Unfinished) => &["-q", "-K", "-f"],
        (FileSystem::Ext4, Content::Blank | Content::Unfinished) => &["-q", "-E", "nodiscard"],
        (_, other) => bail!("{device} {other}, and was empty a moment ago: it is left alone"),
    };
    let program = format!("mkfs.{}", kind.name());
    run(&program, &[options, &["-L", UNFINISHED, device]].concat()).await?;
    match kind {
        FileSystem::Xfs => run("xfs_admin", &["-L", LABEL, device]).await?,
        FileSystem::Ext4 => run("e2label", &[device, LABEL]).await?,
    };
    changes.add(Ensured::Changed, || format!("made {} on {device}", kind.name()));
    Ok(Made { device: device.to_owned(), kind })
}

/// `any`: the array is this machine's whatever the machine is called.
async fn create(machine: &Machine, members: &[String]) -> anyhow::Result<String> {
    load_raid().await?;
    let (count, paths) = (format!("--raid-devices={}", members.len()), paths(members));
    let (name, place) = (format!("--name={LABEL}"), place());
    let mut arguments = vec!["--create", &place, "--level=0", "--metadata=1.2", &name];
    arguments.extend(["--homehost=any", &count]);
    arguments.extend(paths.iter().map(String::as_str));
    run("mdadm", &arguments).await?;
    device_of(machine, members)
}

async fn assemble(machine: &Machine, members: &[String], array: &str) -> anyhow::Result<String> {
    load_raid().await?;
    let (uuid, place, paths) = (format!("--uuid={array}"), place(), paths(members));
    let mut arguments = vec!["--assemble", &place, &uuid];
    arguments.extend(paths.iter().map(String::as_str));
    run("mdadm", &arguments).await?;
    device_of(machine, members)
}

/// systemd has the capability for it, which windlass-storage.service has not.
async fn load_raid() -> anyhow::Result<()> {
    run("systemctl", &["start", "modprobe@raid0.service"]).await.map(drop)
}

fn place() -> String {
    format!("/dev/md/{LABEL}")
}

fn paths(members: &[String]) -> Vec<String> {
    members.iter().map(|name| format!("/dev/{name}")).collect()
}

/// The kernel's name of the array that these disks are; that of mdadm is a link which udev makes later.
fn device_of(machine: &Machine, members: &[String]) -> anyhow::Result<String> {
    let of_each: Vec<_> = members.iter().map(|name| holders(machine, name)).collect();
    match of_each.first().map(Vec::as_slice) {
        Some([array]) if of_each.iter().all(|of_one| of_one == &of_each[0]) => {
            Ok(format!("/dev/{array}"))
        }
        _ => bail!("mdadm made no array of {}, but {of_each:?}", members.join(", ")),
    }
}
