//! `windlass storage`: the disk that a group's nodes keep images, containers and pods' data on is found,
//! has a file system, and is mounted where containerd and kubelet look.
//!
//! `windlass boot` has no disks and a mount namespace of its own, so this is a program of its own, in
//! windlass-storage.service, which boot starts and waits for. What is wanted, and what was done, goes
//! between them by two files.
//!
//! A disk is formatted only if nothing is on it. What we made is known again by its label, and only what is
//! whole has that label: until then a file system is called otherwise, and nothing was ever in it. So no
//! file elsewhere has to say how far a run came that was killed.
//!
//! Sources: "Amazon EBS and NVMe on Linux instances" and "Instance store volumes" (Amazon EC2 User
//! Guide); what nodeadm's `localStorage` does (awslabs/amazon-eks-ami, setup-local-disks).

mod account;
mod choose;
mod disks;
mod file_system;
mod mounts;
mod places;
mod probe;
mod run;

use std::fs::File;

use anyhow::{Context, anyhow};

pub use account::{Account, REQUEST, Refused, UNIT};

use choose::{Before, choose, is_open};
use disks::Disk;
use mounts::Mounts;

use crate::basis::{BASIS, Basis};
use crate::config::Storage;
use crate::converge::{Changes, Ensured};
use crate::host::Machine;

/// As file systems and arrays of ours are called: at most 12 characters, for XFS.
const LABEL: &str = "windlass";

/// As a file system is called that is being made.
const UNFINISHED: &str = "windlass-new";

/// Where the disk is mounted itself. From there folders are bound to where programs look for them.
const DATA: &str = "/var/lib/windlass-data";

/// One run at a time.
const LOCK: &str = "/run/windlass/storage.lock";

/// Does what `windlass boot` asked for, and leaves for it what was done or why not.
pub async fn carry_out(machine: &Machine) -> anyhow::Result<()> {
    let request = machine.read_text(REQUEST)?.with_context(|| {
        format!("there is no {REQUEST}\nhint: `windlass boot` writes it and starts {UNIT}")
    })?;
    let wanted = serde_json::from_str(&request).with_context(|| format!("reading {REQUEST}"))?;
    let lock = File::create(machine.path(LOCK)).with_context(|| format!("making {LOCK}"))?;
    lock.try_lock().with_context(|| format!("{LOCK} is held\nhint: another run is at work"))?;
    let mut changes = Changes::default();
    let done = ensure(machine, wanted, &mut changes).await;
    if let Err(error) = &done {
        tracing::error!("{error:#}");
    }
    Account::of(machine, &done, changes).write(machine)?;
    done
}

/// The group's disk is in use by containerd and kubelet.
async fn ensure(machine: &Machine, wanted: Storage, changes: &mut Changes) -> anyhow::Result<()> {
    let mounts = Mounts::read(machine)?;
    if places::are_bound(&mounts) {
        return Ok(());
    }
    // Before anything is looked for: on a node with pods, disks are theirs.
    places::ensure_idle(machine).await?;
    if !mounts.has(DATA) {
        ensure_blkid(machine)?;
        let before = before(machine, wanted);
        let disks = Disk::wait_for(machine, wanted, before).await?;
        let choice = choose(wanted, &disks, before).map_err(|why| match is_open(&disks) {
            true => anyhow!(why),
            false => Refused(why).into(),
        })?;
        let made = file_system::ensure(machine, &choice, before, changes).await?;
        mounts::mount_data(machine, &made)?;
        changes.add(Ensured::Changed, || format!("mounted {}", made.device));
    }
    places::ensure(machine, changes).await
}

/// As the last boot left it written down.
fn before(machine: &Machine, wanted: Storage) -> Before {
    if !machine.path(BASIS).exists() {
        return Before::Nothing;
    }
    match Basis::kept(machine) {
        Ok(basis) if basis.config.storage == wanted => Before::Same,
        _ => Before::Other,
    }
}

fn ensure_blkid(machine: &Machine) -> anyhow::Result<()> {
    if machine.has_program("blkid") {
        return Ok(());
    }
    let why = "what is on a disk is asked of `blkid`, which the image lacks\n\
               hint: add the package util-linux to the image and bake it anew";
    Err(Refused(why.to_owned()).into())
}
