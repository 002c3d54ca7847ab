//! A disk that is full: said by name, and no file is there that a whole run would not have written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::boot_scene::Setting;
use crate::boot_worker::Cluster;

/// A page more each time, until a boot has room for all that it writes.
#[tokio::test]
async fn a_disk_that_is_full_is_named_and_holds_nothing_half_written() {
    let cluster = Cluster::new(Setting::default()).await;
    let scene = &cluster.scene;
    let disk = SmallDisk::at(scene.machine.path("/var/lib"));
    let mut left = Vec::new();
    for pages in 1.. {
        disk.resize(pages);
        let Err(failure) = scene.boot().await else { break };
        let said = format!("{:#}", failure.error());
        assert!(said.contains(": No space left on device (os error 28)\nhint: "), "{said}");
        assert!(said.ends_with("the file system is full: look with `df -h` and `df -i`"), "{said}");
        left.push(disk.files());
    }
    let whole = disk.files();
    assert!(left.len() >= 3, "it was full {} times", left.len());
    for (path, bytes) in left.into_iter().flatten() {
        assert_eq!(whole.get(&path), Some(&bytes), "{}", path.display());
    }
}

/// A file system with room for some pages, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(path: PathBuf) -> Self {
        fs::create_dir_all(&path).expect("a folder");
        let disk = Self(path);
        disk.mount(1, MsFlags::empty());
        disk
    }

    fn resize(&self, pages: u64) {
        self.mount(pages, MsFlags::MS_REMOUNT);
    }

    fn mount(&self, pages: u64, flags: MsFlags) {
        let options = format!("size={}k", 4 * pages);
        let options = Some(options.as_str());
        mount(Some("small"), &self.0, Some("tmpfs"), flags, options).expect("a tmpfs");
    }

    /// Every file and what is in it.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.0, &mut files);
        files
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.is_file() {
            files.insert(path.clone(), fs::read(&path).expect("a file"));
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
