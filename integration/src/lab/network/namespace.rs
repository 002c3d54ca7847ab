//! A named network namespace, as `ip netns` makes them.
//!
//! A socket belongs to the namespace of the thread that made it, for life. So [`Namespace::inside`]
//! makes sockets on a thread of its own, and the tokio runtime outside uses them.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns};
use tokio::net::{TcpSocket, TcpStream};

use crate::lab::run::{command, output};

/// Where `ip netns` keeps them.
const FOLDER: &str = "/run/netns";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    pub fn create(name: &str) -> Result<Self> {
        output(&mut command("ip", ["netns", "add", name]))?;
        Ok(Self { name: name.to_owned() })
    }

    /// All whose name begins so: what a lab that was killed left behind.
    pub fn with_prefix(prefix: &str) -> Result<Vec<Self>> {
        let entries = match fs::read_dir(FOLDER) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("cannot list {FOLDER}"))?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter(|name| name.starts_with(prefix)).map(|name| Self { name }).collect())
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn path(&self) -> PathBuf {
        PathBuf::from(FOLDER).join(&self.name)
    }

    pub fn delete(&self) -> Result<()> {
        output(&mut command("ip", ["netns", "delete", &self.name])).map(drop)
    }

    /// Runs `f` on a thread that is in this namespace.
    pub fn inside<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = self.path();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let file = File::open(&path).with_context(|| {
                    format!("no network namespace `{}` at {}", self.name, path.display())
                })?;
                setns(file, CloneFlags::CLONE_NEWNET).with_context(|| {
                    format!("cannot enter the network namespace `{}`", self.name)
                })?;
                f()
            });
            thread.join().map_err(|_| {
                anyhow!("a thread in the network namespace `{}` panicked", self.name)
            })?
        })
    }

    /// A listening socket.
    pub fn listen(&self, address: SocketAddr) -> Result<TcpListener> {
        self.inside(|| {
            TcpListener::bind(address).with_context(|| {
                format!("cannot listen on {address} in the network namespace `{}`", self.name)
            })
        })
    }

    /// A connection from within, ready for tokio outside.
    pub async fn connect(&self, address: SocketAddrV4) -> Result<TcpStream> {
        let socket = self.inside(|| Ok(TcpSocket::new_v4()?))?;
        let failed =
            || format!("cannot connect to {address} from the network namespace `{}`", self.name);
        socket.connect(address.into()).await.with_context(failed)
    }

    /// Commands of `ip`, a line each, run as one batch.
    pub fn ip(&self, batch: &str) -> Result<()> {
        let said = self.batch(batch, &[])?;
        if !said.is_empty() {
            bail!("`ip -batch` failed in the network namespace `{}`: {said}\n{batch}", self.name);
        }
        Ok(())
    }

    /// The same, past lines that fail: an interface of a machine that goes may be gone already.
    pub fn ip_as_far_as_possible(&self, batch: &str, options: &[&str]) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let said = self.batch(batch, &[options, &["-force"]].concat())?;
        if !said.is_empty() {
            tracing::debug!("`ip -batch` in the network namespace `{}`: {said}", self.name);
        }
        Ok(())
    }

    /// What `ip` complains of; nothing if all went well.
    fn batch(&self, batch: &str, options: &[&str]) -> Result<String> {
        let mut child = command("ip", ["-n", &self.name])
            .args(options)
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run `ip`\nhint: install iproute2")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(batch.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(String::new());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Ok(if said.is_empty() { output.status.to_string() } else { said })
    }

    /// Sets values under `/proc/sys`, which follows the thread's namespace.
    pub fn sysctl(&self, values: &[(&str, &str)]) -> Result<()> {
        self.inside(|| {
            values.iter().try_for_each(|(name, value)| {
                let path = format!("/proc/sys/{}", name.replace('.', "/"));
                fs::write(&path, value).with_context(|| format!("cannot write {value} to {path}"))
            })
        })
    }
}
