//! The guest agent ("QEMU Guest Agent Protocol Reference"): runs commands in a VM, whatever its
//! network is like.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::conversation::Conversation;

/// An emulated machine is up after some fifteen seconds, beside another one after thirty.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two questions whether the agent is there.
const KNOCK: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(30);

const ENVIRONMENT: [&str; 2] =
    ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"];

pub struct Agent(Conversation);

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code, or 128 and the signal, as a shell has it.
    pub code: u8,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Agent {
    /// Waits for the machine to be up so far.
    pub fn connect(socket: &Path) -> Result<Self> {
        let mut agent = Self(Conversation::connect(socket)?);
        let began = Instant::now();
        for id in 1.. {
            // What somebody before us asked for may still be answered.
            agent.0.tell("guest-sync", json!({"id": id}))?;
            let until = Instant::now() + KNOCK;
            while let Some(message) = agent.0.next(until)? {
                if message["return"] == json!(id) {
                    return Ok(agent);
                }
            }
            if began.elapsed() > PATIENCE {
                break;
            }
        }
        bail!(
            "the guest agent does not answer\nhint: `cargo lab vm console` shows how far the machine is"
        )
    }

    /// Runs a command to its end. It has no standard input.
    pub fn run(&mut self, words: &[String]) -> Result<Ended> {
        let (program, rest) = words.split_first().context("no command")?;
        let begun = self.0.ask(
            "guest-exec",
            json!({"path": program, "arg": rest, "env": ENVIRONMENT, "capture-output": true}),
            ANSWER,
        );
        let begun = begun.with_context(|| format!("cannot run `{}`", words.join(" ")))?;
        let mut pause = Duration::from_millis(20);
        loop {
            let status = self.0.ask("guest-exec-status", json!({"pid": begun["pid"]}), ANSWER)?;
            if status["exited"] == json!(true) {
                return ended(&status);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }
}

fn ended(status: &Value) -> Result<Ended> {
    let data = |key: &str| match status[key].as_str() {
        Some(data) => STANDARD.decode(data).with_context(|| format!("{key} is not base64")),
        None => Ok(Vec::new()),
    };
    let number = |key: &str| status[key].as_u64().and_then(|number| u8::try_from(number).ok());
    let code = number("exitcode").or_else(|| number("signal")?.checked_add(128));
    Ok(Ended {
        code: code.unwrap_or(u8::MAX),
        stdout: data("out-data")?,
        stderr: data("err-data")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_as_a_shell_does() {
        let of = |status: Value| ended(&status).unwrap();
        assert_eq!(
            of(json!({"exited": true, "exitcode": 3, "out-data": "aGk=", "err-data": "bm8="})),
            Ended { code: 3, stdout: b"hi".to_vec(), stderr: b"no".to_vec() }
        );
        assert_eq!(of(json!({"exited": true, "signal": 9})).code, 137);
        assert!(ended(&json!({"exitcode": 0, "out-data": "%"})).is_err());
    }
}
