//! systemd-logind: that it is about to shut the machine down, and a lock that makes it wait.
//!
//! Through systemd's own programs: `systemd-inhibit` holds the lock for as long as `busctl monitor`,
//! its child, tells what logind announces. Source: "Inhibitor Locks" (systemd), org.freedesktop.login1(5).

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::{Effects, Machine};

const MANAGER: [&str; 3] =
    ["org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"];
const SIGNAL: &str =
    "--match=type='signal',interface='org.freedesktop.login1.Manager',member='PrepareForShutdown'";

/// Listens, and holds a shutdown up until it is dropped.
#[derive(Debug)]
pub struct ShutdownLock {
    inhibit: Child,
    told: Lines<BufReader<ChildStdout>>,
}

impl Machine {
    /// A lock of the mode `delay`: a shutdown waits for it, at most as long as logind allows. None of
    /// a machine that is a folder.
    pub fn hold_shutdown(&self, why: &str) -> anyhow::Result<Option<ShutdownLock>> {
        let Effects::Real = self.effects else { return Ok(None) };
        let mut child = Command::new("systemd-inhibit")
            .args(["--what=shutdown", "--mode=delay", "--who=windlass"])
            .arg(format!("--why={why}"))
            .args(["busctl", "--system", "--json=short", "monitor", SIGNAL])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("systemd-inhibit cannot be run")?;
        let told = child.stdout.take().context("systemd-inhibit without an output")?;
        Ok(Some(ShutdownLock { inhibit: child, told: BufReader::new(told).lines() }))
    }

    /// Whether a shutdown waits for those who hold locks; never of a machine that is a folder.
    pub async fn is_shutting_down(&self) -> anyhow::Result<bool> {
        let Effects::Real = self.effects else { return Ok(false) };
        Ok(property("PreparingForShutdown").await? == "b true")
    }

    /// How long at most a shutdown waits for locks.
    pub async fn longest_shutdown_delay(&self) -> anyhow::Result<Duration> {
        let said = property("InhibitDelayMaxUSec").await?;
        let micros = said.strip_prefix("t ").and_then(|micros| micros.parse().ok());
        let micros = micros.with_context(|| format!("logind says `{said}`"))?;
        Ok(Duration::from_micros(micros))
    }
}

impl ShutdownLock {
    /// The next thing that logind says: whether a shutdown begins, or one that had begun does not go
    /// on.
    pub async fn told(&mut self) -> anyhow::Result<bool> {
        loop {
            let Some(line) = self.told.next_line().await? else {
                bail!("`systemd-inhibit busctl monitor` ended");
            };
            if let Some(begins) = begins(&line) {
                return Ok(begins);
            }
        }
    }
}

/// Both programs end.
impl Drop for ShutdownLock {
    fn drop(&mut self) {
        let group = self.inhibit.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = group {
            // They may have ended before.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
    }
}

async fn property(name: &str) -> anyhow::Result<String> {
    let [service, object, interface] = MANAGER;
    let words = ["--system", "get-property", service, object, interface, name];
    let output = Command::new("busctl").args(words).output().await;
    let output = output.context("busctl cannot be run")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "logind does not say {name}: {}", stderr.trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// `{"type":"signal","member":"PrepareForShutdown","payload":{"type":"b","data":[true]}}`, among
/// other fields.
fn begins(line: &str) -> Option<bool> {
    #[derive(Deserialize)]
    struct Message {
        member: String,
        payload: Payload,
    }
    #[derive(Deserialize)]
    struct Payload {
        data: (bool,),
    }
    let message: Message = serde_json::from_str(line).ok()?;
    (message.member == "PrepareForShutdown").then_some(message.payload.data.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shutdown_is_read_from_what_busctl_prints() {
        let line = |data: &str| {
            format!(
                r#"{{"type":"signal","endian":"l","sender":":1.2","path":"/org/freedesktop/login1","interface":"org.freedesktop.login1.Manager","member":"PrepareForShutdown","payload":{{"type":"b","data":[{data}]}}}}"#
            )
        };
        assert_eq!((begins(&line("true")), begins(&line("false"))), (Some(true), Some(false)));
        assert_eq!(begins(&line("true").replace("PrepareForShutdown", "PrepareForSleep")), None);
        assert_eq!(begins("Monitoring bus message stream."), None);
    }
}
