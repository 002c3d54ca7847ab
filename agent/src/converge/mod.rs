//! Makes the host as planned: ordered `ensure_*` calls, each of which looks first and says whether
//! it changed anything. Run twice, the second run changes nothing; killed anywhere, the next run
//! goes on.

mod difference;
pub mod files;
mod kernel;
mod kubelet_state;
mod memory;
pub mod network;
mod programs;
mod units;

use std::path::{Path, PathBuf};

use futures_util::future::try_join_all;
use tokio::task::spawn_blocking;

use crate::host::Machine;
use crate::plan::HostPlan;
use crate::plan::network::PodNetwork;

pub use difference::difference;
pub use files::{ensure_file, ensure_symlink};
pub use kernel::{ensure_sysctl, in_order};
pub use units::ensure_units;

use network::{Change, ensure_filter};

/// What an `ensure_*` call found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// It was so already.
    Unchanged,
    /// It was not; now it is.
    Changed,
}

/// What was changed, in the words of a log line each; all of it may be nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(pub Vec<String>);

/// Files first, then what the kernel is told. Units are started apart, by [`ensure_units`]: some of
/// them later than what they read.
pub async fn ensure(machine: &Machine, plan: &HostPlan) -> anyhow::Result<Changes> {
    programs::check(machine, &plan.programs)?;
    let mut changes = ensure_files(machine, plan).await?;
    // Before the settings: its rules bring the kernel's modules, whose settings are among them
    // (`net.netfilter.nf_conntrack_max`), and nothing is forwarded that is not filtered.
    if let Some(wanted) = &plan.packet_filter {
        let filter = ensure_filter(machine, wanted).await?;
        changes.add(filter, || Change::FilterReplaced.to_string());
    }
    let settings = kernel::ensure_sysctls(machine, plan.sysctls.iter())?;
    let mut changes = changes.and(settings).and(ensure_memory(machine, plan).await?);
    for (file, policy) in &plan.kubelet_states {
        let ensured = kubelet_state::ensure_state(machine, file, policy.as_deref())?;
        changes.add(ensured, || format!("{}, which was void, is gone", file.display()));
    }
    match &plan.network {
        Some(network) => Ok(changes.and(ensure_network(machine, network).await?)),
        None => Ok(changes),
    }
}

async fn ensure_memory(machine: &Machine, plan: &HostPlan) -> anyhow::Result<Changes> {
    let mut changes = Changes::default();
    for (size, count) in &plan.hugepages {
        let ensured = memory::ensure_hugepages(machine, *size, *count)?;
        changes.add(ensured, || format!("{count} huge pages of {size}"));
    }
    match plan.swap_off {
        true => Ok(changes.and(memory::ensure_swap_off(machine).await?)),
        false => Ok(changes),
    }
}

/// The kernel has the planned routes and rules, or the first reason why not.
async fn ensure_network(machine: &Machine, wanted: &PodNetwork) -> anyhow::Result<Changes> {
    let mut changes = Changes::default();
    let reconciled = network::reconcile(machine, wanted).await?;
    for change in reconciled.changes {
        changes.add(Ensured::Changed, || change.to_string());
    }
    for foreign in reconciled.foreign {
        tracing::warn!("{foreign}");
    }
    match reconciled.failed.into_iter().next() {
        Some(failed) => Err(failed.into()),
        None => Ok(changes),
    }
}

/// Each file costs two syncs of a disk: not on a thread that has requests to wait for, and all at
/// once, since a journalling file system takes many syncs for little more than one.
async fn ensure_files(machine: &Machine, plan: &HostPlan) -> anyhow::Result<Changes> {
    let each = plan.files.iter().cloned().map(|file| {
        let machine = machine.clone();
        spawn_blocking(move || {
            ensure_file(&machine, &file.path, file.mode, file.contents.as_bytes())
        })
    });
    let mut changes = Changes::default();
    for (file, ensured) in plan.files.iter().zip(try_join_all(each).await?) {
        changes.add(ensured?, || file.path.display().to_string());
    }
    Ok(changes)
}

impl Changes {
    /// Notes what changed, if it did.
    pub fn add(&mut self, ensured: Ensured, what: impl FnOnce() -> String) {
        if ensured == Ensured::Changed {
            let what = what();
            tracing::debug!("changed {what}");
            self.0.push(what);
        }
    }

    /// Both as one.
    pub fn and(mut self, later: Changes) -> Self {
        self.0.extend(later.0);
        self
    }

    /// Whether nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The folder that a file lies in.
fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).to_owned()
}
