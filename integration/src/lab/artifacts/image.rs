//! The one image of a lab, agnhost, as an OCI archive (OCI Image Format Specification 1.1): one
//! layer with one static binary. It is also the pause image, since agnhost knows `pause`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::cache::{Cache, Key, file_digest};
use crate::lab::progress::Progress;

/// A dot in the host makes it a registry's name: `local/pause` would mean docker.io.
pub const AGNHOST: &str = "local.test/agnhost:1";
pub const PAUSE: &str = "local.test/pause:1";

const RECIPE: &str = "1";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The archive's path.
pub fn ensure(cache: &Cache, agnhost: &Path, progress: &Progress) -> Result<PathBuf> {
    // The path ends in the key of all that the binary was built from.
    let key =
        Key::default().with(RECIPE).with(agnhost.parent().unwrap_or(agnhost).display().to_string());
    let folder = cache.ensure("image", &key, progress, |folder| write_archive(agnhost, folder))?;
    Ok(folder.join("agnhost.tar"))
}

fn write_archive(agnhost: &Path, folder: &Path) -> Result<()> {
    let layer = folder.join("layer.tar");
    let mut tar = Tar::create(&layer)?;
    tar.folder("tmp", 0o1777)?;
    tar.file("agnhost", 0o755, agnhost)?;
    tar.finish()?;

    let layer_digest = file_digest(&layer)?;
    let config = to_bytes(&json!({
        "architecture": go_architecture(),
        "os": "linux",
        "config": {"Entrypoint": ["/agnhost"], "Cmd": ["pause"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
    }));
    let manifest = to_bytes(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &digest(&config), config.len() as u64),
        // Not compressed: it is read from the local disk only.
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer_digest, fs::metadata(&layer)?.len())],
    }));
    let named = |name: &str| {
        let mut descriptor = descriptor(MANIFEST, &digest(&manifest), manifest.len() as u64);
        descriptor["annotations"] = json!({"io.containerd.image.name": name});
        descriptor
    };
    let index = to_bytes(&json!({"schemaVersion": 2, "manifests": [named(AGNHOST), named(PAUSE)]}));

    let mut tar = Tar::create(&folder.join("agnhost.tar"))?;
    tar.bytes("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    tar.bytes("index.json", &index)?;
    tar.bytes(&format!("blobs/sha256/{}", digest(&config)), &config)?;
    tar.bytes(&format!("blobs/sha256/{}", digest(&manifest)), &manifest)?;
    tar.file(&format!("blobs/sha256/{layer_digest}"), 0o644, &layer)?;
    tar.finish()?;
    Ok(fs::remove_file(layer)?)
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size})
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn to_bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Enough of POSIX ustar: files and folders of root, with no times, so that equal input gives
/// equal bytes.
struct Tar {
    file: File,
}

impl Tar {
    fn create(path: &Path) -> Result<Self> {
        Ok(Self {
            file: File::create(path).with_context(|| format!("cannot make {}", path.display()))?,
        })
    }

    fn folder(&mut self, name: &str, mode: u32) -> io::Result<()> {
        self.header(&format!("{name}/"), mode, 0, b'5')
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.header(name, 0o644, bytes.len() as u64, b'0')?;
        self.file.write_all(bytes)?;
        self.pad(bytes.len() as u64)
    }

    fn file(&mut self, name: &str, mode: u32, from: &Path) -> Result<()> {
        let mut source =
            File::open(from).with_context(|| format!("cannot open {}", from.display()))?;
        let size = source.metadata()?.len();
        self.header(name, mode, size, b'0')?;
        io::copy(&mut source, &mut self.file)?;
        Ok(self.pad(size)?)
    }

    fn header(&mut self, name: &str, mode: u32, size: u64, kind: u8) -> io::Result<()> {
        let mut header = [0u8; 512];
        let mut put =
            |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, &format!("{mode:07o}"));
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{size:011o}"));
        put(136, "00000000000");
        // The checksum is taken with its own field blank.
        put(148, "        ");
        put(257, "ustar\x0000");
        header[156] = kind;
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.file.write_all(&header)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = usize::try_from(size.next_multiple_of(512) - size).unwrap_or_default();
        self.file.write_all(&[0; 512][..rest])
    }

    fn finish(mut self) -> io::Result<()> {
        self.file.write_all(&[0; 1024])?;
        self.file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::run::{command, output};

    #[test]
    fn the_archive_is_a_tar_whose_manifest_names_its_layer() {
        let folder =
            std::env::temp_dir().join(format!("windlass-lab-image-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let program = folder.join("program");
        fs::write(&program, "not really agnhost").unwrap();
        write_archive(&program, &folder).unwrap();
        let archive = folder.join("agnhost.tar").display().to_string();
        let read = |member: &str| output(&mut command("tar", ["-xOf", &archive, member])).unwrap();
        let index: Value = serde_json::from_str(&read("index.json")).unwrap();
        let blob =
            |digest: &Value| read(&format!("blobs/{}", digest.as_str().unwrap().replace(':', "/")));
        let manifest: Value =
            serde_json::from_str(&blob(&index["manifests"][1]["digest"])).unwrap();
        assert_eq!(index["manifests"][1]["annotations"]["io.containerd.image.name"], PAUSE);
        assert!(blob(&manifest["layers"][0]["digest"]).contains("not really agnhost"));
        fs::remove_dir_all(folder).unwrap();
    }
}
