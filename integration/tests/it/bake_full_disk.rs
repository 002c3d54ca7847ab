//! A disk that turns out too small only while an archive is unpacked: nobody could tell before.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use integration::lab::run::{command, output};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// The image's disk, and what a small archive unpacks to.
const DISK: &str = "size=120m";
const UNPACKED: &str = "400M";

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_disk_that_fills_up_is_said_and_the_image_is_as_it_was() {
    let folder = std::env::temp_dir().join(format!("windlass-bake-full-{}", std::process::id()));
    let folder = Folder(folder);
    let root = folder.0.join("root");
    fs::create_dir_all(&root).unwrap();
    let plugin = folder.0.join("bridge");
    output(command("truncate", ["-s", UNPACKED]).arg(&plugin)).unwrap();
    let archive = folder.0.join("cni.tgz");
    output(command("tar", ["-czf"]).arg(&archive).arg("-C").arg(&folder.0).arg("bridge")).unwrap();
    fs::write(
        folder.0.join("bake.toml"),
        "kubernetes = \"v1.37.2\"\n[[binary]]\nname = \"windlass\"\nfrom = \"windlass\"\n\
         [[archive]]\nname = \"cni\"\nfrom = \"cni.tgz\"\n",
    )
    .unwrap();
    let program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0";
    fs::write(folder.0.join("windlass"), program).unwrap();

    // The mount is in a namespace of this thread's, and so gone with it.
    let bake = || -> (Output, Vec<String>, Vec<String>) {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        mount(Some("disk"), &root, Some("tmpfs"), MsFlags::empty(), Some(DISK)).unwrap();
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        fs::write(root.join("usr/bin/env"), program).unwrap();
        let before = names(&root);
        let mut bake = Command::new(&*crate::bake_debian::WINDLASS);
        bake.args(["bake", "--root"]).arg(&root).arg(folder.0.join("bake.toml"));
        (bake.output().unwrap(), before, names(&root))
    };
    let (said, before, after) = std::thread::scope(|scope| scope.spawn(bake).join()).unwrap();
    assert_eq!(said.status.code(), Some(1));
    let said = String::from_utf8_lossy(&said.stderr);
    assert!(said.contains("error: the archive `cni`: writing "), "{said}");
    assert!(said.contains("No space left on device (os error 28)\nhint: "), "{said}");
    assert_eq!(after, before);
}

/// Everything in the tree, the staging folder included.
fn names(root: &Path) -> Vec<String> {
    let found = output(&mut command("find", [root])).unwrap();
    let mut names: Vec<String> = found.lines().map(str::to_owned).collect();
    names.sort();
    names
}
