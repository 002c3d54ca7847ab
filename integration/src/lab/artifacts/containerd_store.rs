//! containerd's folder with the lab's image in it already: what `windlass bake` leaves in
//! `/var/lib/containerd`. The lab bakes onto an overlay, on which containerd unpacks no layers, so
//! the same is done here on a disk.
//!
//! The same version of containerd as on the nodes fills it, on this machine, with its CRI plugin
//! off. Each node gets a copy whose big files are hard links: containerd never writes to a blob or
//! to a layer that is there, only to its databases.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::cache::{Cache, Key};
use super::image::{AGNHOST, PAUSE};
use crate::lab::progress::Progress;
use crate::lab::run::{command, output};

const RECIPE: &str = "2";

pub fn ensure(
    cache: &Cache,
    containerd: &Path,
    image: &Path,
    progress: &Progress,
) -> Result<PathBuf> {
    let key = Key::default()
        .with(RECIPE)
        .with(containerd.display().to_string())
        .with(image.display().to_string());
    let folder =
        cache.ensure("images", &key, progress, |folder| fill(containerd, image, folder))?;
    Ok(folder.join("root"))
}

fn fill(containerd: &Path, image: &Path, folder: &Path) -> Result<()> {
    let daemon = Daemon::start(containerd, folder)?;
    daemon.ctr(["images", "import", &image.display().to_string()])?;
    for name in [AGNHOST, PAUSE] {
        // The label by which the CRI plugin knows an image as its own.
        daemon.ctr(["images", "label", name, "io.cri-containerd.image=managed"])?;
    }
    daemon.ctr(["images", "label", PAUSE, "io.cri-containerd.pinned=pinned"])?;
    // As a bake does: what is unpacked is not kept packed as well.
    daemon.ctr(["content", "prune", "references"])?;
    daemon.end()
}

/// A containerd of its own, which sees nothing of one that may run on this machine.
struct Daemon<'a> {
    child: Child,
    containerd: &'a Path,
    socket: PathBuf,
    state: PathBuf,
}

impl<'a> Daemon<'a> {
    fn start(containerd: &'a Path, folder: &Path) -> Result<Self> {
        const PATIENCE: Duration = Duration::from_secs(30);
        let (config, socket, state) =
            (folder.join("config.toml"), folder.join("socket"), folder.join("state"));
        fs::write(
            &config,
            "version = 3\ndisabled_plugins = [\"io.containerd.cri.v1.runtime\", \"io.containerd.cri.v1.images\", \"io.containerd.grpc.v1.cri\"]\n",
        )?;
        let log = folder.join("containerd.log");
        let child = Command::new(containerd.join("containerd"))
            .arg("--config")
            .arg(&config)
            .arg("--root")
            .arg(folder.join("root"))
            .arg("--state")
            .arg(&state)
            .arg("--address")
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .context("cannot run containerd")?;
        let mut daemon = Self { child, containerd, socket, state };
        let started = Instant::now();
        while !fs::metadata(&daemon.socket).is_ok_and(|socket| socket.file_type().is_socket()) {
            if daemon.child.try_wait()?.is_some() || started.elapsed() > PATIENCE {
                bail!("containerd did not start: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(daemon)
    }

    fn ctr<const N: usize>(&self, arguments: [&str; N]) -> Result<()> {
        let address = self.socket.display().to_string();
        let mut ctr =
            command(self.containerd.join("ctr"), ["--address", &address, "--namespace", "k8s.io"]);
        output(ctr.args(arguments)).map(drop)
    }

    fn end(mut self) -> Result<()> {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        self.child.wait()?;
        fs::remove_dir_all(&self.state)
            .or_else(|error| if self.state.exists() { Err(error) } else { Ok(()) })?;
        Ok(())
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A node's own copy of such a folder.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let (source, target, kind) = (entry.path(), to.join(entry.file_name()), entry.file_type()?);
        if kind.is_dir() {
            copy(&source, &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if source.extension().is_some_and(|extension| extension == "db")
            || fs::hard_link(&source, &target).is_err()
        {
            fs::copy(&source, &target)
                .with_context(|| format!("cannot copy {}", source.display()))?;
        }
    }
    Ok(())
}
