//! The program for arm64, built on x86-64 by Debian's cross compilers and run by qemu's user
//! emulation. All of them are packages unpacked into a tree in the cache, and the builds run with
//! that tree as their root: the host is left as it is, and every path in such a build is the same on
//! every machine.
//!
//! rustup's toolchain has no standard library for another architecture here, so Debian's rustc
//! compiles both what runs at build time and the program. It is newer than the pinned one.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, chroot};

use super::{Built, Folders, cargo};
use crate::lab::artifacts::{Cache, Key};
use crate::lab::progress::Progress;
use crate::lab::run::{command, output};

/// What rustc calls the target.
pub const TRIPLE: &str = "aarch64-unknown-linux-gnu";

const SUITE: &str = "bookworm";
const PACKAGES: [&str; 9] = [
    "cargo-web",
    "gcc",
    "gcc-aarch64-linux-gnu",
    "libc6-dev",
    "libc6-dev-arm64-cross",
    "libstd-rust-web-dev:amd64",
    "libstd-rust-web-dev:arm64",
    "qemu-user-static",
    "rustc-web",
];

/// Raised when the steps below change.
const RECIPE: &str = "1";

/// Where a build finds things in the tree. The source lies where nearly every system has a folder that
/// nothing uses: tests, which look for their files there, run on the host's root.
const SOURCE: &str = "/srv";
const TARGET: &str = "/target";
const CARGO: &str = "/cargo";

/// The tree.
#[derive(Clone, Debug)]
pub struct Arm64 {
    root: PathBuf,
    own: Folders,
    /// The target folder as the host sees it.
    target: PathBuf,
}

impl Arm64 {
    /// Finds or makes the tree: 1.7 GB, of which a quarter is downloaded, once a machine.
    pub fn ensure(cache: &Cache, progress: &Progress) -> Result<Self> {
        if std::env::consts::ARCH != "x86_64" {
            bail!(
                "cross compilers for arm64 are used on x86-64, and this machine is {}\n\
                 hint: where it is arm64, `cargo build --release --target {TRIPLE}` does",
                std::env::consts::ARCH
            );
        }
        let key = Key::default().with(RECIPE).with(SUITE).with(PACKAGES.join(" "));
        let folder = cache.ensure("arm64", &key, progress, |folder| {
            let root = folder.join("root");
            progress.say("arm64", "unpacking cross compilers and qemu with mmdebstrap");
            output(command("mmdebstrap", arguments(&root)).env("TMPDIR", folder))
                .context("hint: mmdebstrap runs as root and needs a way to a Debian mirror")?;
            for place in [SOURCE, TARGET, CARGO, "/proc"] {
                let path = below(&root, place);
                fs::create_dir_all(&path)
                    .with_context(|| format!("cannot make {}", path.display()))?;
            }
            Ok(())
        })?;
        let own = Folders::own()?;
        let target = own.target.join("arm64");
        fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
        Ok(Self { root: folder.join("root"), own, target })
    }

    /// Builds the program as it is released. No folder needs another name: all are the same in the
    /// tree of every machine.
    pub fn build(&self) -> Result<Built> {
        self.built_by("build", &["--release", "--bin", "windlass"])
    }

    /// Builds the agent's unit tests, in the profile of tests.
    pub fn build_tests(&self) -> Result<Built> {
        self.built_by("test", &["--no-run", "--lib"])
    }

    /// A command that runs a program for arm64.
    pub fn emulated<A: AsRef<OsStr>>(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut qemu = command(below(&self.root, "/usr/bin/qemu-aarch64-static"), [program]);
        qemu.args(arguments);
        qemu
    }

    fn built_by(&self, subcommand: &str, arguments: &[&str]) -> Result<Built> {
        // From within the tree there is no way to a registry.
        let mut fetch = cargo();
        fetch.args(["fetch", "--quiet", "--locked", "--target", TRIPLE]);
        output(fetch.current_dir(&self.own.source))?;
        let mut build = Command::new("/usr/bin/cargo");
        build
            .args([subcommand, "--quiet", "--locked", "--offline", "--target", TRIPLE])
            .args(["--package", "windlass"])
            .args(arguments)
            .current_dir(SOURCE)
            .env_clear()
            .env("PATH", "/usr/bin")
            .env("CARGO_HOME", CARGO)
            .env("CARGO_TARGET_DIR", TARGET)
            // The linker of the target is in `.cargo/config.toml`; there is no `cc` in the tree.
            .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER", "gcc")
            .env("HOST_CC", "gcc")
            .env("CC_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-gcc");
        let mut built = self.inside(|| Built::by(&mut build, TRIPLE))?;
        let program = built.program.strip_prefix(TARGET).with_context(|| {
            format!("cargo built {}, wanted a file below {TARGET}", built.program.display())
        })?;
        built.program = self.target.join(program);
        Ok(built)
    }

    /// Runs `f` on a thread whose root is the tree, with source, target folder and registry in it.
    fn inside<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let places = [
            (&*self.own.source, SOURCE),
            (&*self.target, TARGET),
            (&*self.own.cargo, CARGO),
            (Path::new("/proc"), "/proc"),
            (Path::new("/dev"), "/dev"),
        ];
        with_mounts(&self.root, &places, || {
            chroot(&self.root)
                .with_context(|| format!("cannot chroot to {}", self.root.display()))?;
            chdir("/").context("cannot go to the tree's root")?;
            f()
        })
    }

    /// Runs `f` on a thread that has the host's root, and the source where tests look for it.
    pub fn with_source<T: Send>(&self, f: impl FnOnce(&Path) -> Result<T> + Send) -> Result<T> {
        for used in [&self.root, &self.target] {
            let shown = used.display();
            ensure!(!used.starts_with(SOURCE), "{shown} is where the source is mounted for tests");
        }
        with_mounts(Path::new("/"), &[(&*self.own.source, SOURCE)], || f(Path::new(SOURCE)))
    }
}

/// Runs `f` on a thread with folders mounted below `root`. Only that thread and what it starts see
/// them, and they end with these.
fn with_mounts<T: Send>(
    root: &Path,
    places: &[(&Path, &str)],
    f: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let none = None::<&str>;
    let mounts = || {
        unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .context("cannot keep mounts from the host")?;
        places.iter().try_for_each(|(from, place)| {
            let to = below(root, place);
            mount(Some(*from), &to, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
                .with_context(|| format!("cannot mount {} at {}", from.display(), to.display()))
        })
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| mounts().and_then(|()| f()));
        thread.join().map_err(|_| anyhow!("a thread with mounts of its own panicked"))?
    })
}

fn arguments(root: &Path) -> Vec<String> {
    vec![
        "--quiet".into(),
        "--variant=extract".into(),
        "--mode=root".into(),
        "--architectures=amd64,arm64".into(),
        "--aptopt=Apt::Install-Recommends \"false\"".into(),
        format!("--include={}", PACKAGES.join(",")),
        SUITE.into(),
        root.display().to_string(),
    ]
}

fn below(root: &Path, place: &str) -> PathBuf {
    root.join(place.trim_start_matches('/'))
}
