//! A containerd of its own that fills a store in an image being built. It sees nothing of one that
//! may run on this machine, and its CRI plugins are off: what kubelet would ask for is not here.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

/// How long it may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Nothing but what stores images: `opt` and NRI would make folders of this machine's.
const CONFIGURATION: &str = "\
version = 3
disabled_plugins = [
  \"io.containerd.cri.v1.images\",
  \"io.containerd.cri.v1.runtime\",
  \"io.containerd.grpc.v1.cri\",
  \"io.containerd.internal.v1.opt\",
  \"io.containerd.nri.v1.nri\",
]
";

/// Where images are that kubelet may use ("CRI Plugin Config Guide").
const NAMESPACE: &str = "k8s.io";

/// It runs until [`Daemon::end`]; killed if this value is dropped before.
pub struct Daemon<'a> {
    child: Child,
    ctr: &'a Path,
    folder: PathBuf,
}

impl<'a> Daemon<'a> {
    /// Starts it with its store in `root`.
    pub async fn start(containerd: &Path, ctr: &'a Path, root: &Path) -> anyhow::Result<Self> {
        // A socket's path has 107 bytes at most, which an image's own folder may exceed.
        let folder =
            std::env::temp_dir().join(format!("windlass-containerd-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("making {}", folder.display()))?;
        let configuration = folder.join("config.toml");
        fs::write(&configuration, CONFIGURATION).context("writing containerd's configuration")?;
        let child = Command::new(containerd)
            .arg("--config")
            .arg(&configuration)
            .arg("--root")
            .arg(root)
            .arg("--state")
            .arg(folder.join("state"))
            .arg("--address")
            .arg(folder.join("socket"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("log")).context("containerd's log")?)
            .kill_on_drop(true)
            .spawn();
        let child = child.map_err(|error| {
            anyhow!(
                "running {}: {error}\nhint: the image's containerd must run where the image is \
                 baked; with libraries of the image, bake inside of it",
                containerd.display()
            )
        })?;
        let mut daemon = Self { child, ctr, folder };
        daemon.until_it_listens().await?;
        Ok(daemon)
    }

    async fn until_it_listens(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        let socket = self.folder.join("socket");
        while !fs::metadata(&socket).is_ok_and(|socket| socket.file_type().is_socket()) {
            let ended = self.child.try_wait().context("waiting for containerd")?;
            if ended.is_some() || started.elapsed() > PATIENCE {
                bail!("the image's containerd did not start: {}", self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// What `ctr` says to standard output.
    pub async fn ctr(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut ctr = Command::new(self.ctr);
        ctr.arg("--address").arg(self.folder.join("socket")).args(["--namespace", NAMESPACE]);
        let output = ctr.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output.with_context(|| format!("running {}", self.ctr.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let hint = match &said {
                said if said.contains("no space left on device") => {
                    "\nhint: the image's file system is full: give it a larger disk"
                }
                said if said.contains("snapshotter") => {
                    "\nhint: layers are unpacked on a disk's own file system; an overlay, as of a \
                     container's build, is none"
                }
                _ => "",
            };
            bail!("`ctr {}` failed: {}{hint}", arguments.join(" "), said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Ends it; its store is complete on disk when this returns.
    pub async fn end(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().context("containerd ended by itself")?;
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM).context("ending containerd")?;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.context("containerd does not end")?.context("waiting for containerd")?;
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
