//! A container node: systemd as PID 1 over an overlay of the node tree, in namespaces and control
//! groups of its own. It runs on the host's kernel, so it is up within a second.
//!
//! [`Node::start`] runs this same program again as `lab node-enter`, which enters the namespaces
//! (`enter.rs`), and that runs `lab node-init` as PID 1, which mounts what a machine has
//! (`init.rs`) and becomes systemd.

pub mod cgroups;
pub mod enter;
pub mod init;

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::lab::network::Namespace;
use crate::lab::run::{command, output};

/// All that `node-enter` and `node-init` need to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// Unique on the machine; control groups are named so.
    pub name: String,
    pub hostname: String,
    pub namespace: PathBuf,
    /// The node's own folder: `upper`, `work`, `root`, `containerd`, `console.log`, `pid`.
    pub folder: PathBuf,
    /// Layers of the root file system, the uppermost first.
    pub layers: Vec<PathBuf>,
}

impl Spec {
    pub fn upper(&self) -> PathBuf {
        self.folder.join("upper")
    }

    pub fn console(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    fn file(&self) -> PathBuf {
        self.folder.join("spec.json")
    }

    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is not a node's specification", path.display()))
    }
}

/// A node that runs.
#[derive(Debug)]
pub struct Node {
    pub spec: Spec,
    /// As the host sees its PID 1.
    pub pid: u32,
    /// It went down by itself, to come up again.
    restarts: Arc<AtomicBool>,
}

impl Node {
    /// Makes the node's folder; what is to be in its file system beforehand goes to
    /// [`Spec::upper`] between this and [`Node::start`].
    pub fn prepare(spec: &Spec) -> Result<()> {
        for folder in ["upper", "work", "root", "containerd"] {
            let path = spec.folder.join(folder);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        fs::write(spec.file(), serde_json::to_vec_pretty(spec)?)?;
        Ok(())
    }

    /// Boots it; returns when its PID 1 exists.
    pub fn start(program: &Path, spec: Spec) -> Result<Self> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let console = File::create(spec.console())?;
        let pid_file = spec.folder.join("pid");
        let _ = fs::remove_file(&pid_file);
        let mut child = Command::new(program)
            .arg("node-enter")
            .arg(spec.file())
            .stdin(std::process::Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            // Ctrl-C at the terminal is for the lab, which ends its nodes in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let started = Instant::now();
        loop {
            if let Some(pid) = fs::read_to_string(&pid_file)
                .ok()
                .and_then(|pid| pid.strip_suffix('\n')?.parse().ok())
            {
                let restarts = Arc::new(AtomicBool::new(false));
                let told = Arc::clone(&restarts);
                std::thread::spawn(move || {
                    let code = child.wait().ok().and_then(|status| status.code());
                    told.store(code == Some(enter::RESTARTS.into()), Ordering::Relaxed);
                });
                return Ok(Self { spec, pid, restarts });
            }
            if child.try_wait()?.is_some() || started.elapsed() > PATIENCE {
                let said = fs::read_to_string(spec.console()).unwrap_or_default();
                bail!("the node `{}` did not start: {}", spec.name, said.trim());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// A command that runs in the node, in all its namespaces.
    pub fn command<'a>(pid: u32, words: impl IntoIterator<Item = &'a str>) -> Command {
        let target = pid.to_string();
        let mut enter = command("nsenter", ["--target", &target, "--all", "--wdns=/", "--"]);
        enter.args([
            "/usr/bin/env",
            "-i",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/root",
        ]);
        if let Ok(term) = std::env::var("TERM") {
            enter.arg(format!("TERM={term}"));
        }
        enter.args(words);
        enter
    }

    /// Runs a command in the node to its end.
    pub fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Result<String> {
        output(&mut Self::command(self.pid, words))
    }

    /// Whether somebody on the node said `reboot`, and it went down for that.
    pub fn restarts(&self) -> bool {
        self.restarts.load(Ordering::Relaxed)
    }

    pub fn is_alive(&self) -> bool {
        kill(Pid::from_raw(self.pid.cast_signed()), None).is_ok()
    }

    /// Asks its systemd to power off, as EC2 does on termination, and waits at most so long before
    /// the power goes.
    pub fn end(&self, patience: Duration) -> Result<()> {
        if !patience.is_zero() {
            let _ = self.run(["systemctl", "poweroff", "--no-block"]);
            let started = Instant::now();
            while self.is_alive() && started.elapsed() < patience {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let _ = kill(Pid::from_raw(self.pid.cast_signed()), Signal::SIGKILL);
        clean(&self.spec.name)
    }
}

/// Ends whatever runs under a node's name and removes its control groups and its namespace: also
/// of a node that another, killed lab started.
pub fn clean(name: &str) -> Result<()> {
    cgroups::end(name)?;
    for namespace in
        Namespace::with_prefix(name)?.iter().filter(|namespace| namespace.name() == name)
    {
        namespace.delete()?;
    }
    Ok(())
}
