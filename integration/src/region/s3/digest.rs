//! Digests of what was sent: `Content-MD5` and the `x-amz-checksum-*` headers and trailers.
//!
//! SDKs send a checksum with every upload by now, and S3 makes one of its own where there is none.
//! After "Checking object integrity in Amazon S3".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::{S3Result, s3_error};

/// The algorithms that S3 stores a checksum of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

/// A checksum of a whole object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    pub algorithm: Algorithm,
    /// In base64, as headers carry it.
    pub value: String,
}

/// Checks the body against every digest that came with it and returns the checksum to store: the
/// one that was sent, or CRC64NVME.
///
/// Errors: `BadDigest`, `InvalidDigest`, `InvalidRequest`.
pub fn verified(headers: &HeaderMap, trailers: &HeaderMap, body: &[u8]) -> S3Result<Checksum> {
    verify_md5(headers, body)?;
    match sent(headers, trailers)? {
        Some(sent) => {
            let computed = Checksum::of(sent.algorithm, body);
            if computed != sent {
                let name = sent.algorithm.name();
                return Err(s3_error!(
                    BadDigest,
                    "The {name} you specified did not match the calculated checksum."
                ));
            }
            Ok(sent)
        }
        None => Ok(Checksum::of_default(body)),
    }
}

/// Whether the request carries any digest of its body, as DeleteObjects must.
pub fn is_given(headers: &HeaderMap) -> bool {
    headers.contains_key("content-md5")
        || Algorithm::ALL.iter().any(|it| headers.contains_key(it.header()))
}

/// The MD5 of the bytes in hexadecimal: the ETag of a plain object.
pub fn md5_hex(bytes: &[u8]) -> String {
    hex::encode(Md5::checksum(bytes))
}

fn verify_md5(headers: &HeaderMap, body: &[u8]) -> S3Result<()> {
    let Some(sent) = headers.get("content-md5") else { return Ok(()) };
    let sent = STANDARD.decode(sent).ok().filter(|digest| digest.len() == 16);
    let Some(sent) = sent else {
        return Err(s3_error!(InvalidDigest, "The Content-MD5 you specified was invalid."));
    };
    if sent != Md5::checksum(body) {
        return Err(s3_error!(
            BadDigest,
            "The Content-MD5 you specified did not match what we received."
        ));
    }
    Ok(())
}

fn sent(headers: &HeaderMap, trailers: &HeaderMap) -> S3Result<Option<Checksum>> {
    let mut found = None;
    for algorithm in Algorithm::ALL {
        let name = algorithm.header();
        let Some(value) = headers.get(name).or_else(|| trailers.get(name)) else { continue };
        let value = value.to_str().unwrap_or_default().to_owned();
        if STANDARD.decode(&value).map(|digest| digest.len()) != Ok(algorithm.len_bytes()) {
            return Err(s3_error!(InvalidRequest, "Value for {name} header is invalid."));
        }
        if found.replace(Checksum { algorithm, value }).is_some() {
            return Err(s3_error!(
                InvalidRequest,
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
            ));
        }
    }
    if found.is_none() && headers.contains_key("x-amz-sdk-checksum-algorithm") {
        return Err(s3_error!(
            InvalidRequest,
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
        ));
    }
    Ok(found)
}

// === impl Checksum ===

impl Checksum {
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let value = match algorithm {
            Algorithm::Crc32 => STANDARD.encode(Crc32::checksum(bytes)),
            Algorithm::Crc32c => STANDARD.encode(Crc32c::checksum(bytes)),
            Algorithm::Crc64Nvme => STANDARD.encode(Crc64Nvme::checksum(bytes)),
            Algorithm::Sha1 => STANDARD.encode(Sha1::checksum(bytes)),
            Algorithm::Sha256 => STANDARD.encode(Sha256::checksum(bytes)),
        };
        Self { algorithm, value }
    }

    /// What S3 adds to an upload that came without a checksum.
    pub fn of_default(bytes: &[u8]) -> Self {
        Self::of(Algorithm::Crc64Nvme, bytes)
    }

    /// The value, if this is the checksum by that algorithm.
    pub fn by(&self, algorithm: Algorithm) -> Option<String> {
        (self.algorithm == algorithm).then(|| self.value.clone())
    }
}

impl Algorithm {
    const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// As it is written in `ChecksumAlgorithm` and in error messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header, or the trailer, that carries it.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    fn len_bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn code(headers: HeaderMap, trailers: HeaderMap) -> String {
        verified(&headers, &trailers, b"hello").unwrap_err().code().as_str().to_owned()
    }

    #[test]
    fn a_body_is_checked_against_header_and_trailer() {
        let none = HeaderMap::new;
        // echo -n hello | openssl dgst -md5 -binary | base64, and gzip's CRC32 of the same.
        let good = headers(&[
            ("content-md5", "XUFAKrxLKna5cZ2REBfFkg=="),
            ("x-amz-checksum-crc32", "NhCmhg=="),
        ]);
        let crc32 = Checksum { algorithm: Algorithm::Crc32, value: "NhCmhg==".into() };
        assert_eq!(verified(&good, &none(), b"hello").unwrap(), crc32);
        assert_eq!(
            verified(&none(), &headers(&[("x-amz-checksum-crc32", "NhCmhg==")]), b"hello").unwrap(),
            crc32
        );
        assert_eq!(verified(&none(), &none(), b"hello").unwrap().algorithm, Algorithm::Crc64Nvme);

        assert_eq!(code(headers(&[("x-amz-checksum-crc32", "NhCmhQ==")]), none()), "BadDigest");
        assert_eq!(code(none(), headers(&[("x-amz-checksum-crc32c", "NhCmhQ==")])), "BadDigest");
        assert_eq!(
            code(headers(&[("content-md5", "XUFAKrxLKna5cZ2REBfFkQ==")]), none()),
            "BadDigest"
        );
        assert_eq!(code(headers(&[("content-md5", "aGVsbG8=")]), none()), "InvalidDigest");
        assert_eq!(
            code(headers(&[("x-amz-checksum-sha256", "NhCmhg==")]), none()),
            "InvalidRequest"
        );
        assert_eq!(
            code(headers(&[("x-amz-sdk-checksum-algorithm", "CRC32")]), none()),
            "InvalidRequest"
        );
    }
}
