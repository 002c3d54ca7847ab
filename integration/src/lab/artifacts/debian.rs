//! A plain Debian tree: what an image builder starts from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cache::{Cache, Key};
use crate::lab::progress::Progress;
use crate::lab::run::{command, output};

const SUITE: &str = "bookworm";
const PACKAGES: &str = include_str!("../../../artifacts/debian/packages.txt");

/// What a machine with a kernel of its own has beside that.
const FOR_VMS: &str = include_str!("../../../artifacts/debian/vm-packages.txt");

/// What a cloud's image of Debian has beside that.
const FOR_BUILDERS: &str = include_str!("../../../artifacts/debian/base-packages.txt");

/// Documentation and translations are of no use to a node and half of the files.
const LEFT_OUT: [&str; 5] = ["doc", "info", "locale", "lintian", "man"];

/// As Amazon Linux 2023 has it (80-ec2.network of amazon-ec2-net-utils), for addresses of both
/// families. A VPC gives no address to two, so nobody looks for duplicates.
const NETWORK: &str = "\
[Match]
Name=en* eth*

[Network]
DHCP=yes
IPv6DuplicateAddressDetection=0
LLMNR=no

[DHCPv6]
WithoutRA=solicit
";

/// Raised when the steps below change.
const RECIPE: &str = "3";

/// For container nodes, which run on the host's kernel.
pub fn ensure(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    tree(cache, "debian", PACKAGES, progress)
}

/// For VMs. The kernel is not in it: a disk is made with one.
pub fn ensure_for_vms(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    tree(cache, "debian-vm", &[PACKAGES, FOR_VMS].concat(), progress)
}

/// For an image builder, who comes by ssh.
pub fn ensure_with_ssh(cache: &Cache, progress: &Progress) -> Result<PathBuf> {
    tree(cache, "debian-base", &[PACKAGES, FOR_VMS, FOR_BUILDERS].concat(), progress)
}

fn tree(cache: &Cache, name: &str, packages: &str, progress: &Progress) -> Result<PathBuf> {
    let key = Key::default().with(RECIPE).with(SUITE).with(packages).with(std::env::consts::ARCH);
    let folder = cache.ensure(name, &key, progress, |folder| {
        let root = folder.join("root");
        progress.say(name, format!("making a tree of {SUITE} with mmdebstrap"));
        output(command("mmdebstrap", arguments(&root, packages)).env("TMPDIR", folder))
            .context("hint: mmdebstrap runs as root and needs a way to a Debian mirror")?;
        record_versions(&root, &folder.join("packages.txt"))?;
        make_plain(&root)
    })?;
    Ok(folder.join("root"))
}

fn arguments(root: &Path, packages: &str) -> Vec<String> {
    let packages =
        packages.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join(",");
    let mut arguments = vec!["--quiet".into(), "--variant=minbase".into(), "--mode=root".into()];
    arguments.push("--aptopt=Apt::Install-Recommends \"false\"".into());
    arguments
        .extend(LEFT_OUT.map(|folder| format!("--dpkgopt=path-exclude=/usr/share/{folder}/*")));
    arguments.extend([format!("--include={packages}"), SUITE.into(), root.display().to_string()]);
    arguments
}

fn record_versions(root: &Path, to: &Path) -> Result<()> {
    let admin = format!("--admindir={}", root.join("var/lib/dpkg").display());
    let versions = output(&mut command(
        "dpkg-query",
        [&admin, "-W", "-f", "${Package} ${Version} ${Architecture}\n"],
    ))?;
    fs::write(to, versions).with_context(|| format!("cannot write {}", to.display()))
}

/// What every cloud image of Debian does: no identity of its own, addresses by DHCP.
fn make_plain(root: &Path) -> Result<()> {
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    // Empty: systemd makes one at first boot and does not start its first-boot questions.
    write("etc/machine-id", "")?;
    write("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")?;
    write("etc/systemd/network/80-ec2.network", NETWORK)?;
    for unit in [
        "systemd-networkd.service",
        "systemd-networkd.socket",
        "systemd-networkd-wait-online.service",
    ] {
        output(&mut command("systemctl", ["--root", &root.display().to_string(), "enable", unit]))
            .or_else(|_| {
                output(&mut command(
                    "chroot",
                    [&root.display().to_string(), "systemctl", "enable", unit],
                ))
            })
            .with_context(|| format!("cannot enable {unit} in the tree"))?;
    }
    let hostname = root.join("etc/hostname");
    if hostname.exists() {
        fs::remove_file(hostname)?;
    }
    Ok(())
}
