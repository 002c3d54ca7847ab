//! Contents by file or URL, believed when their hash is as stated.

use anyhow::{Context, bail, ensure};

use crate::config::userdata::Sha256Hex;
use crate::pki::sha256_hex;

/// The contents of `from`.
pub async fn fetch(from: &str, sha256: Option<&Sha256Hex>) -> anyhow::Result<Vec<u8>> {
    let contents = match (is_url(from), sha256) {
        (false, _) => std::fs::read(from).with_context(|| format!("reading {from}"))?,
        (true, Some(_)) => download(from).await?,
        (true, None) => bail!(
            "{from} is a URL without a `sha256`\nhint: an image must not depend on what a server says that day"
        ),
    };
    if let Some(wanted) = sha256 {
        let found = sha256_hex(&contents);
        ensure!(found == wanted.as_str(), "{from} has the SHA-256 {found}, wanted {wanted}");
    }
    Ok(contents)
}

/// Whether contents come over a network.
pub fn is_url(from: &str) -> bool {
    from.starts_with("https://") || from.starts_with("http://")
}

async fn download(url: &str) -> anyhow::Result<Vec<u8>> {
    let answer = reqwest::get(url).await.and_then(reqwest::Response::error_for_status);
    let answer = answer.with_context(|| format!("downloading {url}"))?;
    let body = answer.bytes().await.with_context(|| format!("downloading {url}"))?;
    Ok(body.to_vec())
}
