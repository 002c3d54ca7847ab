//! A disk with nothing of the product: what an image builder begins with. It boots by firmware, takes
//! an address by DHCP, and lets in whoever has its key.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::disk;
use super::kernel::Kernel;
use super::tools::Tools;
use crate::lab::artifacts::{self, Cache, Key};
use crate::lab::progress::Progress;
use crate::lab::run::output;

/// Raised when the steps below change.
const RECIPE: &str = "1";

/// qemu's own user-mode network has its resolver there.
const RESOLVER: &str = "nameserver 10.0.2.3\n";

/// Paths of all that a builder needs.
#[derive(Debug)]
pub struct Base {
    /// Raw.
    pub disk: PathBuf,
    /// root's private key.
    pub key: PathBuf,
    /// UEFI, in one file, as `-bios` takes it.
    pub firmware: PathBuf,
    /// A folder for PATH with `qemu-system-x86_64` and `qemu-img`.
    pub programs: PathBuf,
}

impl Base {
    pub fn ensure(cache: &Cache, progress: &Progress) -> Result<Self> {
        let tools = Tools::ensure(cache, progress)?;
        let kernel = Kernel::ensure(cache, &tools, progress)?;
        let debian = artifacts::debian_with_ssh(cache, progress)?;
        let key = Key::default()
            .with(RECIPE)
            .with(disk::RECIPE)
            .with(disk::COMMAND_LINE)
            .with(kernel.initrd.display().to_string())
            .with(debian.display().to_string());
        let folder = cache.ensure("vm-base", &key, progress, |folder| {
            let (own, key) = (folder.join("own"), folder.join("key"));
            let keygen = ["-q", "-t", "ed25519", "-N", "", "-C", "builder", "-f"];
            output(Tools::of(&debian).command("ssh-keygen", keygen)?.arg(&key))
                .context("cannot make a key")?;
            let home = own.join("root/.ssh");
            fs::create_dir_all(&home)?;
            fs::create_dir_all(own.join("etc"))?;
            fs::set_permissions(own.join("root"), fs::Permissions::from_mode(0o700))?;
            fs::copy(key.with_extension("pub"), home.join("authorized_keys"))?;
            fs::write(own.join("etc/resolv.conf"), RESOLVER)?;
            disk::write(&tools, &kernel, &[&own, &kernel.modules, &debian], folder)?;
            Ok(fs::remove_dir_all(own)?)
        })?;
        Ok(Self {
            disk: folder.join("disk.raw"),
            key: folder.join("key"),
            firmware: tools.file("usr/share/ovmf/OVMF.fd"),
            programs: tools.scripts(),
        })
    }
}
