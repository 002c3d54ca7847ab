//! What the host's kernel must allow for many nodes: each has a systemd, a containerd and a kubelet of
//! its own, and to the kernel all of them are one user's.

use std::fs;

use anyhow::{Context, Result};

use super::progress::Progress;

/// inotify(7): "an upper limit on the number of inotify instances that can be created per real user
/// ID". A node takes some fourteen, and where there is none left, kubelet does not start. The kernel's
/// default is 128.
const INSTANCES: &str = "/proc/sys/fs/inotify/max_user_instances";
const ENOUGH: u32 = 4096;

/// Raises what is too low, for the whole host, and says so.
pub fn raise(progress: &Progress) -> Result<()> {
    let found =
        fs::read_to_string(INSTANCES).with_context(|| format!("cannot read {INSTANCES}"))?;
    let found: u32 = found.trim().parse().with_context(|| format!("{INSTANCES}: `{found}`"))?;
    if found >= ENOUGH {
        return Ok(());
    }
    fs::write(INSTANCES, ENOUGH.to_string()).with_context(|| {
        format!("cannot raise {INSTANCES} from {found} to {ENOUGH}\nhint: nine nodes take {found}")
    })?;
    progress.say("host", format!("fs.inotify.max_user_instances is {ENOUGH} now, it was {found}"));
    Ok(())
}
