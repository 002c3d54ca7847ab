//! The drain on disk: written before each effect, read by the next run of the program, by
//! `windlass status`, and by whoever wants to know why a node was cordoned.
//!
//! What cannot be read is put aside and said, and the drain begins anew: IMDS still announces what it
//! is for, the Node says what we changed about it, and all that is done may be done twice.

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::event::Moment;
use super::state::{Leaving, State};
use crate::converge::ensure_file;
use crate::exchange::InstanceId;
use crate::host::Machine;

/// Where it is kept.
pub const JOURNAL: &str = "/var/lib/windlass/drain.json";

/// The layout that is written, and the only one that is understood.
const VERSION: u32 = 1;

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    version: u32,
    /// The state of a disk's other instance is not this one's.
    pub instance: InstanceId,
    /// The kernel's boot in which it was written.
    boot: String,
    /// Since that boot, by `CLOCK_BOOTTIME`.
    since_boot: Moment,
    pub at: Moment,
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    pub leaving: Leaving,
}

/// Reads and writes it, and tells its time, which goes on over reboots.
#[derive(Debug)]
pub struct Journal {
    machine: Machine,
    instance: InstanceId,
    boot: String,
    /// What is added to the time since the kernel's boot.
    ahead: Duration,
    unwritten: bool,
    /// What is on disk says that the node serves.
    serves: bool,
}

/// Nothing of a drain is on the Node, so `windlass watch` need not ask the API server for it.
///
/// # Errors
/// Where it cannot be looked at, or written.
pub fn ensure_begun(
    machine: &Machine,
    instance: &InstanceId,
    time: OffsetDateTime,
) -> anyhow::Result<()> {
    if machine.read(JOURNAL)?.is_some() {
        return Ok(());
    }
    let (journal, _) = Journal::open(machine, instance, time)?;
    journal.try_write(&Leaving::default(), time)
}

impl Journal {
    /// The journal, and what an earlier run left in it, if anything.
    pub(super) fn open(
        machine: &Machine,
        instance: &InstanceId,
        time: OffsetDateTime,
    ) -> anyhow::Result<(Self, Option<Leaving>)> {
        let boot = machine.boot_id()?;
        let mut journal = Self {
            machine: machine.clone(),
            instance: instance.clone(),
            boot,
            ahead: Duration::ZERO,
            unwritten: false,
            serves: false,
        };
        let kept = match Kept::read(machine) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::error!("{error:#}; the drain begins anew{}", put_aside(machine));
                None
            }
        };
        let leaving = match kept {
            Some(kept) if kept.instance == *instance => Some(journal.go_on(kept, time)?),
            Some(kept) => {
                tracing::info!("{JOURNAL} is of {}, this is {instance}: not read", kept.instance);
                None
            }
            None => None,
        };
        journal.serves = leaving.as_ref().is_some_and(|it| it.state == State::Serving);
        Ok((journal, leaving))
    }

    /// The time of everything in the journal.
    pub(super) fn now(&self) -> anyhow::Result<Moment> {
        self.clock()()
    }

    pub(super) fn clock(
        &self,
    ) -> impl Fn() -> anyhow::Result<Moment> + Clone + Send + Sync + use<> {
        let (machine, ahead) = (self.machine.clone(), self.ahead);
        move || Ok(Moment::after_boot(machine.since_boot()?) + ahead)
    }

    /// It is on disk. That it cannot be written hinders nothing: a drain that is not written down is
    /// better than none.
    pub(super) fn write(&mut self, leaving: &Leaving, time: OffsetDateTime) {
        let written = self.try_write(leaving, time);
        match &written {
            Ok(()) => self.serves = leaving.state == State::Serving,
            // A restart must not believe that nothing was done to the Node.
            Err(_) if self.serves => {
                self.serves = std::fs::remove_file(self.machine.path(JOURNAL)).is_err();
            }
            Err(_) => {}
        }
        match &written {
            Err(error) if !self.unwritten => {
                tracing::error!("{error:#}; the drain goes on, and a restart would begin it anew");
            }
            Ok(()) if self.unwritten => tracing::info!("{JOURNAL} can be written again"),
            _ => {}
        }
        self.unwritten = written.is_err();
    }

    fn try_write(&self, leaving: &Leaving, time: OffsetDateTime) -> anyhow::Result<()> {
        let since_boot = self.machine.since_boot()?;
        let kept = Kept {
            version: VERSION,
            instance: self.instance.clone(),
            boot: self.boot.clone(),
            since_boot: Moment::after_boot(since_boot),
            at: Moment::after_boot(since_boot) + self.ahead,
            time,
            leaving: leaving.clone(),
        };
        let text = serde_json::to_vec_pretty(&kept).context("writing down the drain")?;
        ensure_file(&self.machine, JOURNAL, 0o644, &text)?;
        Ok(())
    }

    fn go_on(&mut self, kept: Kept, time: OffsetDateTime) -> anyhow::Result<Leaving> {
        self.ahead = kept.ahead(&self.machine, &self.boot, time)?;
        let leaving = kept.leaving.resumed(self.now()?);
        Ok(if kept.boot == self.boot { leaving } else { leaving.in_another_boot() })
    }
}

impl Kept {
    /// What time it is now, in the journal's terms.
    pub fn now(&self, machine: &Machine, time: OffsetDateTime) -> anyhow::Result<Moment> {
        let ahead = self.ahead(machine, &machine.boot_id()?, time)?;
        Ok(Moment::after_boot(machine.since_boot()?) + ahead)
    }

    /// How much later it is in the journal's terms than since the kernel's boot. In another boot of the
    /// kernel the wall clock says how much later it is; one that was set back in between says that it
    /// is no earlier.
    fn ahead(
        &self,
        machine: &Machine,
        boot: &str,
        time: OffsetDateTime,
    ) -> anyhow::Result<Duration> {
        if self.boot == boot {
            return Ok(self.at.since(self.since_boot));
        }
        let since = Duration::try_from(time - self.time).unwrap_or_default();
        Ok((self.at + since).since(Moment::after_boot(machine.since_boot()?)))
    }

    /// What is on disk, if anything.
    pub fn read(machine: &Machine) -> anyhow::Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Layout {
            version: u32,
        }
        let Some(text) = machine.read(JOURNAL)? else { return Ok(None) };
        let unreadable = || format!("{JOURNAL} is not as a drain writes it");
        let Layout { version } = serde_json::from_slice(&text).with_context(unreadable)?;
        anyhow::ensure!(version == VERSION, "{JOURNAL} has the layout {version}, wanted {VERSION}");
        serde_json::from_slice(&text).map(Some).with_context(unreadable)
    }
}

/// So that it can be looked at, and is not read again.
fn put_aside(machine: &Machine) -> impl fmt::Display {
    let aside = format!("{JOURNAL}.unreadable");
    match std::fs::rename(machine.path(JOURNAL), machine.path(&aside)) {
        Ok(()) => format!("\nhint: the file is kept as {aside}"),
        Err(error) => format!("\nhint: {JOURNAL} could not be put aside: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::converge::files::tests::Scratch;
    use time::macros::datetime;

    const NOON: OffsetDateTime = datetime!(2026-11-26 12:00 UTC);

    fn instance() -> InstanceId {
        "i-0123456789abcdef0".parse().expect("an id")
    }

    fn returning() -> Leaving {
        Leaving::returning(Moment::after_boot(Duration::ZERO))
    }

    fn left(machine: &Machine) -> Option<Leaving> {
        Journal::open(machine, &instance(), NOON).expect("opened").1
    }

    #[test]
    fn a_boot_that_saw_nothing_on_its_node_says_so_once() {
        let (_scratch, machine) = Scratch::new("journal-begun");
        assert_eq!(left(&machine), None);
        ensure_begun(&machine, &instance(), NOON).expect("written");
        assert_eq!(left(&machine), Some(Leaving::default()));

        let (mut journal, _) = Journal::open(&machine, &instance(), NOON).expect("opened");
        journal.write(&returning(), NOON);
        ensure_begun(&machine, &instance(), NOON).expect("looked at");
        assert_eq!(left(&machine).map(|left| left.state.name()), Some("returning"));
    }

    #[test]
    fn a_journal_that_cannot_be_written_does_not_go_on_saying_that_the_node_serves() {
        let (_scratch, machine) = Scratch::new("journal-unwritable");
        ensure_begun(&machine, &instance(), NOON).expect("written");
        let (mut journal, _) = Journal::open(&machine, &instance(), NOON).expect("opened");
        // As a full disk: the new file has no place, the old one can be removed.
        let folder = machine.path("/var/lib/windlass");
        let in_the_way = folder.join(".drain.json.windlass");
        std::fs::create_dir(&in_the_way).expect("a folder");
        journal.write(&returning(), NOON);
        assert_eq!(left(&machine), None, "so the Node is asked");
        std::fs::remove_dir(&in_the_way).expect("an empty folder");
        journal.write(&returning(), NOON);
        assert_eq!(left(&machine).map(|left| left.state.name()), Some("returning"));
    }
}
