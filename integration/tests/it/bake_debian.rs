//! The lab's Debian tree becomes an image: real containerd, runc, kubelet and plugins, and the
//! lab's image in containerd's store.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock};

use integration::lab::artifacts::{self, AGNHOST, Artifacts, Cache, PAUSE, file_digest};
use integration::lab::cli::product;
use integration::lab::progress::Progress;
use integration::lab::run::{command, output};
use serde_json::Value;

/// The program of this source; cargo is asked for it once.
pub static WINDLASS: LazyLock<PathBuf> = LazyLock::new(|| product::of_this_build().unwrap());

/// What an image may be larger by than what was asked for.
const OVERHEAD_BYTES: u64 = 20_000_000;

/// A copy of the tree, since a bake must not change the lab's. Beside the cache, whose file system
/// is one that overlayfs works on.
pub struct Image {
    pub folder: PathBuf,
}

impl Image {
    pub fn copy_of(cache: &Cache, debian: &Path, name: &str) -> Self {
        let folder = cache.root().join("tmp").join(format!("bake-{name}"));
        let image = Self { folder };
        image.remove();
        fs::create_dir_all(&image.folder).unwrap();
        output(command("cp", ["--archive"]).arg(debian).arg(image.root())).unwrap();
        image
    }

    pub fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    fn remove(&self) {
        let _ = fs::remove_dir_all(&self.folder);
    }

    fn windlass(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&*WINDLASS);
        command.arg("bake").arg("--root").arg(self.root()).args(arguments);
        command.output().unwrap()
    }

    /// The last line of what a bake prints.
    pub fn bake(&self) -> String {
        let toml = self.folder.join("bake.toml").display().to_string();
        let output = self.windlass(&[&toml]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        eprintln!("{said}");
        String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned()
    }

    pub fn problems(&self) -> Vec<String> {
        let output = self.windlass(&["--check", "--api-server", "v1.37.2", "--output", "json"]);
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.success(), found["right"].as_bool().unwrap());
        let all = found["findings"].as_array().unwrap().iter();
        let problems = all.filter(|finding| finding["severity"] == "problem");
        problems.map(|finding| finding["message"].as_str().unwrap().to_owned()).collect()
    }

    pub fn inventory(&self) -> Value {
        let text = fs::read(self.root().join("etc/windlass/image.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// Blocks of the disk, each file once.
    fn bytes(&self) -> u64 {
        fn below(folder: &Path, seen: &mut BTreeSet<u64>) -> u64 {
            let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
            let each = entries.map(|entry| {
                let metadata = entry.metadata().unwrap();
                let own = if seen.insert(metadata.ino()) { metadata.blocks() * 512 } else { 0 };
                own + if metadata.is_dir() { below(&entry.path(), seen) } else { 0 }
            });
            each.sum()
        }
        below(&self.root(), &mut BTreeSet::new())
    }

    /// Whether containerd's snapshots have this file, unpacked.
    pub fn has_unpacked(&self, name: &str, digest: &str) -> bool {
        let store = self.root().join("var/lib/containerd");
        let snapshots = store.join("io.containerd.snapshotter.v1.overlayfs/snapshots");
        let layers = fs::read_dir(snapshots).unwrap().map(Result::unwrap);
        let files = layers.map(|layer| layer.path().join("fs").join(name));
        files.filter(|file| file.is_file()).any(|file| file_digest(&file).unwrap() == digest)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.remove();
    }
}

/// `bake.toml` in the making, with the files that it names beside it.
pub struct Description<'a> {
    folder: &'a Path,
    pub text: String,
}

impl<'a> Description<'a> {
    pub fn new(folder: &'a Path, artifacts: &Artifacts) -> Self {
        let kubernetes = &artifacts.kubernetes_version;
        let text = format!("kubernetes = \"{kubernetes}\"\n[containerd]\nsandbox = \"{PAUSE}\"\n");
        Self { folder, text }
    }

    /// A part of this kind from a file, which is linked to where the description is.
    pub fn part(&mut self, kind: &str, name: &str, version: &str, from: &Path) {
        let file = from.file_name().unwrap();
        let beside = self.folder.join(file);
        if beside != from {
            fs::hard_link(from, &beside).or_else(|_| fs::copy(from, &beside).map(drop)).unwrap();
        }
        let (file, digest) = (file.display(), file_digest(from).unwrap());
        self.text += &format!(
            "[[{kind}]]\nname = \"{name}\"\nversion = \"{version}\"\nlicence = \"Apache-2.0\"\n\
             from = \"{file}\"\nsha256 = \"{digest}\"\n"
        );
    }

    /// What loads and runs images.
    pub fn containerd(&mut self, artifacts: &Artifacts) {
        for name in ["containerd", "containerd-shim-runc-v2", "ctr"] {
            self.part("binary", name, "v2.4.2", &artifacts.containerd.join(name));
        }
        self.part("binary", "runc", "v1.5.2", &artifacts.containerd.join("runc"));
    }

    pub fn write(&self) {
        fs::write(self.folder.join("bake.toml"), &self.text).unwrap();
    }
}

/// As an image builder would write it, in this folder: single programs, a release's archive, an image.
pub fn describe(folder: &Path, artifacts: &Artifacts) {
    let mut description = Description::new(folder, artifacts);
    let version = &artifacts.kubernetes_version;
    description.part("binary", "kubelet", version, &artifacts.kubernetes.join("kubelet"));
    description.containerd(artifacts);
    let plugins = folder.join("cni-plugins.tgz");
    let tar = ["bridge", "host-local", "loopback", "portmap"].map(|plugin| format!("./{plugin}"));
    output(command("tar", ["-czf"]).arg(&plugins).arg("-C").arg(&artifacts.containerd).args(tar))
        .unwrap();
    description.part("archive", "cni-plugins", "v1.9.1", &plugins);
    description.part("image", "agnhost", "v2.0.0", &artifacts.image);
    description.write();
}

#[test]
fn a_debian_tree_becomes_an_image_whose_second_bake_changes_nothing() {
    let cache = Arc::new(Cache::open().unwrap());
    let artifacts = artifacts::ensure(&cache, &Progress::new()).unwrap();
    let image = Image::copy_of(&cache, &artifacts.debian, "debian");
    describe(&image.folder, &artifacts);
    let before = image.bytes();

    let said = image.bake();
    assert!(said.ends_with(" changes") && said != "0 changes", "{said}");
    let inventory = image.inventory();
    let names: Vec<_> = inventory["images"].as_object().unwrap().keys().collect();
    assert_eq!(names, [AGNHOST, PAUSE]);
    let agnhost = file_digest(&artifacts.kubernetes.join("agnhost")).unwrap();
    assert!(image.has_unpacked("agnhost", &agnhost));
    let store = image.root().join("var/lib/containerd");
    assert!(!store.join("io.containerd.grpc.v1.introspection/uuid").exists());

    let parts = inventory["parts"].as_array().unwrap();
    let asked_for: u64 = parts.iter().map(|part| part["bytes"].as_u64().unwrap()).sum();
    let grown = image.bytes() - before;
    eprintln!("{grown} bytes larger, {asked_for} bytes asked for");
    // An archive's programs take more room than the archive.
    let packed = parts.iter().find(|part| part["kind"] == "archive").unwrap();
    let unpacked = packed["files"].as_object().unwrap().keys();
    let unpacked = unpacked.map(|path| image.root().join(&path[1..]).metadata().unwrap().len());
    let wanted = asked_for - packed["bytes"].as_u64().unwrap() + unpacked.sum::<u64>();
    assert!(grown < wanted + OVERHEAD_BYTES, "{grown} bytes larger, wanted {wanted} and a little");

    // What the lab's tree lacks, since its nodes run on the host's kernel and clock.
    let lacking = [
        "the image has no kernel: /lib/modules has none",
        "nothing keeps the clock: a certificate is not yet valid, or no more, where it is wrong",
    ];
    assert_eq!(image.problems(), lacking);

    let times = || {
        let files = ["etc/windlass/image.json", "etc/windlass/image.spdx.json"];
        files.map(|file| image.root().join(file).metadata().unwrap().modified().unwrap())
    };
    let written = times();
    assert_eq!(image.bake(), "0 changes");
    assert_eq!(times(), written);

    // As after an interruption between the store and what says what is in it.
    fs::remove_file(image.root().join("etc/windlass/image.json")).unwrap();
    image.bake();
    assert_eq!(image.inventory(), inventory);
    assert_eq!(image.problems(), lacking);
}
