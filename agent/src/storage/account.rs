//! What goes between `windlass boot` and `windlass storage`.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::DATA;
use super::places::PLACES;
use crate::converge::files::ensure_absent;
use crate::converge::{Changes, ensure_file};
use crate::host::Machine;

/// The unit that `windlass boot` starts.
pub const UNIT: &str = "windlass-storage.service";

/// The group's [`Storage`](crate::config::Storage), JSON.
pub const REQUEST: &str = "/run/windlass/storage.json";

/// What came of it.
const ACCOUNT: &str = "/run/windlass/storage-done.json";

/// What was done, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Each in the words of a log line.
    pub changes: Vec<String>,
    /// The file system's, as stat(2) has it.
    pub device: Option<u64>,
    /// As a person reads it.
    pub failure: Option<String>,
    /// Another try fails in the same way.
    pub lasting: bool,
}

/// The disks are not as the group has it, and no other try will find them so.
#[derive(Debug)]
pub struct Refused(pub String);

impl Account {
    pub(super) fn of(machine: &Machine, done: &anyhow::Result<()>, changes: Changes) -> Self {
        let Changes(changes) = changes;
        match done {
            Ok(()) => {
                let device = fs::metadata(machine.path(DATA)).map(|folder| folder.dev()).ok();
                Self { changes, device, failure: None, lasting: false }
            }
            Err(error) => {
                let lasting = error.is::<Refused>();
                Self { changes, device: None, failure: Some(format!("{error:#}")), lasting }
            }
        }
    }

    pub(super) fn write(&self, machine: &Machine) -> anyhow::Result<()> {
        ensure_file(machine, ACCOUNT, 0o600, &serde_json::to_vec(self)?).map(drop)
    }

    /// What the last run left, and takes it away; none where it left nothing.
    pub fn take(machine: &Machine) -> anyhow::Result<Option<Self>> {
        let Some(text) = machine.read(ACCOUNT)? else { return Ok(None) };
        ensure_absent(machine, ACCOUNT)?;
        serde_json::from_slice(&text).with_context(|| format!("reading {ACCOUNT}"))
    }

    /// Whoever asks sees the disk where it was mounted: what has a mount namespace of its own is told of
    /// mounts only where `/` is shared.
    pub fn ensure_seen(&self, machine: &Machine) -> anyhow::Result<()> {
        for (path, _) in PLACES {
            let seen = fs::metadata(machine.path(path)).map(|folder| folder.dev()).ok();
            ensure!(
                seen == self.device,
                "the disk is mounted at {path}, and windlass-boot.service does not see it there\n\
                 hint: `findmnt -o TARGET,PROPAGATION /` has to say `shared`, as systemd makes it"
            );
        }
        Ok(())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}
