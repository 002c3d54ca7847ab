//! The initrd: one program, the modules that find the disk, and those that udev would find seconds later
//! among all others: of the network card and of the lab's ports. It is part of the image, and the
//! same whether firmware or qemu starts the kernel.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Those that the kernel has built in are named nowhere and not loaded.
pub const MODULES: [&str; 5] = ["virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "ext4"];

/// `lab.full` on the kernel's command line leaves not a block free on the root file system;
/// `lab.remains` keeps what an earlier boot left of `windlass`' files, as the disk has it before
/// anybody writes to it, in `/run/remains.tar`.
pub const INIT: &str = "\
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
for module in /modules/*; do $b insmod $module; done
tries=0
while [ ! -b /dev/vda2 ] && [ $tries -lt 500 ]; do $b usleep 20000; tries=$((tries + 1)); done
$b mount -t ext4 -o rw,noinit_itable /dev/vda2 /root || exec $b sh
if $b grep -q lab.full /proc/cmdline; then
    $b fallocate -l $((($($b stat -f -c %f /root) - 2048) * 4096)) /root/full
    $b dd if=/dev/zero of=/root/fuller bs=4k 2>/dev/null
fi
if $b grep -q lab.remains /proc/cmdline; then
    $b mount -t tmpfs -o mode=0755,nosuid,nodev run /root/run
    cd /root
    $b tar -cf run/remains.tar etc/cni etc/containerd etc/kubernetes etc/systemd/networkd.conf.d \
        var/lib/kubelet/pki var/lib/windlass 2>/dev/null
    cd /
fi
$b mount --move /dev /root/dev
$b umount /proc
exec $b switch_root /root /sbin/init
";

/// The paths of these modules and of those that they need, in the order in which they are loaded.
/// `dependencies` is a kernel's `modules.dep`: "each line has a module and those it needs", the
/// first to be loaded last.
pub fn load_order(dependencies: &str, wanted: &[&str]) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    for name in wanted {
        let file = format!("/{name}.ko");
        let lines = dependencies.lines().filter_map(|line| line.split_once(':'));
        for (module, needed) in lines.filter(|(module, _)| module.ends_with(&file)) {
            for path in needed.split_whitespace().rev().chain([module]) {
                if !order.iter().any(|known| known == path) {
                    order.push(path.to_owned());
                }
            }
        }
    }
    order
}

/// Writes it as the kernel reads it ("initramfs buffer format", newc).
pub fn write(to: &mut impl Write, busybox: &Path, modules: &[PathBuf]) -> Result<()> {
    for folder in ["bin", "dev", "modules", "proc", "root"] {
        entry(to, folder, 0o040_755, &[])?;
    }
    entry(to, "init", 0o100_755, INIT.as_bytes())?;
    entry(to, "bin/busybox", 0o100_755, &read(busybox)?)?;
    for (number, module) in modules.iter().enumerate() {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        entry(to, &format!("modules/{number:02}-{name}"), 0o100_644, &read(module)?)?;
    }
    entry(to, "TRAILER!!!", 0, &[])
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn entry(to: &mut impl Write, name: &str, mode: u32, contents: &[u8]) -> Result<()> {
    let (size, length) = (contents.len(), name.len() + 1);
    // Inode, mode, owner, group, links, time, size, four numbers of devices, the name's length, a sum.
    let header = format!(
        "070701{:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{size:08x}{:08x}{:08x}{:08x}{:08x}{length:08x}{:08x}",
        0, 0, 0, 1, 0, 0, 0, 0, 0, 0
    );
    to.write_all(header.as_bytes())?;
    to.write_all(name.as_bytes())?;
    to.write_all(&[0; 4][..1 + (4 - (header.len() + length) % 4) % 4])?;
    to.write_all(contents)?;
    to.write_all(&[0; 3][..(4 - size % 4) % 4])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_comes_after_those_that_it_needs_and_only_once() {
        let dependencies = "\
kernel/a/virtio_blk.ko: kernel/v/virtio_ring.ko kernel/v/virtio.ko
kernel/v/virtio_pci.ko: kernel/v/dev.ko kernel/v/virtio_ring.ko kernel/v/virtio.ko
kernel/v/virtio.ko:
";
        let order = load_order(dependencies, &["virtio_pci", "virtio_blk", "ext4"]);
        assert_eq!(
            order,
            [
                "kernel/v/virtio.ko",
                "kernel/v/virtio_ring.ko",
                "kernel/v/dev.ko",
                "kernel/v/virtio_pci.ko",
                "kernel/a/virtio_blk.ko"
            ]
        );
    }

    #[test]
    fn every_part_of_the_archive_begins_at_a_multiple_of_four() {
        for (name, contents) in [("a", "x"), ("ab", "xyz"), ("abc", ""), ("abcd", "four")] {
            let mut archive = Vec::new();
            entry(&mut archive, name, 0o100_644, contents.as_bytes()).unwrap();
            assert_eq!(archive.len() % 4, 0, "{name}");
            let begins = (110 + name.len() + 1).next_multiple_of(4);
            assert_eq!(archive[110..110 + name.len()], *name.as_bytes());
            assert_eq!(archive[begins..begins + contents.len()], *contents.as_bytes());
        }
    }
}
