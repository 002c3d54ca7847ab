//! A bake that is killed at any moment: no program is ever half there, nothing is removed before
//! all is installed, and the next bake makes the image that an undisturbed one makes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// ELF for x86-64, then words, then much.
fn program(words: &str) -> Vec<u8> {
    const BYTES: usize = 2 << 20;
    let mut contents = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0".to_vec();
    contents.extend(words.as_bytes());
    contents.resize(BYTES, b'.');
    contents
}

/// What is in the image before, in an older version, and what comes.
const PROGRAMS: [&str; 4] = ["kubelet", "containerd", "runc", "windlass"];

struct Image {
    folder: PathBuf,
}

impl Image {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("windlass-bake-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let image = Self { folder };
        let mut text = "kubernetes = \"v1.37.2\"\n".to_owned();
        for name in PROGRAMS {
            let from = image.folder.join(name);
            image.write(&from, &program(&format!("new {name}")));
            let old = image.root().join("usr/local/bin").join(name);
            image.write(&old, &program(&format!("old {name}")));
            text += &format!("[[binary]]\nname = \"{name}\"\nfrom = \"{name}\"\n");
        }
        image.write(&image.folder.join("bake.toml"), text.as_bytes());
        image.write(&image.root().join("usr/bin/env"), &program("env"));
        image.write(&image.host_key(), b"a key");
        image
    }

    fn write(&self, path: &Path, contents: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    fn host_key(&self) -> PathBuf {
        self.root().join("etc/ssh/ssh_host_rsa_key")
    }

    fn bake(&self) -> Child {
        let mut command = Command::new(&*crate::bake_debian::WINDLASS);
        command.args(["bake", "--root"]).arg(self.root()).arg(self.folder.join("bake.toml"));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Whether a program is the old or the new one; anything else is a failure.
    fn is_new(&self, name: &str) -> bool {
        let found = fs::read(self.root().join("usr/local/bin").join(name)).unwrap();
        let is = |age: &str| found == program(&format!("{age} {name}"));
        assert!(is("old") || is("new"), "{name} is neither old nor new: {} bytes", found.len());
        is("new")
    }

    fn everything(&self) -> BTreeMap<PathBuf, String> {
        fn below(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let (path, kind) = (entry.path(), entry.file_type().unwrap());
                let what = match () {
                    () if kind.is_dir() => "a folder".to_owned(),
                    () if kind.is_symlink() => format!("{:?}", fs::read_link(&path).unwrap()),
                    () => String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned(),
                };
                found.insert(path.strip_prefix(root).unwrap().to_owned(), what);
                if kind.is_dir() {
                    below(root, &path, found);
                }
            }
        }
        let mut found = BTreeMap::new();
        below(&self.root(), &self.root(), &mut found);
        found
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_bake_that_is_killed_anywhere_is_finished_by_the_next() {
    // Once before it is timed: the program is built, and in memory.
    assert!(Image::new("first").bake().wait().unwrap().success());
    let undisturbed = Image::new("undisturbed");
    let started = std::time::Instant::now();
    assert!(undisturbed.bake().wait().unwrap().success());
    let whole = started.elapsed();
    let wanted = undisturbed.everything();

    const KILLS: u32 = 24;
    let mut between = 0;
    for kill in 0..KILLS {
        let image = Image::new(&format!("killed-{kill}"));
        let mut bake = image.bake();
        std::thread::sleep(whole * kill / KILLS);
        let _ = bake.kill();
        let finished = bake.wait().unwrap().success();
        let new = PROGRAMS.map(|name| image.is_new(name));
        if !new.iter().all(|new| *new) {
            assert!(image.host_key().exists(), "sealed before all was installed: {new:?}");
        }
        between += u32::from(!finished);
        // A run in the place of the killed one: at most a moment until its lock is gone.
        std::thread::sleep(Duration::from_millis(1));
        assert!(image.bake().wait().unwrap().success());
        let found = image.everything();
        let differ = wanted.iter().find(|(path, what)| found.get(*path) != Some(what));
        assert_eq!(differ.map(|(path, _)| path), None, "after kill {kill}");
        assert_eq!(found.len(), wanted.len(), "after kill {kill}");
    }
    eprintln!("{between} of {KILLS} bakes killed within {} ms", whole.as_millis());
    assert!(between > KILLS / 2, "only {between} of {KILLS} were killed before their end");
}
