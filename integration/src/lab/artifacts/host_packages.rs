//! Debian packages that the host needs to build and run a lab, installed when they are missing.

use anyhow::{Context, Result};

use super::cache::Cache;
use crate::lab::progress::Progress;
use crate::lab::run::{command, output};

/// runc is built with seccomp (libseccomp, pkg-config), the tree by mmdebstrap, networks by `ip`
/// and `nft`.
const PACKAGES: [&str; 5] = ["iproute2", "libseccomp-dev", "mmdebstrap", "nftables", "pkg-config"];

pub fn ensure(cache: &Cache, progress: &Progress) -> Result<()> {
    if missing()?.is_empty() {
        return Ok(());
    }
    let _lock = cache.lock("apt", progress)?;
    let missing = missing()?;
    if missing.is_empty() {
        return Ok(());
    }
    progress.say("apt-get", format!("installing {}", missing.join(", ")));
    output(&mut command("apt-get", ["update", "-q"]))
        .context("cannot read Debian's package lists")?;
    let mut install = command("apt-get", ["install", "-q", "-y", "--no-install-recommends"]);
    output(install.args(&missing).env("DEBIAN_FRONTEND", "noninteractive"))
        .context("cannot install what the lab needs on this machine")?;
    Ok(())
}

fn missing() -> Result<Vec<&'static str>> {
    let installed =
        output(&mut command("dpkg-query", ["-W", "-f", "${db:Status-Status} ${Package}\n"]))
            .context("the lab runs on Debian and its like")?;
    Ok(PACKAGES
        .into_iter()
        .filter(|name| !installed.lines().any(|line| line == format!("installed {name}")))
        .collect())
}
