//! One download: streamed to a file, gone on with where it broke off, believed by its digest.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use reqwest::{Client, Response, StatusCode, header};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::progress::Progress;
use super::staging::failed;
use crate::client::dns::Dns;
use crate::client::trust;

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a server may send nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// When to give up.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often a download is begun or gone on with.
    pub tries: u32,
    /// Before the second try; doubled before each further one.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: 5, pause: Duration::from_secs(1) }
    }
}

/// Why a try got no further.
enum Broken {
    /// The next try may.
    ForNow(anyhow::Error),
    /// It will not.
    ForGood(anyhow::Error),
}

/// For all downloads of a run. It trusts whom every other part of windlass trusts, and looks names
/// up as they do.
pub fn client() -> anyhow::Result<Client> {
    let builder = Client::builder().tls_backend_preconfigured(trust::configuration()?);
    let builder = builder.dns_resolver(Dns::system());
    let builder = builder.connect_timeout(CONNECT).read_timeout(SILENCE);
    let builder = builder.user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")));
    builder.build().context("making an HTTP client")
}

/// Makes the file `growing` exactly `wanted_bytes` long with what `url` serves. What is in it
/// already is taken for the beginning.
pub async fn download(
    client: &Client,
    url: &str,
    growing: &Path,
    wanted_bytes: u64,
    patience: Patience,
    progress: &Progress,
) -> anyhow::Result<()> {
    let mut pause = patience.pause;
    let mut tried = 1;
    loop {
        match go_on(client, url, growing, wanted_bytes, progress).await {
            Ok(()) => return Ok(()),
            Err(Broken::ForGood(error)) => return Err(error),
            Err(Broken::ForNow(error)) if tried >= patience.tries => {
                return Err(error.context(format!("downloading {url}, tried {tried} times")));
            }
            Err(Broken::ForNow(error)) => tracing::warn!("{error:#}; trying again"),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
        tried += 1;
    }
}

async fn go_on(
    client: &Client,
    url: &str,
    growing: &Path,
    wanted_bytes: u64,
    progress: &Progress,
) -> Result<(), Broken> {
    let there = std::fs::metadata(growing).map_or(0, |metadata| metadata.len());
    let there = if there > wanted_bytes { 0 } else { there };
    if there == wanted_bytes && there > 0 {
        return Ok(());
    }
    let request = client.get(url);
    let request = match there {
        0 => request,
        _ => request.header(header::RANGE, format!("bytes={there}-")),
    };
    let response = request.send().await.map_err(|error| unanswered(url, &error))?;
    let start = start(url, &response, there)?;
    let mut file = open(growing, start).await.map_err(Broken::ForGood)?;
    let received = receive(url, response, &mut file, start, wanted_bytes, progress).await;
    let synced = file.sync_all().await.map_err(|error| failed("writing", growing, error));
    received.and(synced.map_err(Broken::ForGood))
}

/// Why there is no answer. A server that is not believed is not asked again.
fn unanswered(url: &str, error: &reqwest::Error) -> Broken {
    let said = chain(error);
    if is_distrust(error) {
        return Broken::ForGood(anyhow!(
            "downloading {url}: {said}\nhint: its certificate is not one that this machine trusts: \
             put who signed it into the system's store, or name a file with it by SSL_CERT_FILE"
        ));
    }
    let hint = match error.is_connect() {
        true => "\nhint: is there a way to it from here? a file can be named instead of a URL",
        false => "",
    };
    Broken::ForNow(anyhow!("{url}: {said}{hint}"))
}

fn is_distrust(error: &(dyn Error + 'static)) -> bool {
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
        return true;
    }
    // What an I/O error was made of is not its source, and it may have been made of another one.
    let made_of = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let cause = made_of.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    cause.is_some_and(is_distrust)
}

/// Where the answer's body belongs in the file. A server that knows no ranges sends all of it.
fn start(url: &str, response: &Response, there: u64) -> Result<u64, Broken> {
    let status = response.status();
    let range = response.headers().get(header::CONTENT_RANGE);
    let range = range.and_then(|value| value.to_str().ok()).unwrap_or_default();
    match status {
        StatusCode::OK => Ok(0),
        StatusCode::PARTIAL_CONTENT if range.starts_with(&format!("bytes {there}-")) => Ok(there),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Err(Broken::ForNow(anyhow!("{url}: the server said {status}")))
        }
        status if status.is_server_error() => {
            Err(Broken::ForNow(anyhow!("{url}: the server said {status}")))
        }
        StatusCode::RANGE_NOT_SATISFIABLE => Err(Broken::ForGood(anyhow!(
            "{url} has no more than {there} bytes\nhint: `size` in bake.toml says more: is the file \
             complete there?"
        ))),
        StatusCode::PARTIAL_CONTENT => Err(Broken::ForGood(anyhow!(
            "{url}: the server sent the range `{range}`, wanted what begins at {there}"
        ))),
        status => Err(Broken::ForGood(anyhow!(
            "downloading {url}: the server said {status}\nhint: is the address right, and needs it \
             no login?"
        ))),
    }
}

async fn open(growing: &Path, start: u64) -> anyhow::Result<File> {
    let opened = async {
        let file = OpenOptions::new().create(true).append(true).open(growing).await?;
        file.set_len(start).await?;
        Ok(file)
    };
    opened.await.map_err(|error| failed("writing", growing, error))
}

async fn receive(
    url: &str,
    mut response: Response,
    file: &mut File,
    start: u64,
    wanted_bytes: u64,
    progress: &Progress,
) -> Result<(), Broken> {
    let mut there = start;
    loop {
        let chunk = response.chunk().await.map_err(|error| {
            Broken::ForNow(anyhow!("{url}: broke off at {there} bytes: {}", chain(&error)))
        })?;
        let Some(chunk) = chunk else { break };
        there += chunk.len() as u64;
        if there > wanted_bytes {
            return Err(Broken::ForGood(anyhow!(
                "{url} is longer than {wanted_bytes} bytes, its `size` in bake.toml"
            )));
        }
        let written = file.write_all(&chunk).await;
        written.map_err(|error| Broken::ForGood(failed("keeping", Path::new(url), error)))?;
        progress.add(chunk.len() as u64);
    }
    let flushed = file.flush().await;
    flushed.map_err(|error| Broken::ForGood(failed("keeping", Path::new(url), error)))?;
    if there < wanted_bytes {
        let message = format!("{url}: ended after {there} bytes, wanted {wanted_bytes}");
        return Err(Broken::ForNow(anyhow!(message)));
    }
    Ok(())
}

/// The error with what it came from; reqwest's own words are only where it happened.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        said = format!("{said}: {cause}");
        source = cause.source();
    }
    said
}
