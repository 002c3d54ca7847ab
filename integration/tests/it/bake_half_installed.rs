//! A bake that fails in its last step, between two programs: nothing is cut short, nothing is removed,
//! `--check` says that the image is not done, and the next bake makes it what it should be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use integration::lab::run::{command, output};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

const MIB: usize = 1 << 20;

/// ELF for x86-64, then words, then much: one MiB, and the new version of one has grown to two.
fn program(words: &str) -> Vec<u8> {
    let size = if words == "new portmap" { 2 * MIB } else { MIB };
    let mut contents = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0".to_vec();
    contents.extend(words.as_bytes());
    contents.resize(size, b'.');
    contents
}

/// In the order in which they are put in their places.
const PLACES: [&str; 4] = [
    "opt/cni/bin/bridge",
    "opt/cni/bin/portmap",
    "usr/local/bin/kubelet",
    "usr/local/bin/windlass",
];

struct Image {
    folder: PathBuf,
}

impl Image {
    fn new(name: &str) -> Self {
        let name = format!("windlass-bake-half-{name}-{}", std::process::id());
        let image = Self { folder: std::env::temp_dir().join(name) };
        let mut text = "kubernetes = \"v1.37.2\"\n".to_owned();
        for place in PLACES {
            let name = file_name(place);
            write(&image.folder.join(&name), &program(&format!("new {name}")));
            text += &format!("[[binary]]\nname = \"{name}\"\nfrom = \"{name}\"\n");
        }
        write(&image.folder.join("bake.toml"), text.as_bytes());
        write(&image.place("usr/bin/env"), &program("env"));
        write(&image.place("etc/ssh/ssh_host_rsa_key"), b"a key");
        image
    }

    fn has_older_programs(&self) {
        for place in PLACES {
            write(&self.place(place), &program(&format!("old {}", file_name(place))));
        }
    }

    fn place(&self, path: &str) -> PathBuf {
        self.folder.join("root").join(path)
    }

    fn windlass(&self, arguments: &[&str]) -> Output {
        let mut bake = Command::new(&*crate::bake_debian::WINDLASS);
        bake.arg("bake").arg("--root").arg(self.place("")).args(arguments).output().unwrap()
    }

    fn bake(&self) -> Output {
        self.windlass(&[&self.folder.join("bake.toml").display().to_string()])
    }

    /// `new` or `old`; anything else is a failure.
    fn ages(&self) -> [&'static str; 4] {
        PLACES.map(|place| {
            let (found, name) = (fs::read(self.place(place)).unwrap(), file_name(place));
            let is = |age: &&str| found == program(&format!("{age} {name}"));
            ["new", "old"].into_iter().find(is).unwrap_or_else(|| panic!("{name} is neither"))
        })
    }

    /// What a failed bake left, and what the next one makes of it once `cleared` has been called.
    fn is_left_between(&self, said: &str, ages: [&str; 4], cleared: impl FnOnce()) {
        let failed = self.bake();
        let found = String::from_utf8_lossy(&failed.stderr);
        assert_eq!(failed.status.code(), Some(1), "{found}");
        assert!(found.contains(said) && found.contains("\nhint: "), "{found}");
        assert_eq!(self.ages(), ages);
        assert!(self.place("etc/ssh/ssh_host_rsa_key").exists(), "sealed too early");
        assert_eq!(self.halves(), "");
        let check = self.windlass(&["--check"]);
        let found = String::from_utf8_lossy(&check.stdout);
        assert!(found.contains("a bake was interrupted: /.windlass-bake is there"), "{found}");

        cleared();
        let done = self.bake();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(self.ages(), ["new"; 4]);
        assert!(!self.place("etc/ssh/ssh_host_rsa_key").exists());
        assert!(!self.place(".windlass-bake").exists());
        assert_eq!(self.halves(), "");
    }

    /// What was written beside a place and not put there.
    fn halves(&self) -> String {
        output(command("find", [self.place("")]).args(["-name", ".*.windlass"])).unwrap()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn file_name(place: &str) -> String {
    Path::new(place).file_name().unwrap().to_string_lossy().into_owned()
}

fn write(path: &Path, contents: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Mounts are in a namespace of the thread's, and so gone with it.
fn with_mounts_of_its_own(f: impl FnOnce() + Send) {
    let mounted = || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        f();
    };
    std::thread::scope(|scope| scope.spawn(mounted).join()).unwrap();
}

#[test]
fn a_file_system_of_its_own_that_fills_up_between_two_programs() {
    with_mounts_of_its_own(|| {
        let image = Image::new("full");
        let plugins = image.place("opt");
        fs::create_dir_all(&plugins).unwrap();
        let mounted = |flags, size: &str| {
            mount(Some("plugins"), &plugins, Some("tmpfs"), flags, Some(size)).unwrap();
        };
        // The two older ones, and beside them, in turn, one MiB and two.
        mounted(MsFlags::empty(), "size=3500k");
        image.has_older_programs();
        let said = "No space left on device (os error 28)";
        image.is_left_between(said, ["new", "old", "old", "old"], || {
            mounted(MsFlags::MS_REMOUNT, "size=16m");
        });
    });
}

#[test]
fn a_folder_that_turns_out_read_only_between_two_programs() {
    with_mounts_of_its_own(|| {
        let image = Image::new("read-only");
        image.has_older_programs();
        let programs = image.place("usr/local/bin");
        let bind = |flags: MsFlags| {
            let flags = MsFlags::MS_BIND | flags;
            mount(Some(&programs), &programs, None::<&str>, flags, None::<&str>).unwrap();
        };
        bind(MsFlags::empty());
        bind(MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY);
        let said = "Read-only file system (os error 30)";
        image.is_left_between(said, ["new", "new", "old", "old"], || {
            bind(MsFlags::MS_REMOUNT);
        });
    });
}
