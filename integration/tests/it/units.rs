//! The units as an image has them, judged by systemd itself: that it understands every line, and how
//! much of the machine each leaves within a program's reach.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use integration::lab::artifacts::{self, Cache};
use integration::lab::cli::product;
use integration::lab::layers;
use integration::lab::progress::Progress;
use integration::lab::run::command;

/// Each unit's highest exposure, of 10: what it is now, and a little for a systemd that counts more.
const LIMITS: [(&str, f64); 5] = [
    ("windlass-abandon.service", 2.0),
    ("windlass-admit.service", 1.5),
    ("windlass-boot.service", 3.5),
    ("windlass-storage.service", 5.0),
    ("windlass-watch.service", 2.5),
];

const OTHERS: [&str; 3] = ["containerd.service", "kubelet.service", "runtime.slice"];

/// Debian, what `windlass bake` made of it, and a layer of the test's; mounted in a namespace that ends
/// with the program that runs there.
const ENTER: &str = r#"
root=$1 layers=$2
shift 2
mount -t overlay overlay -o "lowerdir=$layers" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
exec chroot "$root" "$@"
"#;

/// A baked image. The test's folder goes with it.
struct Image {
    folder: PathBuf,
    layers: String,
}

impl Image {
    fn baked() -> Self {
        let (cache, progress) = (Arc::new(Cache::open().unwrap()), Progress::quiet());
        let artifacts = artifacts::ensure(&cache, &progress).unwrap();
        let windlass = product::of_this_build().unwrap();
        let baked = layers::baked(&cache, &artifacts, &windlass, &progress).unwrap();
        let folder = std::env::temp_dir().join(format!("windlass-units-{}", std::process::id()));
        for name in ["root", "top/etc/systemd/system"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        let layers = [&folder.join("top"), &baked, &artifacts.debian];
        let layers = layers.map(|layer| layer.display().to_string()).join(":");
        Self { folder, layers }
    }

    fn analyze(&self, words: &[&str]) -> Output {
        let root = self.folder.join("root");
        let enter = ["--mount", "--propagation=private", "sh", "-e", "-c", ENTER, "sh"];
        let mut analyze = command("unshare", enter);
        analyze.arg(root).args([&self.layers, "systemd-analyze", "--no-pager"]).args(words);
        analyze.output().unwrap()
    }

    /// What systemd finds wrong with units; nothing, it is to be hoped.
    fn complaints(&self, units: &[&str]) -> String {
        let output = self.analyze(&[&["verify", "--man=no"], units].concat());
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8(said).unwrap()
    }

    /// `→ Overall exposure level for windlass-boot.service: 1.8 OK 🙂`
    fn exposure(&self, unit: &str) -> f64 {
        let output = self.analyze(&["security", "--offline=yes", unit]);
        let said = String::from_utf8(output.stdout).unwrap();
        let level = said.lines().find_map(|line| line.split_once(&format!(" level for {unit}: ")));
        let level = level.and_then(|(_, level)| level.split(' ').next()?.parse().ok());
        level.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// A unit of the image's, altered, under another name.
    fn altered(&self, unit: &str, name: &str, alter: impl Fn(&str) -> Option<String>) {
        let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd");
        let text = fs::read_to_string(units.join(unit)).unwrap();
        let text: Vec<String> = text.lines().filter_map(alter).collect();
        let to = self.folder.join("top/etc/systemd/system").join(name);
        fs::write(to, text.join("\n") + "\n").unwrap();
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn systemd_understands_every_unit_and_each_has_within_its_reach_only_what_it_needs() {
    let image = Image::baked();
    let units: Vec<&str> = LIMITS.iter().map(|(unit, _)| *unit).chain(OTHERS).collect();
    assert_eq!(image.complaints(&units), "");
    for (unit, limit) in LIMITS {
        let exposure = image.exposure(unit);
        eprintln!("{unit}: exposure {exposure}, at most {limit}");
        assert!(exposure <= limit, "{unit}: {exposure}, wanted at most {limit}");
    }

    // What is measured is what the lines do, not that there are some.
    let (boot, sandbox) = ("windlass-boot.service", ["CapabilityBoundingSet", "SystemCallFilter"]);
    image.altered(boot, "open.service", |line| {
        let kept = !sandbox.iter().any(|key| line.starts_with(key));
        kept.then(|| line.to_owned())
    });
    let (open, closed) = (image.exposure("open.service"), image.exposure(boot));
    assert!(open > closed + 2.0, "without {sandbox:?}: {open}, with them: {closed}");
    image.altered(boot, "typo.service", |line| {
        Some(line.replace("ProtectClock=", "ProtectClocks=").replace("/bin/windlass", "/bin/winch"))
    });
    let complaints = image.complaints(&["typo.service"]);
    for wrong in ["'ProtectClocks'", "/usr/local/bin/winch is not executable"] {
        assert!(complaints.contains(wrong), "{complaints}");
    }
}
