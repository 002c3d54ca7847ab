//! systemd's units, through `systemctl`: it is on every image, and its words are those that a
//! person would use.

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
    /// Whether the unit runs.
    pub async fn unit_state(&self, unit: &str) -> anyhow::Result<UnitState> {
        if let Effects::Kept(folder) = &self.effects {
            let since = lock(folder).units.get(unit).copied();
            return Ok(since.map_or(UnitState::Stopped, |since| UnitState::Running { since }));
        }
        let properties = "--property=ActiveState,ExecMainStartTimestampMonotonic";
        let said = systemctl(&["show", properties, unit]).await?;
        Ok(state(&said, Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?), now()))
    }

    /// Requests the unit's start and does not wait for it.
    pub async fn start_unit(&self, unit: &str) -> anyhow::Result<()> {
        self.job("start", unit).await
    }

    /// Requests the unit's restart and does not wait for it.
    pub async fn restart_unit(&self, unit: &str) -> anyhow::Result<()> {
        self.job("restart", unit).await
    }

    async fn job(&self, verb: &str, unit: &str) -> anyhow::Result<()> {
        if let Effects::Kept(folder) = &self.effects {
            let mut folder = lock(folder);
            folder.units.insert(unit.to_owned(), now());
            folder.log.push(format!("systemctl {verb} {unit}"));
            return Ok(());
        }
        systemctl(&[verb, "--no-block", unit]).await.map(drop)
    }

    /// The last lines that a unit logged; what kept them from being read where they cannot be.
    pub async fn last_words(&self, unit: &str, lines: u32) -> String {
        if let Effects::Kept(_) = self.effects {
            return String::new();
        }
        let (unit, lines) = (format!("--unit={unit}"), format!("--lines={lines}"));
        let arguments = ["--boot", "--no-pager", "--output=cat", &unit, &lines];
        match Command::new("journalctl").args(arguments).output().await {
            Ok(output) => String::from_utf8_lossy(&output.stdout).trim_end().to_owned(),
            Err(error) => format!("journalctl cannot be run: {error}"),
        }
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

/// systemd stamps by the monotonic clock, files are stamped by the wall clock.
fn state(said: &str, monotonic: Duration, wall: SystemTime) -> UnitState {
    let property = |name| {
        said.lines()
            .find_map(|line| line.split_once('=').filter(|(key, _)| *key == name))
            .map(|(_, value)| value)
    };
    let active = matches!(property("ActiveState"), Some("active" | "activating" | "reloading"));
    let started = property("ExecMainStartTimestampMonotonic").and_then(|us| us.parse().ok());
    match started.filter(|us| active && *us > 0).map(Duration::from_micros) {
        Some(started) => UnitState::Running { since: wall - monotonic.saturating_sub(started) },
        None => UnitState::Stopped,
    }
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
        let said = "ActiveState=active\nExecMainStartTimestampMonotonic=5000000\n";
        let wanted = UnitState::Running { since: wall - Duration::from_secs(2) };
        assert_eq!(state(said, Duration::from_secs(7), wall), wanted);
    }

    #[test]
    fn a_unit_that_failed_does_not_run() {
        let said = "ActiveState=failed\nExecMainStartTimestampMonotonic=5000000\n";
        let state = state(said, Duration::from_secs(7), SystemTime::UNIX_EPOCH);
        assert_eq!(state, UnitState::Stopped);
    }
}
