//! A disk with nothing of the product: what an image builder begins with. It boots by firmware, takes
//! an address by DHCP, and lets in whoever has its key. As an organization's base image does, it trusts
//! an authority of that organization's: the one that vouches for AWS' names in a lab.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use time::OffsetDateTime;

use super::disk;
use super::kernel::Kernel;
use super::tools::Tools;
use crate::lab::artifacts::{self, Cache, Key};
use crate::lab::progress::Progress;
use crate::lab::run::output;
use crate::lab::site::trust;

/// Raised when the steps below change.
const RECIPE: &str = "2";

/// What cloud-init does elsewhere: a bake takes the host keys, and the next boot makes others.
const HOST_KEYS: &str = "\
[Unit]
Description=Make the host keys of sshd
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
Before=ssh.service

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A
";

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
            .with(HOST_KEYS)
            .with(disk::RECIPE)
            .with(disk::COMMAND_LINE)
            .with(kernel.initrd.display().to_string())
            .with(debian.display().to_string())
            // The authority in it is valid for a year.
            .with(OffsetDateTime::now_utc().year().to_string());
        let folder = cache.ensure("vm-base", &key, progress, |folder| {
            let key = folder.join("key");
            let keygen = ["-q", "-t", "ed25519", "-N", "", "-C", "builder", "-f"];
            output(Tools::of(&debian).command("ssh-keygen", keygen)?.arg(&key))
                .context("cannot make a key")?;
            let authority = disk::new_authority(folder)?;
            let own = folder.join("own");
            install(&debian, &own, &key.with_extension("pub"), authority.certificate())?;
            // What the kernel was built with is in its package, as on any Debian.
            output(Command::new("cp").arg("--archive").arg(tools.file("boot")).arg(&own))?;
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

    /// Where the authority is that the disk trusts.
    pub fn folder(&self) -> &Path {
        self.disk.parent().unwrap_or(Path::new("/"))
    }
}

/// Writes below `root` what the tree `debian` lacks.
fn install(debian: &Path, root: &Path, key: &Path, authority: &str) -> Result<()> {
    let put = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    put("root/.ssh/authorized_keys", &fs::read_to_string(key)?)?;
    fs::set_permissions(root.join("root"), fs::Permissions::from_mode(0o700))?;
    trust(debian, authority, &put)?;
    put("etc/systemd/system/host-keys.service", HOST_KEYS)?;
    let wants = root.join("etc/systemd/system/ssh.service.wants");
    fs::create_dir_all(&wants)?;
    symlink("../host-keys.service", wants.join("host-keys.service"))?;
    // As systemd-resolved's package has it, where it is installed on a machine that runs.
    symlink("../run/systemd/resolve/stub-resolv.conf", root.join("etc/resolv.conf"))?;
    Ok(())
}
