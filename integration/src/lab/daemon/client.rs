//! The other end of the control socket, and a daemon's start and end as seen from outside.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Place, Request};
use crate::lab::artifacts::Cache;
use crate::lab::{fleet, running};

/// A conversation with a lab.
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    pub fn connect(name: &str) -> Result<Self> {
        let socket = Place::of(name).socket();
        let Ok(stream) = UnixStream::connect(&socket) else {
            bail!("no lab called `{name}` is up\nhint: `cargo lab up`");
        };
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T> {
        let line = serde_json::to_string(request)?;
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes())?;
        let mut reply = String::new();
        if self.stream.read_line(&mut reply)? == 0 {
            bail!("the lab hung up");
        }
        let mut reply: Value = serde_json::from_str(&reply)?;
        match reply.get("error").and_then(Value::as_str) {
            Some(error) => Err(anyhow!("{error}")),
            None => Ok(serde_json::from_value(reply["ok"].take())?),
        }
    }
}

/// Starts a daemon and follows its log until it is up. `daemon` runs `serve` for this name.
pub fn spawn(name: &str, daemon: &mut Command) -> Result<()> {
    if Client::connect(name).is_ok() {
        bail!("a lab called `{name}` is up already\nhint: `cargo lab down`, or another --name");
    }
    let place = Place::of(name);
    place.remove()?;
    place.create()?;
    let log = File::create(place.log())?;
    let mut child = daemon
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot run {}", daemon.get_program().display()))?;
    follow(&place, &mut child)
}

fn follow(place: &Place, child: &mut Child) -> Result<()> {
    let mut log = File::open(place.log())?;
    loop {
        let up = place.socket().exists();
        let ended = child.try_wait()?;
        copy_new(&mut log)?;
        match ended {
            _ if up => return Ok(()),
            Some(status) => {
                bail!("the lab did not come up ({status}); its log is {}", place.log().display())
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// The daemon's progress becomes ours.
fn copy_new(log: &mut File) -> Result<()> {
    let mut text = String::new();
    let at = log.stream_position()?;
    // Half a line, or half a character, is read again the next time.
    let read = log.read_to_string(&mut text);
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    eprint!("{}", &text[..whole]);
    log.seek(SeekFrom::Start(at + whole as u64))?;
    read.map(drop).or(Ok(()))
}

/// Ends a lab, and clears away what a killed one left. Nothing there is nothing to do.
pub fn end(name: &str) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let place = Place::of(name);
    let pid = daemon_pid(&place);
    if let Ok(mut client) = Client::connect(name) {
        let _ = client.ask::<Value>(&Request::End);
    } else if let Some(pid) = pid {
        let _ = kill(pid, Signal::SIGTERM);
    }
    if let Some(pid) = pid {
        let started = Instant::now();
        while is_daemon(pid) && started.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        if is_daemon(pid) {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
    fleet::clean(&running::prefix(name))?;
    let folder = running::folder(&Cache::open()?, name);
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    place.remove()
}

fn daemon_pid(place: &Place) -> Option<Pid> {
    let pid = Pid::from_raw(fs::read_to_string(place.pid()).ok()?.trim().parse().ok()?);
    is_daemon(pid).then_some(pid)
}

/// Not just anybody who has got its number since.
fn is_daemon(pid: Pid) -> bool {
    let arguments =
        fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
    arguments.split(|byte| *byte == 0).any(|argument| argument == b"daemon")
}
