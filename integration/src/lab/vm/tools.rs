//! qemu and what else makes disks and runs VMs: a tree of Debian packages in the cache, unpacked and
//! not installed. The host stays as it is, whatever it has of them, and each program runs with the
//! loader and the libraries of its own tree.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::lab::artifacts::{Cache, Key};
use crate::lab::progress::Progress;
use crate::lab::run::{command, output};

const SUITE: &str = "bookworm";
/// Where the emulator is new enough: 10, which takes half the time of 7.2.
const NEWER: &str = "bookworm-backports";

/// Whatever is in backports comes from there, but for the kernel, which is the suite's.
const PACKAGES: [&str; 12] = [
    "binutils",
    "busybox-static",
    "e2fsprogs",
    "fdisk",
    "ipxe-qemu",
    "linux-image-cloud-amd64/bookworm",
    "lz4",
    "mtools",
    "ovmf",
    "qemu-system-x86",
    "qemu-utils",
    "systemd-boot-efi",
];

/// Raised when the steps below change.
const RECIPE: &str = "3";

const LOADER: &str = "lib64/ld-linux-x86-64.so.2";
const LIBRARIES: [&str; 2] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
const PROGRAMS: [&str; 4] = ["usr/bin", "usr/sbin", "bin", "sbin"];
/// qemu's own parts, which it would look for beside its program, and that is the loader.
const MODULES: &str = "usr/lib/x86_64-linux-gnu/qemu";
/// Where Debian keeps what qemu loads into a machine.
const FIRMWARE: [&str; 3] = ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"];

/// The tree.
#[derive(Clone, Debug)]
pub struct Tools {
    root: PathBuf,
}

impl Tools {
    /// Finds or makes the tree: about 150 MB to download, once a machine.
    pub fn ensure(cache: &Cache, progress: &Progress) -> Result<Self> {
        if std::env::consts::ARCH != "x86_64" {
            bail!("VMs are x86-64 and this machine is {}", std::env::consts::ARCH);
        }
        let key =
            Key::default().with(RECIPE).with([SUITE, NEWER].join(" ")).with(PACKAGES.join(" "));
        let folder = cache.ensure("vm-tools", &key, progress, |folder| {
            progress.say("vm-tools", "unpacking qemu and a kernel with mmdebstrap");
            let root = folder.join("root");
            output(command("mmdebstrap", arguments(&root)?).env("TMPDIR", folder))
                .context("hint: mmdebstrap runs as root and needs a way to a Debian mirror")?;
            write_scripts(&folder.join("bin"))
        })?;
        Ok(Self::of(&folder.join("root")))
    }

    /// Programs of any tree of Debian's.
    pub fn of(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// A folder with qemu as others may run it, by their PATH.
    pub fn scripts(&self) -> PathBuf {
        self.root.with_file_name("bin")
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file of the tree.
    pub fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A program of the tree, by its name.
    pub fn command<A: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Command> {
        let candidates = PROGRAMS.map(|folder| self.root.join(folder).join(program));
        let path = candidates.iter().find(|path| path.symlink_metadata().is_ok());
        let path = path.ok_or_else(|| {
            anyhow!("there is no program `{program}` below {}", self.root.display())
        })?;
        // A link may be absolute, and mean the tree's root.
        let path = match fs::read_link(path) {
            Ok(target) => match target.strip_prefix("/") {
                Ok(below) => self.root.join(below),
                Err(_) => path.with_file_name(target),
            },
            Err(_) => path.clone(),
        };
        let libraries = LIBRARIES.map(|folder| self.root.join(folder).display().to_string());
        let mut run = command(self.root.join(LOADER), ["--library-path", &libraries.join(":")]);
        run.args(["--argv0", program]).arg(path).args(arguments);
        run.envs(self.environment());
        Ok(run)
    }

    /// Where programs of the tree find what they would look for in the host's `/usr` and `/etc`.
    pub fn environment(&self) -> Vec<(String, String)> {
        [("QEMU_MODULE_DIR", MODULES), ("MKE2FS_CONFIG", "etc/mke2fs.conf")]
            .map(|(name, path)| (name.to_owned(), self.root.join(path).display().to_string()))
            .into()
    }

    /// qemu, told where its firmware is.
    pub fn qemu<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Command> {
        let mut qemu = self.command("qemu-system-x86_64", arguments)?;
        for folder in FIRMWARE {
            qemu.arg("-L").arg(self.root.join(folder));
        }
        Ok(qemu)
    }
}

/// What [`Tools::command`] does, for programs that look for qemu themselves.
fn write_scripts(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    let firmware = FIRMWARE.map(|folder| format!(" -L \"$root/{folder}\"")).concat();
    let libraries = LIBRARIES.map(|folder| format!("$root/{folder}")).join(":");
    for (program, more) in [("qemu-system-x86_64", firmware.as_str()), ("qemu-img", "")] {
        let script = format!(
            "#!/bin/sh\n\
             root=$(dirname \"$(readlink -f \"$0\")\")/../root\n\
             export QEMU_MODULE_DIR=\"$root/{MODULES}\"\n\
             exec \"$root/{LOADER}\" --library-path \"{libraries}\" --argv0 {program} \\\n  \
             \"$root/usr/bin/{program}\"{more} \"$@\"\n"
        );
        let path = folder.join(program);
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn arguments(root: &Path) -> Result<Vec<String>> {
    let mirror = mirror()?;
    Ok(vec![
        "--quiet".into(),
        "--variant=extract".into(),
        "--mode=root".into(),
        "--aptopt=Apt::Install-Recommends \"false\"".into(),
        format!("--aptopt=APT::Default-Release \"{NEWER}\""),
        format!("--include={}", PACKAGES.join(",")),
        SUITE.into(),
        root.display().to_string(),
        format!("deb {mirror} {SUITE} main"),
        format!("deb {mirror} {NEWER} main"),
    ])
}

/// The mirror that this machine has its own packages from: backports are beside them.
fn mirror() -> Result<String> {
    let suite = format!("Release: {SUITE}");
    let mut targets = command("apt-get", ["indextargets", "--format", "$(REPO_URI)"]);
    targets.args(["Created-By: Packages", &suite]);
    let found = output(&mut targets).context("the lab runs on Debian and its like")?;
    let mirror = found.lines().next().with_context(|| {
        format!("apt-get knows no mirror of {SUITE}\nhint: look into /etc/apt/sources.list.d")
    })?;
    Ok(mirror.to_owned())
}
