//! The kernel of a VM: Debian's for clouds, with all its modules, as firmware starts it and, for a
//! start without firmware, uncompressed; and the initrd that finds the root.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use super::initrd;
use super::tools::Tools;
use crate::lab::artifacts::{Cache, Key};
use crate::lab::progress::Progress;
use crate::lab::run::output;

/// Raised when the steps below change.
const RECIPE: &str = "1";

/// Paths of all that a start needs.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// As the package has it: the kernel unpacks itself.
    pub compressed: PathBuf,
    /// An ELF file, which qemu starts as it is: unpacking in an emulated machine takes seconds.
    pub uncompressed: PathBuf,
    pub initrd: PathBuf,
    /// A layer of a root file system: `usr/lib/modules`.
    pub modules: PathBuf,
}

impl Kernel {
    pub fn ensure(cache: &Cache, tools: &Tools, progress: &Progress) -> Result<Self> {
        let key = Key::default()
            .with(RECIPE)
            .with(initrd::INIT)
            .with(initrd::MODULES.join(" "))
            .with(tools.root().display().to_string());
        let folder = cache.ensure("vm-kernel", &key, progress, |folder| make(tools, folder))?;
        Ok(Self::at(&folder))
    }

    fn at(folder: &Path) -> Self {
        Self {
            compressed: folder.join("vmlinuz"),
            uncompressed: folder.join("vmlinux"),
            initrd: folder.join("initrd"),
            modules: folder.join("modules"),
        }
    }
}

fn make(tools: &Tools, folder: &Path) -> Result<()> {
    let kernel = Kernel::at(folder);
    let all = tools.file("lib/modules");
    let version = only_entry(&all)?;
    fs::copy(tools.file("boot").join(format!("vmlinuz-{version}")), &kernel.compressed)
        .context("cannot copy the kernel")?;
    uncompress(tools, &kernel)?;

    let usr = kernel.modules.join("usr");
    let modules = usr.join("lib/modules").join(&version);
    fs::create_dir_all(&modules)?;
    link_tree(&all.join(&version), &modules)?;
    output(tools.command("depmod", ["--basedir"])?.arg(&usr).arg(&version))?;

    let dependencies = fs::read_to_string(modules.join("modules.dep"))?;
    let mut archive = fs::File::create(&kernel.initrd)?;
    let wanted = initrd::load_order(&dependencies, &initrd::MODULES);
    ensure!(!wanted.is_empty(), "modules.dep of {version} names no module of the disk");
    let wanted: Vec<PathBuf> = wanted.iter().map(|path| modules.join(path)).collect();
    initrd::write(&mut archive, &tools.file("bin/busybox"), &wanted)
}

/// Which kernel the packages brought.
fn only_entry(folder: &Path) -> Result<String> {
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name),
        _ => bail!("{} has not exactly one kernel's modules", folder.display()),
    }
}

fn link_tree(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target, kind) = (entry.path(), to.join(entry.file_name()), entry.file_type()?);
        if kind.is_dir() {
            fs::create_dir_all(&target)?;
            link_tree(&source, &target)?;
        } else if kind.is_file() {
            fs::hard_link(&source, &target)
                .with_context(|| format!("cannot link {}", source.display()))?;
        }
    }
    Ok(())
}

fn uncompress(tools: &Tools, kernel: &Kernel) -> Result<()> {
    let image = fs::read(&kernel.compressed)?;
    let payload = payload(&image)
        .with_context(|| format!("{} is not a kernel as wanted", kernel.compressed.display()))?;
    let mut lz4 = tools
        .command("lz4", ["-q", "-d", "-c"])?
        .stdin(Stdio::piped())
        .stdout(fs::File::create(&kernel.uncompressed)?)
        .spawn()
        .context("cannot run lz4")?;
    if let Some(mut stdin) = lz4.stdin.take() {
        stdin.write_all(payload)?;
    }
    let ended = lz4.wait()?;
    ensure!(ended.success(), "lz4 could not unpack the kernel ({ended})");
    Ok(())
}

/// What a bzImage unpacks itself from: "payload_offset" and "payload_length" of its header ("The
/// Linux/x86 Boot Protocol", 2.08). The last four bytes are the unpacked size and not lz4's.
fn payload(image: &[u8]) -> Result<&[u8]> {
    /// The "legacy frame" of lz4, as the kernel's own build packs it.
    const LZ4: &[u8] = b"\x02!L\x18";
    let word = |at: usize| -> Result<usize> {
        let bytes = image.get(at..at + 4).context("the header is cut off")?;
        Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
    };
    ensure!(image.get(0x202..0x206) == Some(b"HdrS"), "it is no bzImage");
    let sectors = match image[0x1f1] {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * 512 + word(0x248)?;
    let end = (start + word(0x24c)?).saturating_sub(4);
    let payload = image.get(start..end).context("the payload is cut off")?;
    ensure!(payload.starts_with(LZ4), "it is not packed with lz4: {:02x?}", &payload[..4]);
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_where_the_header_says() {
        let mut image = vec![0; 512 * 6];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&16u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&12u32.to_le_bytes());
        image[1040..1052].copy_from_slice(b"\x02!L\x18....size");
        assert_eq!(payload(&image).unwrap(), b"\x02!L\x18....");
        image[1040] = 0x1f;
        assert!(payload(&image).unwrap_err().to_string().starts_with("it is not packed with lz4"));
        assert_eq!(payload(&image[..600]).unwrap_err().to_string(), "the payload is cut off");
        assert_eq!(payload(&[0; 600]).unwrap_err().to_string(), "it is no bzImage");
    }
}
