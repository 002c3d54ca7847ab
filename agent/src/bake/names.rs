//! What an archive of container images calls them, by the archive itself: importing what the store
//! has already changes nothing by which it could be told.
//!
//! Source: "OCI Image Layout Specification" (`index.json`); containerd's package `images/archive`
//! (its annotation, and what it makes of the `manifest.json` of `docker save`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;

use super::elf::Program;

/// By it an index says the whole name of an image.
const ANNOTATION: &str = "io.containerd.image.name";

/// A list of images is shorter.
const LIMIT_BYTES: u64 = 4 << 20;

/// The images of an archive.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Named {
    names: BTreeSet<String>,
    /// `sha256:…`, of those images that have no whole name there: containerd makes them one.
    digests: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// One image of `manifest.json`; without a name its tags are `null`.
#[derive(Deserialize)]
struct Saved {
    #[serde(rename = "RepoTags")]
    tags: Option<Vec<String>>,
}

impl Named {
    /// Reads the archive once, gzipped or not.
    ///
    /// # Errors
    ///
    /// It is no tar archive, or its lists are not as they should be.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
        let file = BufReader::new(file);
        let reader: Box<dyn Read> = match Program::of(path)? {
            Program::Gzip => Box::new(MultiGzDecoder::new(file)),
            _ => Box::new(file),
        };
        let mut named = Self::default();
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries().context("is no tar archive")? {
            let entry = entry.context("is no tar archive, or a broken one")?;
            let member = entry.path().context("a member without a name")?.into_owned();
            let member = member.to_string_lossy();
            match member.trim_start_matches("./") {
                "index.json" => named.add_index(entry.take(LIMIT_BYTES))?,
                "manifest.json" => named.add_saved(entry.take(LIMIT_BYTES))?,
                _ => {}
            }
        }
        Ok(named)
    }

    fn add_index(&mut self, json: impl Read) -> anyhow::Result<()> {
        let index: Index = serde_json::from_reader(json).context("index.json")?;
        for image in index.manifests {
            match image.annotations.get(ANNOTATION) {
                Some(name) => self.names.insert(name.clone()),
                None => self.digests.insert(image.digest),
            };
        }
        Ok(())
    }

    fn add_saved(&mut self, json: impl Read) -> anyhow::Result<()> {
        let saved: Vec<Saved> = serde_json::from_reader(json).context("manifest.json")?;
        let tags = saved.into_iter().filter_map(|image| image.tags).flatten();
        self.names.extend(tags.map(|tag| whole(&tag)));
        Ok(())
    }

    /// Whether an image of the store is one of the archive's.
    pub fn has(&self, name: &str, digest: &str) -> bool {
        self.names.contains(name) || self.digests.contains(digest)
    }
}

/// A name as containerd keeps it: `pause:1` is of Docker's registry, as of old ("distribution",
/// package `reference`).
fn whole(tag: &str) -> String {
    match tag.split_once('/') {
        None => format!("docker.io/library/{tag}"),
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => tag.to_owned(),
        Some(_) => format!("docker.io/{tag}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::bare;
    use super::*;

    fn named(scratch: &str, members: &[(&str, &str)]) -> anyhow::Result<Named> {
        let (_scratch, tree) = bare(scratch);
        let mut builder = tar::Builder::new(Vec::new());
        for (name, contents) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(contents.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, contents.as_bytes()).expect("appended");
        }
        let path = tree.root().join("archive");
        std::fs::write(&path, builder.into_inner().expect("a tar")).expect("written");
        Named::read(&path)
    }

    #[test]
    fn an_index_names_its_images_or_has_their_digests() {
        let index = r#"{"schemaVersion": 2, "manifests": [
            {"digest": "sha256:1", "size": 1,
             "annotations": {"io.containerd.image.name": "registry.k8s.io/pause:3.10.1"}},
            {"digest": "sha256:2", "size": 1}
        ]}"#;
        let members = [("oci-layout", "{}"), ("./index.json", index), ("blobs/sha256/1", "{}")];
        let named = named("names-index", &members).expect("an archive");
        assert!(named.has("registry.k8s.io/pause:3.10.1", "sha256:9"));
        assert!(named.has("import-2026-01-01:latest", "sha256:2"));
        assert!(!named.has("registry.k8s.io/pause:3.9", "sha256:1"));
    }

    #[test]
    fn what_docker_saved_is_called_as_containerd_calls_it() {
        let saved = r#"[{"Config": "c.json", "RepoTags": ["pause:1", "org/tool:2", "a.test/b:3",
            "localhost:5000/c:4"]}, {"Config": "d.json", "RepoTags": null}]"#;
        let named = named("names-docker", &[("manifest.json", saved)]).expect("an archive");
        let wanted = [
            "a.test/b:3",
            "docker.io/library/pause:1",
            "docker.io/org/tool:2",
            "localhost:5000/c:4",
        ];
        assert_eq!(named.names.iter().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn a_list_that_is_none_is_said() {
        let error = named("names-broken", &[("index.json", "[")]).expect_err("no index");
        assert!(format!("{error:#}").starts_with("index.json: "), "{error:#}");
    }
}
