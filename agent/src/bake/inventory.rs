//! `/etc/windlass/image.json`: what is in the image. A boot reads from it what
//! [`facts::Image`](crate::facts::Image) names, a second bake what is there already, `bake --check`
//! what should be there. It names no time, so that the same contents make the same file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::description::{Origin, Part};
use super::digest::Digested;
use super::tree::Tree;
use crate::config::userdata::Sha256Hex;
use crate::facts::observe::IMAGE;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    /// Read at boot.
    pub kubelet_version: String,
    /// Read at boot.
    pub credential_provider: bool,
    /// `amd64` or `arm64`.
    pub architecture: String,
    /// The version of the windlass that baked the image.
    pub windlass: String,
    pub parts: Vec<Listed>,
    /// Name of each image in containerd's store → digest of its manifest or index, `sha256:…`.
    pub images: BTreeMap<String, String>,
}

/// One part of `bake.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub kind: Kind,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Where it came from; not said of the builder's own files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    pub sha256: Sha256Hex,
    pub bytes: u64,
    /// What was to be taken of an archive, member by member; not said where `bake.toml` does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<BTreeMap<String, PathBuf>>,
    /// The files of the image that came of it, and what they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<PathBuf, Sha256Hex>,
    /// The images that came of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
}

/// What `bake.toml` calls a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Binary,
    Archive,
    Image,
}

impl Inventory {
    /// What an earlier bake left; `None` if there was none.
    pub fn read(tree: &Tree) -> anyhow::Result<Option<Self>> {
        let Some(text) = tree.read_text(IMAGE)? else { return Ok(None) };
        let read = serde_json::from_str(&text);
        read.map(Some).with_context(|| format!("{IMAGE} is not as `windlass bake` writes it"))
    }

    /// As it is written.
    pub fn text(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self).context("writing JSON")? + "\n")
    }

    /// What it says of a part with this name.
    pub fn listed(&self, kind: Kind, name: &str) -> Option<&Listed> {
        self.parts.iter().find(|listed| listed.kind == kind && listed.name == name)
    }

    /// Every file that came of a part, and what it is.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &Sha256Hex)> {
        let files = self.parts.iter().flat_map(|listed| &listed.files);
        files.map(|(path, sha256)| (path.as_path(), sha256))
    }

    /// The version of the part that a program came of.
    pub fn version_of(&self, program: &str) -> Option<&str> {
        let is_it = |path: &PathBuf| path.file_name().is_some_and(|name| name == program);
        let of = self.parts.iter().find(|listed| listed.files.keys().any(is_it))?;
        of.version.as_deref()
    }
}

impl Listed {
    /// A part of which nothing has come yet.
    pub fn new(kind: Kind, part: &Part, digested: &Digested) -> Self {
        let url = match &part.from {
            Origin::Url(url) => Some(url.clone()),
            Origin::File(_) => None,
        };
        Self {
            kind,
            name: part.name.clone(),
            version: part.version.clone(),
            licence: part.licence.clone(),
            url,
            sha256: digested.sha256.clone(),
            bytes: digested.bytes,
            members: None,
            files: BTreeMap::new(),
            images: Vec::new(),
        }
    }
}
