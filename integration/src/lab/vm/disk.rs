//! The disk that every VM of a product's build begins with, as an AMI's snapshot is: a GPT with an
//! EFI system partition, on it one file that firmware starts (kernel, initrd and command line: "The
//! Unified Kernel Image Specification"), and a root file system.
//!
//! Nothing is mounted but an overlay in a namespace of its own, and no loop device is needed: each
//! tool writes at its place in the file.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use time::OffsetDateTime;

use super::base::Base;
use super::kernel::Kernel;
use super::site;
use super::tools::Tools;
use crate::lab::artifacts::{self, Artifacts, Cache, Key, containerd_store};
use crate::lab::certificates::Authority;
use crate::lab::layers;
use crate::lab::progress::Progress;
use crate::lab::run::output;

/// Raised when the steps below change.
pub const RECIPE: &str = "1";
/// How many builds' disks stay in the cache.
const KEPT: usize = 2;

const MIB: u64 = 1 << 20;
/// As `cargo lab` shows it: room for what pods write, and sparse.
const SIZE: u64 = 4096 * MIB;
const ESP: (u64, u64) = (MIB, 64 * MIB);
/// The backup of the GPT is behind it.
pub(super) const ROOT: (u64, u64) = (ESP.0 + ESP.1, SIZE - ESP.0 - ESP.1 - MIB);

/// `quiet` and no watchdog, since an emulated machine is slow at both; the rest is as on EC2.
pub const COMMAND_LINE: &str =
    "root=/dev/vda2 rw console=ttyS0 quiet mitigations=off nowatchdog systemd.gpt_auto=no";

const STUB: &str = "usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/// A bootable disk and what it is started with.
#[derive(Debug)]
pub struct Disk {
    /// Machines write to layers over it.
    pub image: PathBuf,
    pub kernel: Kernel,
    pub tools: Tools,
    format: &'static str,
    /// Where the authority is that it trusts.
    folder: PathBuf,
    _held: File,
}

impl Disk {
    /// Finds or makes the disk for this build of the product.
    pub fn ensure(
        cache: &Cache,
        artifacts: &Artifacts,
        windlass: &Path,
        progress: &Progress,
    ) -> Result<Self> {
        let tools = Tools::ensure(cache, progress)?;
        let kernel = Kernel::ensure(cache, &tools, progress)?;
        let debian = artifacts::debian_for_vms(cache, progress)?;
        let based = Artifacts { debian: debian.clone(), ..artifacts.clone() };
        let baked = layers::baked(cache, &based, windlass, progress)?;
        let _while_it_is_read = cache.hold(baked.parent().unwrap_or(&baked))?;
        let service_proxy = layers::service_proxy(cache, artifacts, progress)?;
        let parts = [&service_proxy, &baked, &kernel.modules, &debian];
        let mut key = Key::default()
            .with(RECIPE)
            .with(COMMAND_LINE)
            .with(site::RECIPE)
            .with(kernel.initrd.display().to_string())
            .with(artifacts.images.display().to_string())
            // The authority in it is valid for a year.
            .with(OffsetDateTime::now_utc().year().to_string());
        for part in parts {
            key = key.with(part.display().to_string());
        }
        let folder = cache.ensure("vm-disk", &key, progress, |folder| {
            progress.say("vm-disk", "making a bootable disk");
            make(&tools, &kernel, &parts, &artifacts.images, folder)
        })?;
        cache.prune("vm-disk", KEPT, &folder)?;
        let held = cache.hold(&folder)?;
        let image = folder.join("disk.raw");
        Ok(Self { image, kernel, tools, format: "raw", folder, _held: held })
    }

    /// One that somebody made of [`Base`]'s, in the format qcow2.
    pub fn built(cache: &Cache, image: &Path, progress: &Progress) -> Result<Self> {
        let image = image.canonicalize();
        let image = image.context("cannot find the disk that the machines are to have")?;
        let base = Base::ensure(cache, progress)?;
        let tools = Tools::ensure(cache, progress)?;
        let kernel = Kernel::ensure(cache, &tools, progress)?;
        let (folder, held) = (base.folder().to_owned(), cache.hold(base.folder())?);
        Ok(Self { image, kernel, tools, format: "qcow2", folder, _held: held })
    }

    /// Whom the machines believe that AWS' names are who they say.
    pub fn authority(&self) -> Result<Authority> {
        let read = |name: &str| {
            let path = self.folder.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        Authority::load(&read("authority.crt")?, &read("authority.key")?)
    }

    /// A new layer over it, which is a machine's own disk.
    pub fn layer(&self, to: &Path) -> Result<()> {
        let mut create = self.tools.command("qemu-img", ["create", "-q", "-f", "qcow2"])?;
        create.args(["-F", self.format, "-b"]).arg(&self.image).arg(to);
        output(&mut create).context("cannot make a machine's disk").map(drop)
    }
}

fn make(
    tools: &Tools,
    kernel: &Kernel,
    parts: &[&PathBuf],
    images: &Path,
    folder: &Path,
) -> Result<()> {
    let authority = new_authority(folder)?;
    let own = folder.join("own");
    let base = parts.last().context("a disk has a tree")?;
    site::install(base, &own, authority.certificate())?;
    containerd_store::copy(images, &own.join("var/lib/containerd"))?;

    let layers: Vec<&Path> =
        std::iter::once(own.as_path()).chain(parts.iter().map(|part| part.as_path())).collect();
    write(tools, kernel, &layers, folder)?;
    Ok(fs::remove_dir_all(own)?)
}

/// One that is kept in this folder, for [`Disk::authority`].
pub fn new_authority(folder: &Path) -> Result<Authority> {
    let authority = Authority::create("windlass lab of virtual machines")?;
    fs::write(folder.join("authority.crt"), authority.certificate())?;
    fs::write(folder.join("authority.key"), authority.key())?;
    Ok(authority)
}

/// Makes `disk.raw` in this folder, with a root of these layers, the uppermost first.
pub fn write(tools: &Tools, kernel: &Kernel, layers: &[&Path], folder: &Path) -> Result<()> {
    let image = folder.join("disk.raw");
    File::create(&image)?.set_len(SIZE)?;
    partition(tools, &image)?;
    let unified = folder.join("unified.efi");
    unify(tools, kernel, &unified)?;
    fill_esp(tools, &image, &unified)?;
    fill_root(tools, &image, layers, folder)?;
    Ok(fs::remove_file(unified)?)
}

/// The types are the "Discoverable Partitions Specification"'s.
fn partition(tools: &Tools, image: &Path) -> Result<()> {
    let sectors = |bytes: u64| bytes / 512;
    let table = format!(
        "label: gpt\n\
         start={}, size={}, type=c12a7328-f81f-11d2-ba4b-00a0c93ec93b, name=EFI\n\
         start={}, size={}, type=4f68bce3-e8cd-4db1-96e7-fbcaf984b709, name=root\n",
        sectors(ESP.0),
        sectors(ESP.1),
        sectors(ROOT.0),
        sectors(ROOT.1)
    );
    let mut sfdisk = tools.command("sfdisk", ["--quiet", "--no-reread", "--no-tell-kernel"])?;
    sfdisk.arg(image).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = sfdisk.spawn().context("cannot run sfdisk")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(table.as_bytes())?;
    }
    let ended = child.wait_with_output()?;
    if !ended.status.success() {
        bail!("sfdisk failed: {}", String::from_utf8_lossy(&ended.stderr).trim());
    }
    Ok(())
}

/// systemd's stub with the kernel, the initrd and the command line as further sections, behind those
/// that it has.
fn unify(tools: &Tools, kernel: &Kernel, to: &Path) -> Result<()> {
    let line = to.with_extension("cmdline");
    fs::write(&line, COMMAND_LINE)?;
    let stub = tools.file(STUB);
    let room = Room::behind(&fs::read(&stub).context("cannot read the stub")?)?;
    let mut objcopy = tools.command("objcopy", Vec::<String>::new())?;
    let mut at = room.end;
    for (section, file) in
        [(".cmdline", &line), (".linux", &kernel.compressed), (".initrd", &kernel.initrd)]
    {
        objcopy.arg("--add-section").arg(format!("{section}={}", file.display()));
        objcopy.arg("--change-section-vma").arg(format!("{section}={at:#x}"));
        at = (at + fs::metadata(file)?.len()).next_multiple_of(room.alignment);
    }
    output(objcopy.arg(&stub).arg(to)).context("cannot make the unified kernel image")?;
    Ok(fs::remove_file(line)?)
}

/// Where a PE file has room for more sections ("PE Format").
struct Room {
    /// The image's base included, as objcopy counts.
    end: u64,
    alignment: u64,
}

impl Room {
    fn behind(stub: &[u8]) -> Result<Self> {
        let word = |at: usize| -> Result<u64> {
            let bytes = stub.get(at..at + 4).context("the stub is cut off")?;
            Ok(u32::from_le_bytes(bytes.try_into()?).into())
        };
        let pe = usize::try_from(word(0x3c)?)?;
        ensure!(stub.get(pe..pe + 4) == Some(b"PE\0\0"), "the stub is no PE file");
        let optional = pe + 24;
        let base = word(optional + 24)? | word(optional + 28)? << 32;
        let alignment = word(optional + 32)?.max(4096);
        let size = word(optional + 56)?;
        Ok(Self { end: (base + size).next_multiple_of(alignment), alignment })
    }
}

fn fill_esp(tools: &Tools, image: &Path, unified: &Path) -> Result<()> {
    let place = format!("{}@@{}", image.display(), ESP.0);
    let total = (ESP.1 / 512).to_string();
    output(
        &mut tools
            .command("mformat", ["-i", &place, "-T", &total, "-h", "64", "-s", "32", "::"])?,
    )?;
    output(&mut tools.command("mmd", ["-i", &place, "::/EFI", "::/EFI/BOOT"])?)?;
    let mut copy = tools.command("mcopy", ["-i", &place])?;
    output(copy.arg(unified).arg("::/EFI/BOOT/BOOTX64.EFI")).map(drop)
}

/// With a journal, as a machine has it that may lose its power.
fn fill_root(tools: &Tools, image: &Path, parts: &[&Path], folder: &Path) -> Result<()> {
    let place = format!("offset={},lazy_itable_init=1,lazy_journal_init=1,nodiscard", ROOT.0);
    let size = format!("{}k", ROOT.1 / 1024);
    let root = folder.join("root");
    fs::create_dir(&root)?;
    layers::over(parts, None, &root, || {
        let mut make = tools.command("mke2fs", ["-q", "-F", "-t", "ext4", "-L", "root"])?;
        make.args(["-J", "size=16", "-E", &place, "-d"]).arg(&root).arg(image).arg(&size);
        output(&mut make).map(drop)
    })?;
    Ok(fs::remove_dir(root)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_do_not_overlap_and_the_second_table_has_its_place() {
        assert_eq!(ESP.0 + ESP.1, ROOT.0);
        assert_eq!(ROOT.0 + ROOT.1 + MIB, SIZE);
    }

    #[test]
    fn sections_go_behind_the_image_that_the_header_tells_of() {
        let mut stub = vec![0; 512];
        stub[0x3c] = 0x80;
        stub[0x80..0x84].copy_from_slice(b"PE\0\0");
        let optional = 0x80 + 24;
        stub[optional + 24..optional + 32].copy_from_slice(&0x1_4000_0000u64.to_le_bytes());
        stub[optional + 32..optional + 36].copy_from_slice(&4096u32.to_le_bytes());
        stub[optional + 56..optional + 60].copy_from_slice(&0x1_2345u32.to_le_bytes());
        let room = Room::behind(&stub).unwrap();
        assert_eq!((room.end, room.alignment), (0x1_4001_3000, 4096));
        assert_eq!(Room::behind(&[0; 512]).err().unwrap().to_string(), "the stub is no PE file");
    }
}
