//! What the lab is made of and does not write itself: Kubernetes, etcd, containerd, an image to
//! run, a Debian tree. Everything is built from pinned sources into one cache folder, once a
//! machine, and found there in milliseconds ever after.
//!
//! A name in the cache ends in a hash of all that went into the thing, so a clone of another
//! revision finds its own; nothing in the cache is ever changed after it was published.

mod cache;
pub mod containerd_store;
mod debian;
mod golang;
mod host_packages;
mod image;
mod packer;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};

pub use cache::{Cache, Key, file_digest};
pub use image::{AGNHOST, PAUSE};
pub use packer::packer;

use crate::lab::progress::Progress;

/// Folders in the cache, each complete.
#[derive(Clone, Debug)]
pub struct Artifacts {
    /// `kubelet`, `kubectl`, `kube-apiserver`, `kube-controller-manager`, `kube-scheduler`,
    /// `kube-proxy`, `agnhost`.
    pub kubernetes: PathBuf,
    /// `containerd`, `containerd-shim-runc-v2`, `ctr`, `runc` and the CNI plugins.
    pub containerd: PathBuf,
    /// `etcd`, `etcdctl`, `etcdutl`.
    pub etcd: PathBuf,
    /// An OCI archive with agnhost under its own name and as the pause image.
    pub image: PathBuf,
    /// What `/var/lib/containerd` is with that image in it.
    pub images: PathBuf,
    /// The root of a plain Debian tree, and `packages.txt` beside it with the versions got.
    pub debian: PathBuf,
    /// The version in the pinned `go.mod`, as `v1.37.2`.
    pub kubernetes_version: String,
}

/// The Debian tree alone: enough for a node without Kubernetes.
pub fn debian(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    host_packages::ensure(cache, progress)?;
    debian::ensure(cache, progress)
}

/// The Debian tree of VMs.
pub fn debian_for_vms(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    host_packages::ensure(cache, progress)?;
    debian::ensure_for_vms(cache, progress)
}

/// That of a disk that an image builder begins with.
pub fn debian_with_ssh(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    host_packages::ensure(cache, progress)?;
    debian::ensure_with_ssh(cache, progress)
}

/// Finds or makes all of them. The first time this takes about ten minutes of two cores.
pub fn ensure(cache: &Arc<Cache>, progress: &Progress) -> Result<Artifacts> {
    host_packages::ensure(cache, progress)?;
    std::thread::scope(|scope| {
        // Debian's tree waits for the network, the compilers for the processor.
        let debian = scope.spawn(|| debian::ensure(cache, progress));
        let kubernetes = golang::kubernetes(cache, progress)?;
        let containerd = golang::containerd(cache, progress)?;
        let etcd = golang::etcd(cache, progress)?;
        let image = image::ensure(cache, &kubernetes.join("agnhost"), progress)?;
        let images = containerd_store::ensure(cache, &containerd, &image, progress)?;
        let debian =
            debian.join().map_err(|_| anyhow!("the thread that makes the Debian tree panicked"))?;
        Ok(Artifacts {
            kubernetes,
            containerd,
            etcd,
            image,
            images,
            debian: debian.context("cannot make the Debian tree")?,
            kubernetes_version: golang::kubernetes_version()?,
        })
    })
}
