//! The folders that lie on the disk. What the image has in them is copied once, while nobody writes to
//! it; the disk's counts from then on. The root's stays where it is, below: an instance that was stopped
//! has an empty disk again.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, anyhow};

use super::DATA;
use super::account::Refused;
use super::mounts::{Mounts, bind};
use super::run::run;
use crate::converge::{Changes, Ensured};
use crate::host::{Machine, UnitState};

/// Where programs look for it, and what it is called on the disk: images and containers, pods' volumes,
/// what pods print.
pub(super) const PLACES: [(&str, &str); 3] = [
    ("/var/lib/containerd", "containerd"),
    ("/var/lib/kubelet", "kubelet"),
    ("/var/log/pods", "pods"),
];

const CONTAINERD: &str = "containerd.service";
const KUBELET: &str = "kubelet.service";

/// One folder for each pod that has containers (containerd's state folder, the CRI plugin's namespace).
/// They outlive containerd's end.
const PODS: &str = "/run/containerd/io.containerd.runtime.v2.task/k8s.io";

/// Every place shows what is on the disk.
pub(super) fn are_bound(mounts: &Mounts) -> bool {
    PLACES.into_iter().all(|(path, name)| mounts.is_bound(path, name))
}

/// Puts them there.
///
/// containerd runs already at a boot, on the root's store. It has no containers before kubelet runs, so
/// it is stopped and started again.
pub(super) async fn ensure(machine: &Machine, changes: &mut Changes) -> anyhow::Result<()> {
    let mounts = Mounts::read(machine)?;
    let missing: Vec<_> =
        PLACES.into_iter().filter(|(path, name)| !mounts.is_bound(path, name)).collect();
    machine.stop_units(&[CONTAINERD]).await?;
    let placed = place(machine, &missing, changes).await;
    let started = machine.start_units(&[CONTAINERD]).await;
    placed.and(started)
}

async fn place(
    machine: &Machine,
    missing: &[(&str, &str)],
    changes: &mut Changes,
) -> anyhow::Result<()> {
    for (path, name) in missing {
        let copied = ensure_copied(machine, path, name).await?;
        changes.add(copied, || format!("copied {path}"));
        bind(&machine.path(DATA).join(name), &machine.path(path))?;
    }
    Ok(())
}

/// Whatever runs has files open below these places.
pub(super) async fn ensure_idle(machine: &Machine) -> anyhow::Result<()> {
    let states = machine.unit_states(&[KUBELET]).await?;
    let kubelet_runs = matches!(states.get(KUBELET), Some(UnitState::Running { .. }));
    let has_pods = fs::read_dir(machine.path(PODS)).is_ok_and(|mut pods| pods.next().is_some());
    if kubelet_runs || has_pods {
        let found = if has_pods { "there are pods" } else { "kubelet runs" };
        return Err(Refused(format!(
            "{found} on the root's disk, and they cannot move to another while they run\n\
             hint: replace the instance, or reboot it"
        ))
        .into());
    }
    Ok(())
}

/// A copy counts when it has its name: by then all of it is on the disk.
async fn ensure_copied(machine: &Machine, from: &str, name: &str) -> anyhow::Result<Ensured> {
    let data = machine.path(DATA);
    let (whole, part) = (data.join(name), data.join(format!(".{name}.copying")));
    if whole.is_dir() {
        return Ok(Ensured::Unchanged);
    }
    let from = machine.path(from);
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&from)
        .with_context(|| format!("making {}", from.display()))?;
    remove(&part)?;
    let words = [from.display().to_string(), part.display().to_string()];
    // Owners, times, extended attributes (by which overlayfs knows what was deleted), and no other file
    // system that is mounted below.
    let options = [
        "--archive",
        // Alone it is an error when one cannot be; within `--archive` it is not.
        "--preserve=xattr",
        "--one-file-system",
        "--reflink=auto",
        "--no-target-directory",
    ];
    let copied = run("cp", &[&options[..], &[&words[0], &words[1]]].concat()).await;
    if let Err(error) = copied {
        let _ = fs::remove_dir_all(&part);
        let said = format!(
            "copying {} to the group's disk: {error:#}\nhint: `df -h {} {DATA}` says what there is \
             and how much room",
            from.display(),
            from.display()
        );
        // Another try would fill the disk again.
        let is_full = said.contains("No space left on device");
        return Err(if is_full { Refused(said).into() } else { anyhow!(said) });
    }
    run("sync", &["--file-system", &words[1]]).await?;
    let renamed = fs::rename(&part, &whole).and_then(|()| File::open(&data)?.sync_all());
    renamed.with_context(|| format!("naming {}", whole.display()))?;
    Ok(Ensured::Changed)
}

/// What a killed run left.
fn remove(part: &Path) -> anyhow::Result<()> {
    if part.exists() {
        fs::remove_dir_all(part).with_context(|| format!("removing {}", part.display()))?;
    }
    Ok(())
}
