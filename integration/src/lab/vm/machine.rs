//! A virtual machine as qemu is told of it. In software: whatever `/dev/kvm` says, a guest of the
//! kernel's own virtualization dies where these machines run.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::disk::{COMMAND_LINE, Disk};
use super::site::JOURNAL_PORT;
use crate::lab::network::router::MTU;
use crate::lab::run::output;

/// What a machine is like when it is switched on next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
pub struct Shape {
    /// Processors
    #[arg(long, default_value_t = 2)]
    pub cpus: u32,
    /// Memory, MiB
    #[arg(long, default_value_t = 3072)]
    pub memory: u32,
    /// Start as a real one does, by UEFI firmware from the disk, instead of by the kernel at once
    #[arg(long)]
    pub firmware: bool,
    /// What the hardware clock shows: 1970-01-01T00:00:00; the host's time if not given
    #[arg(long)]
    pub clock: Option<String>,
    /// NVMe disks of the host's, 1 GiB each: empty when the machine is switched on for the first time
    #[arg(long, default_value_t = 0)]
    pub instance_store: u32,
    /// More words for the kernel's command line
    #[arg(long, default_value = "", conflicts_with = "firmware", allow_hyphen_values = true)]
    pub kernel_arguments: String,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            cpus: 2,
            memory: 3072,
            firmware: false,
            clock: None,
            instance_store: 0,
            kernel_arguments: String::new(),
        }
    }
}

/// Where a machine's things are.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its folder: `disk.qcow2`, `console.log` (the journal), `serial.log` (firmware and kernel).
    pub folder: PathBuf,
    /// The sockets' paths begin so; short, since a socket's path may have 107 bytes only.
    pub sockets: PathBuf,
}

impl Place {
    pub fn disk(&self) -> PathBuf {
        self.folder.join("disk.qcow2")
    }

    pub fn serial(&self) -> PathBuf {
        self.folder.join("serial.log")
    }

    pub fn agent(&self) -> PathBuf {
        self.sockets.with_extension("agent")
    }

    pub fn monitor(&self) -> PathBuf {
        self.sockets.with_extension("monitor")
    }
}

/// The whole command that is the machine.
pub fn command(
    disk: &Disk,
    place: &Place,
    shape: &Shape,
    (tap, mac): (&str, &str),
) -> Result<Vec<String>> {
    let mut arguments: Vec<String> = [
        "-nodefaults -no-user-config -display none",
        // Two threads of the host emulate two processors.
        "-machine q35 -accel tcg,thread=multi -cpu max",
    ]
    .iter()
    .flat_map(|words| words.split(' ').map(str::to_owned))
    .collect();
    let mut put = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
    put("-smp", shape.cpus.to_string());
    put("-m", shape.memory.to_string());
    let clock = shape.clock.as_deref().unwrap_or("utc");
    put("-rtc", format!("base={clock},clock=host"));

    // What the guest has not synced is in the guest alone, and lost with its power.
    put(
        "-drive",
        format!(
            "if=none,id=disk,format=qcow2,cache=writeback,discard=unmap,detect-zeroes=unmap,file={}",
            place.disk().display()
        ),
    );
    put("-device", "virtio-blk-pci,drive=disk".into());
    for number in 0..shape.instance_store {
        let file = instance_store(&place.folder, number)?;
        put("-drive", format!("if=none,id=store{number},format=raw,file={}", file.display()));
        put("-device", format!("nvme,drive=store{number},serial=STORE{number}"));
    }
    put("-netdev", format!("tap,id=net,ifname={tap},script=no,downscript=no"));
    put("-device", format!("virtio-net-pci,netdev=net,mac={mac},host_mtu={MTU},romfile="));
    put("-device", "virtio-rng-pci".into());

    put("-chardev", format!("file,id=serial,append=on,path={}", place.serial().display()));
    put("-serial", "chardev:serial".into());
    put("-device", "virtio-serial-pci".into());
    let journal = place.folder.join("console.log");
    put("-chardev", format!("file,id=journal,append=on,path={}", journal.display()));
    put("-device", format!("virtserialport,chardev=journal,name={JOURNAL_PORT}"));
    put("-chardev", format!("socket,id=agent,server=on,wait=off,path={}", place.agent().display()));
    put("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0".into());
    put("-qmp", format!("unix:{},server=on,wait=off", place.monitor().display()));

    if shape.firmware {
        for (unit, options) in firmware(disk, &place.folder)?.into_iter().enumerate() {
            put("-drive", format!("if=pflash,format=raw,unit={unit},{options}"));
        }
    } else {
        put("-kernel", disk.kernel.uncompressed.display().to_string());
        put("-initrd", disk.kernel.initrd.display().to_string());
        put("-append", [COMMAND_LINE, &shape.kernel_arguments].join(" "));
    }
    let qemu = disk.tools.qemu(arguments)?;
    let words = std::iter::once(qemu.get_program()).chain(qemu.get_args());
    Ok(words.map(|word| word.to_string_lossy().into_owned()).collect())
}

/// Sparse; whatever was written to it stays until the file is removed.
fn instance_store(folder: &Path, number: u32) -> Result<PathBuf> {
    let path = folder.join(format!("store{number}.raw"));
    let options = File::options().create(true).append(true).open(&path);
    options.and_then(|file| file.set_len(1 << 30)).context("cannot make an instance store")?;
    Ok(path)
}

/// Code, which all machines share, and variables, which each has its own.
fn firmware(disk: &Disk, folder: &Path) -> Result<[String; 2]> {
    let [code, variables] =
        ["CODE", "VARS"].map(|part| disk.tools.file(&format!("usr/share/OVMF/OVMF_{part}_4M.fd")));
    let own = folder.join("variables.fd");
    if !own.exists() {
        output(crate::lab::run::command("cp", [&variables, &own]).arg("--no-preserve=mode"))?;
    }
    Ok([format!("readonly=on,file={}", code.display()), format!("file={}", own.display())])
}
