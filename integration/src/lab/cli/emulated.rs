//! `cargo lab emulated`: the agent's unit tests, compiled for arm64 and run by qemu's user emulation
//! on the host's kernel. They print what tests print.

use anyhow::{Context, Result, bail};

use crate::lab::artifacts::Cache;
use crate::lab::progress::Progress;
use crate::lab::release::arm64::Arm64;

/// Builds and runs them. An error when one fails.
pub fn emulated() -> Result<()> {
    let progress = Progress::new();
    let arm64 = Arm64::ensure(&Cache::open()?, &progress)?;
    progress.say("emulated", "building the agent's unit tests for arm64");
    let tests = arm64.build_tests()?.program;
    progress.say("emulated", "running them: two explore many states and take ten minutes");
    let status = arm64.with_source(|source| {
        let mut qemu = arm64.emulated(&tests, None::<&str>);
        qemu.current_dir(source.join("agent")).status().context("cannot run qemu")
    })?;
    if !status.success() {
        bail!("the agent's unit tests do not pass under qemu ({status}): see above");
    }
    Ok(())
}
