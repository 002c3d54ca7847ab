//! The lab as one background program, and how others talk to it: JSON lines over a unix socket.
//!
//! [`serve`] is the daemon; [`Client`] is what the command line uses. The socket appears when the
//! lab is up.

mod answer;
mod client;
mod leaving;
mod request;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

pub use self::answer::Status;
pub use self::client::{Client, end, spawn};
pub use self::request::{FaultRule, PoolShape, RefreshPace, Request, duration};
use super::progress::Progress;
use super::running::{Lab, Wanted};

/// A lab's run-time files: `control`, `pid`, `log`.
#[derive(Clone, Debug)]
pub struct Place(PathBuf);

impl Place {
    /// Short, since a socket's path may have 107 bytes only.
    pub fn of(name: &str) -> Self {
        Self(Path::new("/run/windlass-lab").join(name))
    }

    pub fn folder(&self) -> PathBuf {
        self.0.clone()
    }

    pub fn socket(&self) -> PathBuf {
        self.0.join("control")
    }

    pub fn pid(&self) -> PathBuf {
        self.0.join("pid")
    }

    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Held by who must be alone; it outlives the lab.
    pub fn lock(&self) -> PathBuf {
        self.0.with_extension("lock")
    }

    pub fn create(&self) -> Result<()> {
        fs::create_dir_all(&self.0).with_context(|| format!("cannot make {}", self.0.display()))
    }

    pub fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.0.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Runs a lab until it is told to end, by its socket or by a signal.
pub async fn serve(wanted: Wanted) -> Result<()> {
    let place = Place::of(&wanted.name);
    // Whoever started it may leave, and Ctrl-C there is not meant for it.
    let _ = nix::unistd::setsid();
    fs::write(place.pid(), std::process::id().to_string())?;
    let progress = Progress::new();
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let lab = tokio::select! {
        lab = Lab::start(wanted, &progress) => Arc::new(lab?),
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let (end, mut ended) = mpsc::channel::<()>(1);
    let listener = listen(&place.socket())?;
    progress.say("lab", "up");
    let accepting = tokio::spawn(accept(listener, lab.clone(), end));
    tokio::select! {
        _ = ended.recv() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    accepting.abort();
    progress.say("lab", "ending");
    lab.end().await
}

/// Under another name until it listens, so that whoever sees it can connect.
fn listen(path: &Path) -> Result<UnixListener> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let listener =
        UnixListener::bind(&new).with_context(|| format!("cannot listen on {}", new.display()))?;
    fs::rename(&new, path)?;
    Ok(listener)
}

async fn accept(listener: UnixListener, lab: Arc<Lab>, end: mpsc::Sender<()>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (lab, end) = (lab.clone(), end.clone());
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &lab, &end).await {
                tracing::warn!("a conversation on the control socket: {error:#}");
            }
        });
    }
}

async fn converse(stream: UnixStream, lab: &Lab, end: &mpsc::Sender<()>) -> Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        let result = match serde_json::from_str(&line) {
            Ok(Request::End) => {
                let _ = end.try_send(());
                Ok(Value::Null)
            }
            Ok(request) => answer::answer(lab, request).await,
            Err(error) => Err(error.into()),
        };
        let reply = match result {
            Ok(value) => json!({"ok": value}),
            Err(error) => json!({"error": format!("{error:#}")}),
        };
        write.write_all(format!("{reply}\n").as_bytes()).await?;
    }
    Ok(())
}
