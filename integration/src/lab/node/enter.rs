//! `lab node-enter SPEC`: joins the node's control groups and its network namespace, makes the
//! other namespaces, and runs `node-init` as PID 1 in them.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::Signal;

use super::{Spec, cgroups};

/// It leaves so when the node wants to be started again.
pub const RESTARTS: u8 = 3;

pub fn main(file: &Path) -> Result<ExitCode> {
    let spec = Spec::read(file)?;
    cgroups::join(&spec.name)?;
    let namespace = File::open(&spec.namespace).with_context(|| {
        format!("cannot open the network namespace {}", spec.namespace.display())
    })?;
    setns(namespace, CloneFlags::CLONE_NEWNET)
        .context("cannot enter the node's network namespace")?;
    // After the control groups, so that the node sees its own group as the root; the new PID
    // namespace is for children alone.
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWCGROUP
            | CloneFlags::CLONE_NEWPID,
    )
    .context("cannot make the node's namespaces")?;
    // Opened before there is a PID 1: that changes the root of this mount namespace, and so of this
    // program.
    let file_of_pid = spec.folder.join("pid");
    let mut pid = File::create(&file_of_pid)
        .with_context(|| format!("cannot make {}", file_of_pid.display()))?;
    let mut init = Command::new(std::env::current_exe()?)
        .arg("node-init")
        .arg(file)
        .env_clear()
        .spawn()
        .context("cannot start the node's PID 1")?;
    pid.write_all(format!("{}\n", init.id()).as_bytes())
        .with_context(|| format!("cannot write {}", file_of_pid.display()))?;
    // "reboot() from a PID namespace other than the initial one": init is ended by this signal
    // (reboot(2)).
    let restarts = init.wait()?.signal() == Some(Signal::SIGHUP as i32);
    Ok(if restarts { ExitCode::from(RESTARTS) } else { ExitCode::SUCCESS })
}
