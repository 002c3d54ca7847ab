//! systemd's units, through `systemctl`: it is on every image, and its words are those that a
//! person would use.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use nix::time::{ClockId, clock_gettime};
use tokio::process::Command;

use super::{Effects, Machine, lock};

/// What systemd says about a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitState {
    /// It runs or is being started; its program was started then.
    Running {
        since: SystemTime,
    },
    Stopped,
}

impl Machine {
    /// What each of the units does.
    pub async fn unit_states(&self, units: &[&str]) -> anyhow::Result<BTreeMap<String, UnitState>> {
        if let Effects::Kept(folder) = &self.effects {
            let running = |unit: &&str| lock(folder).units.get(*unit).copied();
            let state = |unit: &&str| {
                running(unit).map_or(UnitState::Stopped, |since| UnitState::Running { since })
            };
            return Ok(units.iter().map(|unit| (unit.to_string(), state(unit))).collect());
        }
        let properties = "--property=Id,ActiveState,ExecMainStartTimestampMonotonic";
        let said = systemctl(&[&["show", properties], units].concat()).await?;
        let monotonic = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
        Ok(states(&said, monotonic, now()))
    }

    /// Requests the units' start and does not wait for it.
    pub async fn start_units(&self, units: &[&str]) -> anyhow::Result<()> {
        self.job("start", units).await
    }

    /// Requests the units' restart and does not wait for it.
    pub async fn restart_units(&self, units: &[&str]) -> anyhow::Result<()> {
        self.job("restart", units).await
    }

    /// The units' starts until now do not count for their start limits (`systemctl reset-failed`).
    pub async fn forget_starts(&self, units: &[&str]) -> anyhow::Result<()> {
        self.job("reset-failed", units).await
    }

    /// The units are stopped when this returns.
    pub async fn stop_units(&self, units: &[&str]) -> anyhow::Result<()> {
        if let Effects::Kept(folder) = &self.effects {
            let mut folder = lock(folder);
            folder.units.retain(|unit, _| !units.contains(&unit.as_str()));
            folder.log.push(format!("systemctl stop {}", units.join(" ")));
            return Ok(());
        }
        systemctl(&[&["stop"], units].concat()).await.map(drop)
    }

    /// Starts a unit whose program does one thing, and waits until that is done.
    pub async fn run_unit(&self, unit: &str) -> anyhow::Result<()> {
        if let Effects::Kept(folder) = &self.effects {
            lock(folder).log.push(format!("systemctl start {unit}, to its end"));
            return Ok(());
        }
        systemctl(&["start", unit]).await.map(drop)
    }

    async fn job(&self, verb: &str, units: &[&str]) -> anyhow::Result<()> {
        if units.is_empty() {
            return Ok(());
        }
        if let Effects::Kept(folder) = &self.effects {
            let mut folder = lock(folder);
            if verb != "reset-failed" {
                folder.units.extend(units.iter().map(|unit| (unit.to_string(), now())));
            }
            folder.log.push(format!("systemctl {verb} {}", units.join(" ")));
            return Ok(());
        }
        systemctl(&[&[verb, "--no-block"], units].concat()).await.map(drop)
    }
}

async fn systemctl(arguments: &[&str]) -> anyhow::Result<String> {
    let said = || format!("systemctl {}", arguments.join(" "));
    let output = Command::new("systemctl").args(arguments).output().await;
    let output = output.with_context(|| format!("{} cannot be run", said()))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{}` failed: {}", said(), stderr.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `systemctl show` writes a paragraph for each unit.
fn states(said: &str, monotonic: Duration, wall: SystemTime) -> BTreeMap<String, UnitState> {
    let paragraphs = said.split("\n\n");
    let each = paragraphs.filter_map(|of_one| {
        Some((property(of_one, "Id")?.to_owned(), state(of_one, monotonic, wall)))
    });
    each.collect()
}

/// systemd stamps by the monotonic clock, files are stamped by the wall clock.
fn state(said: &str, monotonic: Duration, wall: SystemTime) -> UnitState {
    let active = property(said, "ActiveState");
    let active = matches!(active, Some("active" | "activating" | "reloading"));
    let started = property(said, "ExecMainStartTimestampMonotonic").and_then(|us| us.parse().ok());
    match started.filter(|us| active && *us > 0).map(Duration::from_micros) {
        Some(started) => UnitState::Running { since: wall - monotonic.saturating_sub(started) },
        None => UnitState::Stopped,
    }
}

fn property<'a>(said: &'a str, name: &str) -> Option<&'a str> {
    said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

/// File times are the system clock's, whatever clock a test has put into the wire.
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_runs_since_its_program_was_started() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let said = "ActiveState=active\nId=a.service\nExecMainStartTimestampMonotonic=5000000\n\n\
                    ActiveState=failed\nId=b.service\nExecMainStartTimestampMonotonic=5000000\n\n\
                    ActiveState=inactive\nId=c.service\nExecMainStartTimestampMonotonic=0\n";
        let running = UnitState::Running { since: wall - Duration::from_secs(2) };
        let wanted = [("a", running), ("b", UnitState::Stopped), ("c", UnitState::Stopped)];
        let wanted = wanted.map(|(name, state)| (format!("{name}.service"), state));
        assert_eq!(states(said, Duration::from_secs(7), wall), BTreeMap::from(wanted));
    }
}
