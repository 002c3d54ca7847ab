//! The table `[watch]`: who may see, and who is told, what `windlass watch` does.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::entry::Entry;
use super::raw::Section;

/// What `windlass watch` says beside the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Watch {
    pub metrics: Listen,
    /// An absolute path of the file that holds the webhook's URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_file: Option<String>,
}

/// Where metrics can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Off,
    /// A loopback address.
    Tcp(SocketAddr),
    /// An absolute path.
    Unix(PathBuf),
}

/// The only reader is somebody on the node.
const PORT: u16 = 9847;

const WANTED: &str =
    "a loopback address with a port, such as \"127.0.0.1:9847\", \"unix:/PATH\" or \"off\"";

impl Default for Watch {
    fn default() -> Self {
        let metrics = Listen::Tcp((Ipv4Addr::LOCALHOST, PORT).into());
        Self { metrics, webhook_file: None }
    }
}

/// Reads the table; what it does not say is as in `base`.
pub(super) fn read(section: &Section<'_>, base: Watch) -> Option<Watch> {
    let metrics = section.or("metrics", base.metrics, |entry| listen(&entry));
    let file = section.or("webhook_file", base.webhook_file, |entry| {
        absolute(&entry).map(|it| Some(it.to_owned()))
    });
    Some(Watch { metrics: metrics?, webhook_file: file? })
}

fn listen(entry: &Entry<'_>) -> Option<Listen> {
    let text = entry.string(WANTED)?;
    let path = text.strip_prefix("unix:").map(Path::new).filter(|path| path.is_absolute());
    match (text, path, text.parse::<SocketAddr>()) {
        ("off", ..) => Some(Listen::Off),
        (_, Some(path), _) => Some(Listen::Unix(path.to_owned())),
        (_, None, Ok(address)) if address.ip().is_loopback() => Some(Listen::Tcp(address)),
        (_, None, Ok(_)) => entry.problem_with_hint(
            format!("is `{text}`, wanted {WANTED}"),
            "metrics name what runs on the node: whoever may scrape them runs on the host network",
        ),
        _ => entry.problem(format!("is `{text}`, wanted {WANTED}")),
    }
}

fn absolute<'a>(entry: &Entry<'a>) -> Option<&'a str> {
    const WANTED: &str = "the absolute path of a file";
    let text = entry.string(WANTED)?;
    if !text.starts_with('/') {
        return entry.problem(format!("is `{text}`, wanted {WANTED}"));
    }
    Some(text)
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::raw;
    use super::*;

    fn read_from(text: &str) -> Result<Watch, String> {
        let read = |root: &Section<'_>| read(root, Watch::default());
        raw::document("cluster.toml", text, read).map_err(|problems| problems.to_string())
    }

    #[test]
    fn metrics_are_read_on_the_node_or_not_at_all() {
        let metrics = |text: &str| read_from(&format!("metrics = \"{text}\"")).map(|it| it.metrics);
        assert_eq!(metrics("off"), Ok(Listen::Off));
        assert_eq!(metrics("[::1]:9000"), Ok(Listen::Tcp("[::1]:9000".parse().expect("one"))));
        let unix = Listen::Unix("/run/windlass/metrics.sock".into());
        assert_eq!(metrics("unix:/run/windlass/metrics.sock"), Ok(unix));
        for wrong in ["0.0.0.0:9847", "127.0.0.1", "unix:run/x", "9847", ""] {
            let said = metrics(wrong).expect_err(wrong);
            assert!(said.contains(&format!("is `{wrong}`, wanted a loopback address")), "{said}");
        }
        assert!(metrics("10.0.0.1:1").expect_err("one").contains("hint: metrics name what runs"));
        assert_eq!(read_from(""), Ok(Watch::default()));
    }

    #[test]
    fn the_webhooks_file_is_an_absolute_path() {
        let said = read_from("webhook_file = \"hook\"").expect_err("a relative path");
        assert!(said.contains("is `hook`, wanted the absolute path of a file"), "{said}");
    }
}
