//! `windlass storage`: the disk that a group's nodes keep images, containers and pods' data on is found,
//! has a file system, and is mounted where containerd and kubelet look.
//!
//! `windlass boot` has no disks and a mount namespace of its own, so this is a program of its own, in
//! windlass-storage.service, which boot starts and waits for. What is wanted, and what was done, goes
//! between them by two files. A disk is formatted only if nothing is on it at all; what we made is known
//! again by its label.
//!
//! Sources: "Amazon EBS and NVMe on Linux instances" and "Instance store volumes" (Amazon EC2 User
//! Guide); what nodeadm's `localStorage` does (awslabs/amazon-eks-ami, setup-local-disks).

mod account;
mod begun;
mod choose;
mod disks;
mod file_system;
mod mounts;
mod places;
mod probe;
mod run;

use anyhow::Context;

pub use account::{Account, REQUEST, Refused, UNIT};

use begun::Begun;
use choose::choose;
use disks::Disk;
use mounts::Mounts;

use crate::config::Storage;
use crate::converge::{Changes, Ensured};
use crate::host::Machine;

/// As file systems and arrays of ours are called: at most 12 characters, for XFS.
const LABEL: &str = "windlass";

/// Where the disk is mounted itself. From there folders are bound to where programs look for them.
const DATA: &str = "/var/lib/windlass-data";

/// Does what `windlass boot` asked for, and leaves for it what was done or why not.
pub async fn carry_out(machine: &Machine) -> anyhow::Result<()> {
    let request = machine.read_text(REQUEST)?.with_context(|| {
        format!("there is no {REQUEST}\nhint: `windlass boot` writes it and starts {UNIT}")
    })?;
    let wanted = serde_json::from_str(&request).with_context(|| format!("reading {REQUEST}"))?;
    let done = ensure(machine, wanted).await;
    Account::of(machine, &done).write(machine)?;
    done.map(drop)
}

/// The group's disk is in use by containerd and kubelet.
async fn ensure(machine: &Machine, wanted: Storage) -> anyhow::Result<Changes> {
    let mut changes = Changes::default();
    if !Mounts::read(machine)?.has(DATA) {
        let begun = Begun::read(machine)?;
        let disks = Disk::wait_for(machine, wanted).await?;
        let choice = choose(wanted, &disks, &begun).map_err(Refused)?;
        let made = file_system::ensure(machine, &choice, &disks, &mut changes).await?;
        mounts::mount_data(machine, &made)?;
        changes.add(Ensured::Changed, || format!("mounted {}", made.device));
    }
    places::ensure(machine, &mut changes).await?;
    Ok(changes)
}
