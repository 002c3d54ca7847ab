//! Packer as Debian has it: 1.6.6, the last that may be distributed freely. It is unpacked into the
//! cache and not installed.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::cache::{Cache, Key};
use crate::lab::progress::Progress;
use crate::lab::run::{command, output};

/// Raised when the steps below change.
const RECIPE: &str = "1";

/// The program.
pub fn packer(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    let key = Key::default().with(RECIPE).with(std::env::consts::ARCH);
    let folder = cache.ensure("packer", &key, progress, |folder| {
        let _lock = cache.lock("apt", progress)?;
        progress.say("packer", "fetching Debian's package");
        let download =
            || output(command("apt-get", ["download", "-q", "packer"]).current_dir(folder));
        // A machine whose package lists are missing or old.
        let updated = || {
            output(&mut command("apt-get", ["update", "-q"]))?;
            download()
        };
        download().or_else(|_| updated()).context("cannot fetch Debian's package `packer`")?;
        let unpack = "dpkg-deb --extract packer_*.deb . && rm packer_*.deb";
        output(command("sh", ["-c", unpack]).current_dir(folder)).map(drop)
    })?;
    Ok(folder.join("usr/bin/packer"))
}
