//! `lab node-init SPEC`, as PID 1 of a node: mounts what a machine has and becomes systemd.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{chdir, execve, pivot_root, sethostname};

use super::{Spec, cgroups};

/// Device nodes of the host that a node shares. A container has no others.
const DEVICES: [&str; 7] = ["full", "kmsg", "null", "random", "tty", "urandom", "zero"];

/// Kubelet sets these three at its start and takes a failure for fatal, yet they are the host's:
/// it finds files that hold what it wants.
const KUBELET_SYSCTLS: [(&str, &str); 3] =
    [("vm/overcommit_memory", "1"), ("kernel/panic", "10"), ("kernel/panic_on_oops", "1")];

const NOTHING: Option<&str> = None;

pub fn main(file: &Path) -> Result<Infallible> {
    // The node ends with its parent, however that ends.
    set_pdeathsig(Signal::SIGKILL)?;
    let spec = Spec::read(file)?;
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING)
        .context("cannot keep mounts to the node")?;
    let root = mount_root(&spec)?;
    mount_proc_and_sys(&root)?;
    mount_cgroups(&root)?;
    mount_devices(&root)?;
    for (place, mode) in [("run", "mode=755"), ("tmp", "mode=1777")] {
        mount_new("tmpfs", &root.join(place), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, mode)?;
    }
    write_kubelet_sysctls(&root)?;
    // Snapshots of containerd are overlays, and an overlay cannot be the upper layer of another.
    let containerd = root.join("var/lib/containerd");
    fs::create_dir_all(&containerd)
        .with_context(|| format!("cannot make {}", containerd.display()))?;
    bind(&spec.folder.join("containerd"), &containerd)?;
    bind_file(&spec.console(), &root.join("run/lab-console"))?;
    sethostname(&spec.hostname).context("cannot set the node's name")?;
    enter(&root)?;
    become_systemd()
}

fn mount_root(spec: &Spec) -> Result<PathBuf> {
    let root = spec.folder.join("root");
    let layers: Vec<_> = spec.layers.iter().map(|layer| layer.display().to_string()).collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        layers.join(":"),
        spec.upper().display(),
        spec.folder.join("work").display()
    );
    mount_new("overlay", &root, MsFlags::empty(), &options)?;
    Ok(root)
}

/// /sys and /proc/sys are read-only, but for the network's: the rest is the host's, and
/// systemd-sysctl and udevd would write to it.
fn mount_proc_and_sys(root: &Path) -> Result<()> {
    let (proc, sys) = (root.join("proc"), root.join("sys"));
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount_new("proc", &proc, safe, "")?;
    mount_new("sysfs", &sys, safe | MsFlags::MS_RDONLY, "")?;
    let sysctl = proc.join("sys");
    bind(&sysctl, &sysctl)?;
    // Before the remount, since a mount below keeps its own flags.
    let network = sysctl.join("net");
    bind(&network, &network)?;
    mount(
        NOTHING,
        &sysctl,
        NOTHING,
        MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY,
        NOTHING,
    )
    .context("cannot make /proc/sys read-only")
}

fn mount_cgroups(root: &Path) -> Result<()> {
    let top = root.join("sys/fs/cgroup");
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let hierarchies = cgroups::hierarchies()?;
    if hierarchies.iter().all(|hierarchy| !hierarchy.folder.is_empty()) {
        mount_new("tmpfs", &top, safe, "mode=755")?;
    }
    for hierarchy in hierarchies {
        let place = top.join(&hierarchy.folder);
        fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
        mount_new(&hierarchy.kind, &place, safe, &hierarchy.options)?;
    }
    Ok(())
}

fn mount_devices(root: &Path) -> Result<()> {
    let dev = root.join("dev");
    mount_new("tmpfs", &dev, MsFlags::MS_NOSUID, "mode=755")?;
    for name in DEVICES {
        bind_file(&Path::new("/dev").join(name), &dev.join(name))?;
    }
    for folder in ["pts", "shm"] {
        fs::create_dir(dev.join(folder)).with_context(|| format!("cannot make /dev/{folder}"))?;
    }
    mount_new(
        "devpts",
        &dev.join("pts"),
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
        "newinstance,ptmxmode=0666,mode=620,gid=5",
    )?;
    mount_new("tmpfs", &dev.join("shm"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=1777")?;
    symlink("pts/ptmx", dev.join("ptmx"))?;
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, dev.join(name))?;
    }
    Ok(())
}

fn write_kubelet_sysctls(root: &Path) -> Result<()> {
    let folder = root.join("run/lab-sysctl");
    fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, value) in KUBELET_SYSCTLS {
        let file = folder.join(name.replace('/', "."));
        fs::write(&file, format!("{value}\n"))?;
        bind(&file, &root.join("proc/sys").join(name))?;
    }
    Ok(())
}

/// The node's root becomes the root, and the host's is gone.
fn enter(root: &Path) -> Result<()> {
    chdir(root).with_context(|| format!("cannot enter {}", root.display()))?;
    pivot_root(".", "mnt").context("cannot change to the node's root")?;
    umount2("/mnt", MntFlags::MNT_DETACH).context("cannot leave the host's root")?;
    chdir("/")?;
    Ok(())
}

fn become_systemd() -> Result<Infallible> {
    let systemd = CString::new("/lib/systemd/systemd")?;
    let environment = [
        // What tells systemd, and `systemd-detect-virt`, that this is a container.
        CString::new("container=windlass-lab")?,
        CString::new("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")?,
    ];
    execve(&systemd, &[&systemd], &environment)
        .context("cannot run /lib/systemd/systemd in the node tree")
}

fn mount_new(kind: &str, place: &Path, flags: MsFlags, options: &str) -> Result<()> {
    mount(Some(kind), place, Some(kind), flags, Some(options))
        .with_context(|| format!("cannot mount {kind} ({options}) at {}", place.display()))
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    mount(Some(from), to, NOTHING, MsFlags::MS_BIND, NOTHING)
        .with_context(|| format!("cannot bind {} to {}", from.display(), to.display()))
}

fn bind_file(from: &Path, to: &Path) -> Result<()> {
    File::create(to).with_context(|| format!("cannot make {}", to.display()))?;
    bind(from, to)
}
