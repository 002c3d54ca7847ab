//! `bake.toml`: what goes into an image.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

use super::source::is_url;
use crate::config::userdata::Sha256Hex;
use crate::facts;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The version of the kubelet among the binaries, `v1.37.2`.
    pub kubernetes: String,
    #[serde(default)]
    pub containerd: Containerd,
    #[serde(default, rename = "binary")]
    pub binaries: Vec<Binary>,
    #[serde(default, rename = "image")]
    pub images: Vec<Image>,
}

/// How containerd's configuration differs from what it would be.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Containerd {
    /// The image of the pods' sandbox; it must be in the image, or every boot pulls it.
    pub sandbox: Option<String>,
    /// Laid over the configuration, table by table.
    #[serde(default)]
    pub overrides: toml::Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binary {
    /// What it is called; says where it goes, for those that have a conventional place.
    pub name: String,
    /// Where it goes otherwise.
    pub to: Option<PathBuf>,
    /// `https://…`, or a file; a relative path counts from the folder of `bake.toml`.
    pub from: String,
    /// What the contents must hash to; a URL needs it.
    pub sha256: Option<Sha256Hex>,
}

/// An archive of container images, as `ctr image import` reads it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The name of the file.
    pub name: String,
    /// As of a [`Binary`].
    pub from: String,
    /// As of a [`Binary`].
    pub sha256: Option<Sha256Hex>,
}

impl Description {
    /// Reads the file; relative paths in it become those of this program.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let mut description: Self = toml::from_str(&text)
            .with_context(|| format!("{} is not as wanted", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let binaries = description.binaries.iter_mut().map(|binary| &mut binary.from);
        let images = description.images.iter_mut().map(|image| &mut image.from);
        for from in binaries.chain(images).filter(|from| !is_url(from)) {
            *from = folder.join(&*from).display().to_string();
        }
        Ok(description)
    }

    /// What the image says of itself.
    pub fn image(&self) -> facts::Image {
        let provider = |binary: &Binary| binary.name == "ecr-credential-provider";
        facts::Image {
            kubelet_version: Some(self.kubernetes.clone()),
            credential_provider: self.binaries.iter().any(provider),
        }
    }
}
