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
    let changes = match outcome(ran, Account::take(machine)?)? {
        Some(account) => {
            account.ensure_seen(machine)?;
            Changes(account.changes)
        }
        None => Changes::default(),
    };
    Ok(done((), &changes, "the group's disk is in use"))
}

/// What the unit's program left of its success. None where it was another's run that was waited for, and
/// that one has read it.
fn outcome(ran: anyhow::Result<()>, account: Option<Account>) -> Result<Option<Account>, Stop> {
    if let Some(Account { failure: Some(reason), lasting, .. }) = account {
        let reason = anyhow!(reason).context("the group's disk cannot be used");
        return Err(if lasting { Stop::because(reason) } else { Stop::from(reason) });
    }
    let hint = || format!("the group's disk cannot be used\nhint: `journalctl -u {UNIT}`");
    ran.with_context(hint)?;
    Ok(account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::stop::Kind;

    fn left(failure: Option<&str>, lasting: bool) -> Option<Account> {
        let failure = failure.map(str::to_owned);
        Some(Account { changes: vec!["made xfs".to_owned()], device: Some(1), failure, lasting })
    }

    fn unit_failed() -> anyhow::Result<()> {
        Err(anyhow!("systemctl start failed"))
    }

    #[test]
    fn what_the_program_says_of_its_failure_decides_whether_there_is_another_try() {
        let stopped = |account| outcome(unit_failed(), account).expect_err("a failed unit");
        let no_disk = stopped(left(Some("the instance has no instance store"), true));
        assert_eq!(no_disk.kind, Kind::Final);
        let text = "the group's disk cannot be used: the instance has no instance store";
        assert_eq!(format!("{:#}", no_disk.reason), text);
        let not_yet = stopped(left(Some("what is on the disks is not known"), false));
        assert_eq!(not_yet.kind, Kind::Curable);
    }

    #[test]
    fn a_program_that_could_not_say_anything_may_be_started_again() {
        let killed = outcome(unit_failed(), None).expect_err("a failed unit");
        assert_eq!(killed.kind, Kind::Curable);
        assert!(format!("{:#}", killed.reason).contains("hint: `journalctl -u windlass-storage"));
        // Killed when it had written its account: the next run finds done what was done.
        let late = outcome(unit_failed(), left(None, false)).expect_err("a failed unit");
        assert_eq!(late.kind, Kind::Curable);
    }

    #[test]
    fn what_was_done_is_told_by_whoever_read_it() {
        let both = |account| outcome(Ok(()), account).map_err(|stop| stop.reason);
        assert_eq!(both(left(None, false)).expect("a success"), left(None, false));
        assert_eq!(both(None).expect("another's success"), None);
    }
}
