//! Images that are added to an image whose store has some already, by real containerd.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use integration::lab::artifacts::{self, AGNHOST, Cache, PAUSE, file_digest};
use integration::lab::progress::Progress;
use integration::lab::run::{command, output};
use serde_json::{Value, json};

use crate::bake_debian::{Description, Image};

const WORDS: &str = "local.test/words:1";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image with one small file in one layer, which is packed by zstd, as an archive (OCI Image Format
/// Specification 1.1).
fn archive(folder: &Path, words: &str) -> PathBuf {
    let made = folder.join("made");
    let blobs = made.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let tar = |to: &Path, from: &Path, names: &[&str]| {
        output(command("tar", ["-cf"]).arg(to).arg("-C").arg(from).args(names)).unwrap();
    };
    let layer = folder.join("layer.tar");
    fs::write(folder.join("words"), words).unwrap();
    tar(&layer, folder, &["words"]);
    let unpacked = format!("sha256:{}", file_digest(&layer).unwrap());

    let put = |contents: &[u8]| {
        let beside = folder.join("blob");
        fs::write(&beside, contents).unwrap();
        let digest = file_digest(&beside).unwrap();
        fs::rename(beside, blobs.join(&digest)).unwrap();
        (format!("sha256:{digest}"), contents.len())
    };
    let blob = |kind: &str, (digest, size): (String, usize)| json!({"mediaType": kind, "digest": digest, "size": size});
    let json = |value: &Value| put(value.to_string().as_bytes());
    let config = json(&json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [unpacked]},
    }));
    let packed = put(&zstd(&fs::read(&layer).unwrap()));
    let manifest = json(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": blob("application/vnd.oci.image.config.v1+json", config),
        "layers": [blob("application/vnd.oci.image.layer.v1.tar+zstd", packed)],
    }));
    let mut named = blob(MANIFEST, manifest);
    named["annotations"] = json!({"io.containerd.image.name": WORDS});
    let index = json!({"schemaVersion": 2, "manifests": [named]});
    fs::write(made.join("index.json"), index.to_string()).unwrap();
    fs::write(made.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let archive = folder.join("words.tar");
    tar(&archive, &made, &["oci-layout", "index.json", "blobs"]);
    archive
}

/// One frame of one block that is as it was ("Zstandard Compression", RFC 8878, section 3.1.1).
fn zstd(contents: &[u8]) -> Vec<u8> {
    let size = u32::try_from(contents.len()).unwrap();
    // A single segment whose length takes four bytes.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    frame.extend(size.to_le_bytes());
    let last = 1;
    frame.extend(&(size << 3 | last).to_le_bytes()[..3]);
    frame.extend(contents);
    frame
}

#[test]
fn an_image_is_added_to_a_store_that_has_others() {
    let cache = Arc::new(Cache::open().unwrap());
    let artifacts = artifacts::ensure(&cache, &Progress::new()).unwrap();
    let image = Image::copy_of(&cache, &artifacts.debian, "images");
    let mut description = Description::new(&image.folder, &artifacts);
    description.containerd(&artifacts);
    description.part("image", "agnhost", "v2.0.0", &artifacts.image);
    description.write();
    image.bake();
    let names = || {
        let inventory = image.inventory();
        let all = inventory["images"].as_object().unwrap().iter();
        all.map(|(name, digest)| (name.clone(), digest.clone())).collect::<Vec<_>>()
    };
    let before = names();
    assert_eq!(before.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), [AGNHOST, PAUSE]);

    let words = archive(&image.folder, "words of an image");
    description.part("image", "words", "v1.0.0", &words);
    description.write();
    // The image, image.json and the SBOM.
    assert_eq!(image.bake(), "3 changes");
    let after = names();
    assert_eq!(after[..2], before);
    assert_eq!(after[2].0, WORDS);
    let words = file_digest(&image.folder.join("words")).unwrap();
    assert!(image.has_unpacked("words", &words));
    let agnhost = file_digest(&artifacts.kubernetes.join("agnhost")).unwrap();
    assert!(image.has_unpacked("agnhost", &agnhost), "what was there is there");
    assert!(!image.problems().iter().any(|problem| problem.contains("store")));
    assert_eq!(image.bake(), "0 changes");

    // One that is there already, and the store is not as image.json says.
    fs::remove_file(image.root().join("etc/windlass/image.json")).unwrap();
    image.bake();
    assert_eq!(names(), after);
}
