//! UserData: which cluster and group an instance is for.
//!
//! TOML, raw or gzipped, or one part of a MIME multipart document beside cloud-init's own parts.

use std::fmt;
use std::io::Read;
use std::str::FromStr;

use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};

use super::problems::{Problem, Problems};
use super::{mime, raw, rules};

/// What UserData says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserData {
    pub cluster: String,
    /// The S3 bucket that holds the cluster's state.
    pub bucket: String,
    pub group: String,
    /// A configuration revision that this instance must use; without it the group's current one.
    pub config: Option<Sha256Hex>,
}

/// A SHA-256 as 64 lowercase hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Hex(String);

/// What EC2 allows, before its own base64: "Run commands when you launch an EC2 instance with user
/// data input" (Amazon EC2 User Guide).
const RAW_LIMIT_BYTES: usize = 16 * 1024;

/// What is unpacked from gzip before it is refused: far above what any cloud-init document needs.
const UNPACKED_LIMIT_BYTES: usize = 256 * 1024;

const DOCUMENT: &str = "UserData";

impl UserData {
    /// Reads what IMDS served.
    pub fn parse(bytes: &[u8]) -> Result<UserData, Problems> {
        if bytes.len() > RAW_LIMIT_BYTES {
            let message = format!("is {} bytes, wanted at most {RAW_LIMIT_BYTES}", bytes.len());
            let hint = "EC2 takes no more; gzip it, or move other parts to S3";
            return Err(Problems::one_with_hint(DOCUMENT, message, hint));
        }
        let unpacked = unpack(bytes)?;
        let ours = if mime::is_multipart(&unpacked) {
            unpack(&mime::our_part(DOCUMENT, &unpacked)?)?
        } else {
            unpacked
        };
        parse_toml(&text(ours)?)
    }
}

fn unpack(bytes: &[u8]) -> Result<Vec<u8>, Problems> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes.to_vec());
    }
    let mut unpacked = Vec::new();
    let mut limited = GzDecoder::new(bytes).take(UNPACKED_LIMIT_BYTES as u64 + 1);
    match limited.read_to_end(&mut unpacked) {
        Err(error) => {
            Err(Problems::one(DOCUMENT, format!("begins as gzip but cannot be unpacked: {error}")))
        }
        Ok(length) if length > UNPACKED_LIMIT_BYTES => {
            let message = format!(
                "unpacks from {} bytes of gzip to more than {UNPACKED_LIMIT_BYTES}, wanted at most \
                 {UNPACKED_LIMIT_BYTES}",
                bytes.len()
            );
            Err(Problems::one(DOCUMENT, message))
        }
        Ok(_) => Ok(unpacked),
    }
}

fn text(bytes: Vec<u8>) -> Result<String, Problems> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let byte = error.as_bytes()[at];
        let message = format!("is not text: byte {at} is 0x{byte:02x}, wanted TOML in UTF-8");
        Problems::one_with_hint(DOCUMENT, message, EXAMPLE)
    })?;
    if text.trim().is_empty() {
        return Err(Problems::one_with_hint(DOCUMENT, "is empty, wanted TOML", EXAMPLE));
    }
    Ok(text)
}

const EXAMPLE: &str = "UserData names the cluster: cluster = \"prod\", bucket = \"acme-kubernetes\", \
                       group = \"workers\", each on a line";

fn parse_toml(text: &str) -> Result<UserData, Problems> {
    let read = raw::document(DOCUMENT, text, |root| {
        let cluster = root.required("cluster", "the cluster's name");
        let cluster = cluster.and_then(|entry| rules::name(&entry));
        let bucket = root.required("bucket", "the S3 bucket that holds the cluster's state");
        let bucket = bucket.and_then(|entry| rules::bucket(&entry));
        let group = root.required("group", "the group's name");
        let group = group.and_then(|entry| rules::name(&entry));
        let config = root.or("config", None, |entry| {
            entry.parsed("`sha256:` and 64 hexadecimal digits").map(Some)
        });
        Some(UserData { cluster: cluster?, bucket: bucket?, group: group?, config: config? })
    });
    read.map_err(|problems| with_advice(text, problems))
}

/// What people put there by mistake is named.
fn with_advice(text: &str, problems: Problems) -> Problems {
    let advice = if text.starts_with("#!") {
        "is a script, and windlass runs none"
    } else if text.starts_with("#cloud-config") {
        "is a cloud-config document, which windlass does not read"
    } else if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=\r\n".contains(&b)) {
        "looks like base64; it was encoded once too often"
    } else {
        return problems;
    };
    let mut advised = Problems::of(DOCUMENT);
    advised.add(Problem::new("", advice).hint(EXAMPLE));
    advised
}

// === impl Sha256Hex ===

impl Sha256Hex {
    /// The 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Sha256Hex {
    type Err = String;

    /// Takes the digits with or without `sha256:` before them.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let hexadecimal = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hexadecimal && digits.len() == 64 {
            Ok(Self(digits.to_owned()))
        } else {
            Err(format!("`{text}` is not a SHA-256, 64 lowercase hexadecimal digits"))
        }
    }
}

impl TryFrom<String> for Sha256Hex {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Sha256Hex> for String {
    fn from(hash: Sha256Hex) -> Self {
        hash.0
    }
}

impl fmt::Display for Sha256Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
