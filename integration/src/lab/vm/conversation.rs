//! A conversation in lines of JSON over a unix socket, as qemu and its guest agent have it.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

pub struct Conversation {
    stream: BufReader<UnixStream>,
    /// What came of a line whose rest did not come in time.
    begun: Vec<u8>,
}

impl Conversation {
    pub fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket)
            .with_context(|| format!("cannot connect to {}", socket.display()))?;
        Ok(Self { stream: BufReader::new(stream), begun: Vec::new() })
    }

    /// Sends a command and returns what it returned; other messages in between are dropped.
    pub fn ask(&mut self, command: &str, arguments: Value, patience: Duration) -> Result<Value> {
        self.tell(command, arguments)?;
        let until = Instant::now() + patience;
        while let Some(mut message) = self.next(until)? {
            if let Some(error) = message.get("error") {
                bail!("`{command}`: {}", error["desc"].as_str().unwrap_or("failed"));
            }
            if let Some(returned) = message.get_mut("return") {
                return Ok(returned.take());
            }
        }
        bail!("`{command}` was not answered within {} s", patience.as_secs())
    }

    pub fn tell(&mut self, command: &str, arguments: Value) -> Result<()> {
        let line = json!({"execute": command, "arguments": arguments});
        Ok(self.stream.get_mut().write_all(format!("{line}\n").as_bytes())?)
    }

    /// The next message that is one; none when the time is up.
    pub fn next(&mut self, until: Instant) -> Result<Option<Value>> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.get_ref().set_read_timeout(Some(left))?;
            match self.stream.read_until(b'\n', &mut self.begun) {
                Ok(0) => bail!("the machine hung up"),
                Ok(_) if self.begun.ends_with(b"\n") => {
                    let line = std::mem::take(&mut self.begun);
                    if let Ok(message) = serde_json::from_slice(&line) {
                        return Ok(Some(message));
                    }
                }
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error).context("cannot hear the machine"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn an_answer_is_found_among_other_messages_and_silence_ends() {
        let path = std::env::temp_dir().join(format!("windlass-talk-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let machine = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut asked).unwrap();
            stream.write_all(b"\xffrubbish\n{\"event\":\"RESUME\"}\n{\"return\"").unwrap();
            std::thread::sleep(Duration::from_millis(20));
            stream.write_all(b":7}\n{\"error\":{\"desc\":\"no such thing\"}}\n").unwrap();
            std::thread::sleep(Duration::from_millis(400));
            asked
        });
        let mut talk = Conversation::connect(&path).unwrap();
        let patience = Duration::from_secs(5);
        assert_eq!(talk.ask("query", json!({}), patience).unwrap(), json!(7));
        let refused = talk.ask("query", json!({}), patience).unwrap_err();
        assert_eq!(refused.to_string(), "`query`: no such thing");
        let silent = talk.ask("query", json!({}), Duration::from_millis(30)).unwrap_err();
        assert_eq!(silent.to_string(), "`query` was not answered within 0 s");
        assert_eq!(machine.join().unwrap(), "{\"arguments\":{},\"execute\":\"query\"}\n");
        std::fs::remove_file(path).unwrap();
    }
}
