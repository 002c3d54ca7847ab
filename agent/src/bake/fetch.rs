//! Gets all contents into the staging folder, several at a time, and verifies each.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use reqwest::Client;
use tokio::task::spawn_blocking;

use super::description::{Origin, Part};
use super::digest::{self, Digested};
use super::download::{self, Patience, download};
use super::progress::Progress;
use super::staging::Staging;
use crate::config::userdata::Sha256Hex;

/// Downloads at a time: more do not make a network faster.
const AT_ONCE: usize = 4;

/// A part whose contents are wanted, with what is known of them.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub part: Part,
    /// What the contents must be.
    pub digested: Digested,
}

impl Wanted {
    /// What `bake.toml` says of the part. A file of which it says no digest is read for one.
    pub fn of(part: &Part) -> anyhow::Result<Self> {
        let digested = match (&part.from, &part.sha256, part.size_bytes) {
            (_, Some(sha256), Some(bytes)) => Digested { sha256: sha256.clone(), bytes },
            (Origin::Url(url), ..) => bail!("{url} is a URL without a digest or a size"),
            (Origin::File(path), sha256, bytes) => {
                let found = digest::of_file(path);
                let found = found.with_context(|| format!("reading {}", path.display()))?;
                let sha256 = sha256.clone().unwrap_or_else(|| found.sha256.clone());
                let bytes = bytes.unwrap_or(found.bytes);
                verify(part, &Digested { sha256, bytes }, &found)?;
                found
            }
        };
        Ok(Self { part: part.clone(), digested })
    }
}

/// Everything that is wanted is staged and what it should be when this returns.
pub async fn fetch(
    staging: &Staging,
    wanted: &[&Wanted],
    patience: Patience,
) -> anyhow::Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let client = download::client()?;
    let bytes = wanted.iter().map(|wanted| wanted.digested.bytes).sum();
    let progress = Progress::new(wanted.len(), bytes);
    let each = wanted.iter().map(|wanted| one(&client, staging, wanted, patience, &progress));
    stream::iter(each).buffer_unordered(AT_ONCE).try_collect().await
}

async fn one(
    client: &Client,
    staging: &Staging,
    wanted: &Wanted,
    patience: Patience,
    progress: &Progress,
) -> anyhow::Result<()> {
    let (name, bytes) = (&wanted.part.name, wanted.digested.bytes);
    let (folder, sha256) = (staging.clone(), wanted.digested.sha256.clone());
    let there = spawn_blocking(move || folder.has(&sha256)).await?;
    match &wanted.part.from {
        _ if there => progress.add(bytes),
        Origin::File(path) => {
            let (staging, wanted, path) = (staging.clone(), wanted.clone(), path.clone());
            spawn_blocking(move || copy(&staging, &wanted, &path)).await??;
            progress.add(bytes);
        }
        Origin::Url(url) => whole(client, staging, wanted, url, patience, progress).await?,
    }
    progress.done(name, bytes);
    Ok(())
}

fn copy(staging: &Staging, wanted: &Wanted, path: &Path) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("reading {}", path.display()));
    let name = format!("file-{}", wanted.digested.sha256);
    let found = staging.take(&name, &mut file?)?;
    verify(&wanted.part, &wanted.digested, &found)
}

/// What was gone on with and turned out wrong is begun once more: its beginning may have been of
/// another server's, or of a disk that lost power.
async fn whole(
    client: &Client,
    staging: &Staging,
    wanted: &Wanted,
    url: &str,
    patience: Patience,
    progress: &Progress,
) -> anyhow::Result<()> {
    let (sha256, bytes) = (&wanted.digested.sha256, wanted.digested.bytes);
    let growing = staging.growing(sha256);
    loop {
        let begun = fs::metadata(&growing).is_ok_and(|metadata| metadata.len() > 0);
        download(client, url, &growing, bytes, patience, progress).await?;
        let path = growing.clone();
        let found = spawn_blocking(move || digest::of_file(&path)).await?;
        let found = found.with_context(|| format!("reading {}", growing.display()))?;
        let verified = verify(&wanted.part, &wanted.digested, &found);
        if verified.is_ok() {
            let complete = staging.complete(sha256);
            return fs::rename(&growing, &complete)
                .with_context(|| format!("renaming to {}", complete.display()));
        }
        fs::remove_file(&growing).with_context(|| format!("removing {}", growing.display()))?;
        if !begun {
            return verified;
        }
        progress.take_back(bytes);
    }
}

fn verify(part: &Part, wanted: &Digested, found: &Digested) -> anyhow::Result<()> {
    let from = &part.from;
    ensure!(
        found.bytes == wanted.bytes,
        "{from} is {} bytes, wanted {}\nhint: `size` of `{}` in bake.toml is in bytes",
        found.bytes,
        wanted.bytes,
        part.name
    );
    ensure!(
        found.sha256 == wanted.sha256,
        "{from} has the SHA-256 {}, wanted {}\nhint: is it the version of `{}` that bake.toml \
         means? if so take its digest from its publisher, not from here",
        found.sha256,
        wanted.sha256,
        part.name
    );
    Ok(())
}

/// What is still to come.
pub fn missing_bytes(staging: &Staging, wanted: &[&Wanted]) -> u64 {
    let rest = |wanted: &&Wanted| {
        let sha256: &Sha256Hex = &wanted.digested.sha256;
        let there = [staging.complete(sha256), staging.growing(sha256)];
        let there = there.iter().filter_map(|path| fs::metadata(path).ok());
        let there = there.map(|metadata| metadata.len()).max().unwrap_or_default();
        wanted.digested.bytes.saturating_sub(there)
    };
    wanted.iter().map(rest).sum()
}
