//! What of a look is worth a line of the log: each thing once, however often it is so. And the one
//! line that `systemctl status` shows.

use std::collections::BTreeSet;
use std::fmt;

use super::look::Look;
use super::strife::{LONGEST, Quarrel};
use crate::converge::network::Foreign;
use crate::host::Stirred;

/// What was said, and what was done, since the start.
#[derive(Debug, Default)]
pub struct Said {
    began: bool,
    failed: BTreeSet<String>,
    foreign: BTreeSet<Foreign>,
    quarrels: BTreeSet<String>,
    lost: bool,
    tally: Tally,
}

/// Numbers since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub looks: u64,
    /// Things that somebody else had changed or removed.
    pub put_back: u64,
    /// How often the kernel had more to tell than could be heard.
    pub lost: u64,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Info(String),
    Warning(String),
}

impl Said {
    /// What to say of this look.
    pub fn lines(&mut self, look: &Look) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Some(anew) = &look.planned_anew {
            lines.push(Line::Info(format!("planned anew: {anew}")));
        }
        lines.extend(self.changes(look));
        lines.extend(look.quarrels.iter().map(|quarrel| self.quarrel(quarrel)));
        let foreign = look.foreign.difference(&self.foreign);
        lines.extend(foreign.map(|foreign| Line::Warning(foreign.to_string())));
        self.foreign.extend(look.foreign.iter().cloned());
        lines.extend(self.failures(look));
        lines.extend(self.losses(look));
        self.tally.looks += 1;
        self.began = true;
        lines
    }

    /// What was done since the start.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether nothing is otherwise than planned, as far as the last looks saw.
    pub fn is_well(&self) -> bool {
        self.began && self.failed.is_empty()
    }

    fn changes(&mut self, look: &Look) -> Option<Line> {
        let anew = !self.began || look.planned_anew.is_some();
        if !anew {
            self.tally.put_back += look.changes.len() as u64;
        }
        let untold: Vec<&str> = look
            .changes
            .iter()
            .map(String::as_str)
            .filter(|change| !self.quarrels.contains(*change))
            .collect();
        match (untold.is_empty(), anew) {
            (true, _) if !self.began && look.is_well() => {
                Some(Line::Info("the pod network is as planned".to_owned()))
            }
            (true, _) => None,
            (false, true) => Some(Line::Info(format!("made so: {}", untold.join(", ")))),
            (false, false) => {
                let what = untold.join(", ");
                Some(Line::Warning(format!("put back what somebody else took away: {what}")))
            }
        }
    }

    fn quarrel(&mut self, quarrel: &Quarrel) -> Line {
        match quarrel {
            Quarrel::Began { what, times, within } => {
                self.quarrels.insert(what.clone());
                Line::Warning(format!(
                    "{what}: put back {times} times within {} s, and somebody takes it away every \
                     time; from now on it is put back after waits, of {} s at most\n\
                     hint: `ip monitor` and `nft monitor` show when; who restarts, or cleans up, \
                     at that time?",
                    within.as_secs(),
                    LONGEST.as_secs()
                ))
            }
            Quarrel::Over { what, times } => {
                self.quarrels.remove(what);
                Line::Info(format!("{what}: stays, after it was put back {times} times"))
            }
        }
    }

    /// A look at a part tells nothing of what else was not as planned.
    fn failures(&mut self, look: &Look) -> Vec<Line> {
        let new = look.failed.difference(&self.failed);
        let mut lines: Vec<_> =
            new.map(|failed| Line::Warning(format!("not as planned: {failed}"))).collect();
        self.failed.extend(look.failed.iter().cloned());
        if look.what == Stirred::EVERYTHING {
            if look.failed.is_empty() && !self.failed.is_empty() {
                lines.push(Line::Info("the pod network is as planned again".to_owned()));
            }
            self.failed = look.failed.clone();
        }
        lines
    }

    /// Once until there is quiet.
    fn losses(&mut self, look: &Look) -> Option<Line> {
        self.tally.lost += u64::from(look.lost);
        let said = std::mem::replace(&mut self.lost, look.lost > 0);
        (look.lost > 0 && !said).then(|| {
            let said = "more changed at once than the kernel could tell of: looked at everything";
            Line::Info(said.to_owned())
        })
    }
}

/// For `STATUS=`.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.failed.first() {
            Some(failed) => {
                write!(f, "not as planned: {}", failed.lines().next().unwrap_or_default())?;
            }
            None => f.write_str("the pod network is as planned")?,
        }
        if let Some(quarrel) = self.quarrels.first() {
            write!(f, "; somebody takes away again and again: {quarrel}")?;
        }
        match self.tally.put_back {
            0 => Ok(()),
            1 => f.write_str("; 1 thing was put back since the start"),
            many => write!(f, "; {many} things were put back since the start"),
        }
    }
}

impl Line {
    pub fn log(&self) {
        match self {
            Self::Info(text) => tracing::info!("{text}"),
            Self::Warning(text) => tracing::warn!("{text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ROUTE: &str = "route blackhole 10.64.3.0/24 metric 4096";

    fn look() -> Look {
        Look { what: Stirred::EVERYTHING, ..Look::default() }
    }

    fn changed(things: &[&str]) -> Look {
        Look { changes: things.iter().map(ToString::to_string).collect(), ..look() }
    }

    fn failed(things: &[&str]) -> Look {
        Look { failed: things.iter().map(ToString::to_string).collect(), ..look() }
    }

    fn info(text: &str) -> Line {
        Line::Info(text.to_owned())
    }

    fn warning(text: &str) -> Line {
        Line::Warning(text.to_owned())
    }

    /// After a first look that found everything as planned.
    fn said() -> Said {
        let mut said = Said::default();
        assert_eq!(said.lines(&look()), [info("the pod network is as planned")]);
        said
    }

    #[test]
    fn what_is_as_planned_is_said_once() {
        let mut said = said();
        assert_eq!((said.lines(&look()), said.lines(&look())), (vec![], vec![]));
        assert_eq!(said.tally(), Tally { looks: 3, ..Tally::default() });
        assert_eq!(said.to_string(), "the pod network is as planned");
    }

    #[test]
    fn what_was_put_back_at_once_is_one_line() {
        let mut said = said();
        let lines = said.lines(&changed(&["a", "b"]));
        assert_eq!(lines, [warning("put back what somebody else took away: a, b")]);
        assert_eq!(
            said.to_string(),
            "the pod network is as planned; 2 things were put back since the start"
        );
    }

    #[test]
    fn what_is_planned_anew_is_nobodys_fault() {
        let mut said = Said::default();
        assert_eq!(said.lines(&changed(&["a"])), [info("made so: a")], "the first look");
        let anew = Some("ens5 with an MTU of 1500".to_owned());
        let lines = said.lines(&Look { planned_anew: anew, ..changed(&["b"]) });
        assert_eq!(lines, [info("planned anew: ens5 with an MTU of 1500"), info("made so: b")]);
        assert_eq!(said.tally(), Tally { looks: 2, ..Tally::default() });
    }

    #[test]
    fn a_quarrel_is_said_when_it_begins_and_when_it_is_over() {
        let mut said = said();
        let what = ROUTE.to_owned();
        let within = Duration::from_secs(2);
        let began = Quarrel::Began { what: what.clone(), times: 4, within };
        let lines = said.lines(&Look { quarrels: vec![began], ..look() });
        let [Line::Warning(line)] = &lines[..] else { panic!("{lines:?}") };
        assert!(line.starts_with(&format!("{ROUTE}: put back 4 times within 2 s")), "{line}");
        assert_eq!(said.lines(&changed(&[ROUTE])), [], "put back, as was said");
        assert_eq!(
            said.to_string(),
            format!(
                "the pod network is as planned; somebody takes away again and again: {ROUTE}; \
                 1 thing was put back since the start"
            )
        );
        let over = Quarrel::Over { what, times: 5 };
        let lines = said.lines(&Look { quarrels: vec![over], ..look() });
        assert_eq!(lines, [info(&format!("{ROUTE}: stays, after it was put back 5 times"))]);
        let again = said.lines(&changed(&[ROUTE]));
        assert_eq!(again, [warning(&format!("put back what somebody else took away: {ROUTE}"))]);
    }

    #[test]
    fn what_fails_is_said_once_and_so_is_its_end() {
        let mut said = said();
        assert_eq!(
            said.lines(&failed(&["a: no\nhint: b"])),
            [warning("not as planned: a: no\nhint: b")]
        );
        assert_eq!(said.lines(&failed(&["a: no\nhint: b"])), []);
        assert_eq!(said.to_string(), "not as planned: a: no");
        let part = Look { what: Stirred { ways: true, ..Stirred::NOTHING }, ..look() };
        assert_eq!(said.lines(&part), [], "nobody looked at the rest");
        assert_eq!(said.lines(&look()), [info("the pod network is as planned again")]);
    }

    #[test]
    fn a_storm_that_could_not_be_heard_whole_is_said_once() {
        let mut said = said();
        let lost = || Look { lost: 2, ..look() };
        assert_eq!(
            (said.lines(&lost()).len(), said.lines(&lost()), said.tally().lost),
            (1, vec![], 4)
        );
        said.lines(&look());
        assert_eq!(said.lines(&lost()).len(), 1);
    }
}
