//! The layers of a node's root file system, from the bottom: Debian; what `windlass bake` makes of
//! it; kube-proxy; on control-plane nodes the control plane's programs; the node's own changes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::artifacts::{Artifacts, Cache, Key, PAUSE};
use super::progress::Progress;
use super::run::{command, output};
use super::service_proxy;

/// What the control plane runs, beside what is on every node.
const CONTROL_PLANE: [&str; 4] =
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"];
const ETCD: [&str; 2] = ["etcd", "etcdctl"];

/// What is baked into every node.
const KUBERNETES: [&str; 1] = ["kubelet"];
const CONTAINERD: [&str; 8] = [
    "bridge",
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "host-local",
    "loopback",
    "portmap",
    "runc",
];

/// How many products' layers stay in the cache: each change of the program makes another.
const BAKED_KEPT: usize = 4;

/// What this build of `windlass bake` makes of the plain tree.
pub fn baked(
    cache: &Cache,
    artifacts: &Artifacts,
    windlass: &Path,
    progress: &Progress,
) -> Result<PathBuf> {
    let description = description(artifacts);
    let built =
        fs::metadata(windlass).with_context(|| format!("cannot find {}", windlass.display()))?;
    let key = Key::default()
        .with(&description)
        .with(artifacts.debian.display().to_string())
        // Not its contents: hashing a debug build takes longer than baking.
        .with(format!("{} {} {} {}", built.ino(), built.size(), built.mtime(), built.mtime_nsec()));
    let folder = cache.ensure("baked", &key, progress, |folder| {
        fs::write(folder.join("bake.toml"), &description)?;
        bake(&artifacts.debian, windlass, folder)
    })?;
    cache.prune("baked", BAKED_KEPT, &folder)?;
    Ok(folder.join("upper"))
}

/// `bake.toml`, as an image builder would write it.
fn description(artifacts: &Artifacts) -> String {
    let binary = |folder: &Path, name: &str| {
        format!("[[binary]]\nname = \"{name}\"\nfrom = \"{}\"\n\n", folder.join(name).display())
    };
    let kubernetes = KUBERNETES.map(|name| binary(&artifacts.kubernetes, name));
    let containerd = CONTAINERD.map(|name| binary(&artifacts.containerd, name));
    format!(
        "kubernetes = \"{}\"\n\n[containerd]\nsandbox = \"{PAUSE}\"\n\n{}{}",
        artifacts.kubernetes_version,
        kubernetes.concat(),
        containerd.concat()
    )
}

/// Bakes into an overlay over the plain tree, so that what was added is a layer of its own.
fn bake(debian: &Path, windlass: &Path, folder: &Path) -> Result<()> {
    let [upper, work, root] = ["upper", "work", "root"].map(|name| folder.join(name));
    [&upper, &work, &root].into_iter().try_for_each(fs::create_dir)?;
    over(&[debian], Some((&upper, &work)), &root, || {
        output(command(windlass, ["bake", "--root"]).arg(&root).arg(folder.join("bake.toml")))
            .map(drop)
    })
}

/// Does something with an overlay of these layers, the uppermost first, mounted at `root`; with the
/// two folders for what is written, or read-only. Only `f` and what it starts see the mount.
pub fn over(
    layers: &[&Path],
    written: Option<(&Path, &Path)>,
    root: &Path,
    f: impl FnOnce() -> Result<()> + Send,
) -> Result<()> {
    let lower: Vec<_> = layers.iter().map(|layer| layer.display().to_string()).collect();
    let mut options = format!("lowerdir={}", lower.join(":"));
    if let Some((upper, work)) = written {
        options += &format!(",upperdir={},workdir={}", upper.display(), work.display());
    }
    let mounted = || {
        unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
        mount(
            None::<&str>,
            "/",
            None::<&str>,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            None::<&str>,
        )?;
        mount(Some("overlay"), root, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
            .with_context(|| format!("cannot mount an overlay ({options})"))?;
        f()
    };
    std::thread::scope(|scope| scope.spawn(mounted).join())
        .map_err(|_| anyhow!("the thread that has the overlay panicked"))?
}

/// The control plane's programs, as hard links into the cache.
pub fn control_plane(cache: &Cache, artifacts: &Artifacts, progress: &Progress) -> Result<PathBuf> {
    let key = Key::default()
        .with(artifacts.kubernetes.display().to_string())
        .with(artifacts.etcd.display().to_string())
        .with([CONTROL_PLANE.join(" "), ETCD.join(" ")].concat());
    cache.ensure("control-plane", &key, progress, |folder| {
        let bin = folder.join("usr/local/bin");
        fs::create_dir_all(&bin)?;
        for (from, names) in
            [(&artifacts.kubernetes, &CONTROL_PLANE[..]), (&artifacts.etcd, &ETCD[..])]
        {
            names.iter().try_for_each(|name| link(&from.join(name), &bin.join(name)))?;
        }
        Ok(())
    })
}

/// kube-proxy and its unit.
pub fn service_proxy(cache: &Cache, artifacts: &Artifacts, progress: &Progress) -> Result<PathBuf> {
    let key = Key::default()
        .with(artifacts.kubernetes.display().to_string())
        .with(service_proxy::UNIT)
        .with(service_proxy::configuration().to_string());
    cache.ensure("service-proxy", &key, progress, |folder| {
        let bin = folder.join("usr/local/bin");
        fs::create_dir_all(&bin)?;
        link(&artifacts.kubernetes.join("kube-proxy"), &bin.join("kube-proxy"))?;
        service_proxy::install(folder)
    })
}

fn link(from: &Path, to: &Path) -> Result<()> {
    fs::hard_link(from, to)
        .or_else(|_| fs::copy(from, to).map(drop))
        .with_context(|| format!("cannot link {}", from.display()))
}
