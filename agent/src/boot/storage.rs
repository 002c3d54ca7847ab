//! The group's disk, for which another program has the rights: windlass-storage.service.

use anyhow::{Context, anyhow};

use super::steps::done;
use super::stop::Stop;
use super::{Boot, Candidate, Done};
use crate::config::Storage;
use crate::converge::{Changes, ensure_file};
use crate::host::Machine;
use crate::report::BootStep;
use crate::storage::{Account, REQUEST, UNIT};

impl Boot {
    /// The group's disk is in use, where the group wants one.
    pub(super) async fn storage(&self, candidate: &Candidate) -> Result<(), Stop> {
        let wanted = candidate.config.storage;
        if wanted.is_plain() {
            return Ok(());
        }
        self.step(BootStep::Storage, None, put_to_use(&self.machine, wanted)).await
    }
}

async fn put_to_use(machine: &Machine, wanted: Storage) -> Result<Done<()>, Stop> {
    let request = serde_json::to_vec(&wanted).map_err(anyhow::Error::from)?;
    ensure_file(machine, REQUEST, 0o600, &request)?;
    // Of an earlier run.
    Account::take(machine)?;
    let ran = machine.run_unit(UNIT).await;
    let account = Account::take(machine)?;
    if let Some(Account { failure: Some(reason), lasting, .. }) = account {
        let reason = anyhow!(reason).context("the group's disk cannot be used");
        return Err(if lasting { Stop::because(reason) } else { Stop::from(reason) });
    }
    let hint = || format!("the group's disk cannot be used\nhint: `journalctl -u {UNIT}`");
    ran.with_context(hint)?;
    // Where there is none, it was another's run that was waited for, and that one has read it.
    let changes = match account {
        Some(account) => {
            account.ensure_seen(machine)?;
            Changes(account.changes)
        }
        None => Changes::default(),
    };
    Ok(done((), &changes, "the group's disk is in use"))
}
