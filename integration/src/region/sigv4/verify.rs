//! The signature itself: the canonical request, the string to sign, the key.

use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::Request;
use sha2::{Digest, Sha256};
use time::macros::format_description;

use super::{ALGORITHM, Claim, Refusal, malformed};
use crate::region::iam::Key;
use crate::region::params::percent_decode;

impl Claim {
    /// Whether the signature is this key's. Not for S3, whose paths are encoded otherwise.
    pub fn verify(&self, request: &Request<Bytes>, key: &Key) -> Result<(), Refusal> {
        if !self.signed_headers.iter().any(|name| name == "host") {
            return Err(malformed(
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
            ));
        }
        let canonical = self.canonical_request(request);
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        let scope = format!("{}/{}/{}/aws4_request", self.scope_date, self.region, self.service);
        let date = self.date.format(format).map_err(|_| Refusal::Mismatch)?;
        let to_sign =
            format!("{ALGORITHM}\n{date}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
        let mut signing_key = hmac(format!("AWS4{}", key.secret).as_bytes(), &self.scope_date);
        for part in [&self.region, &self.service, "aws4_request"] {
            signing_key = hmac(&signing_key, part);
        }
        let wanted = hex::encode(hmac(&signing_key, &to_sign));
        if wanted == self.signature { Ok(()) } else { Err(Refusal::Mismatch) }
    }

    fn canonical_request(&self, request: &Request<Bytes>) -> String {
        // Every service but S3 encodes the path once more.
        let path: Vec<String> = request.uri().path().split('/').map(encode).collect();
        let headers: String =
            self.signed_headers.iter().map(|name| canonical_header(request, name)).collect();
        format!(
            "{}\n{}\n{}\n{headers}\n{}\n{}",
            request.method(),
            path.join("/"),
            canonical_query(request.uri().query().unwrap_or_default()),
            self.signed_headers.join(";"),
            hex::encode(Sha256::digest(request.body())),
        )
    }
}

fn canonical_query(query: &str) -> String {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        format!("{}={}", encode(&percent_decode(name)), encode(&percent_decode(value)))
    };
    let unsigned = |pair: &&str| !pair.is_empty() && !pair.starts_with("X-Amz-Signature=");
    let mut pairs: Vec<String> = query.split('&').filter(unsigned).map(pair).collect();
    pairs.sort();
    pairs.join("&")
}

fn canonical_header(request: &Request<Bytes>, name: &str) -> String {
    let tidy = |value: &http::HeaderValue| {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    };
    let values: Vec<String> = request.headers().get_all(name).iter().map(tidy).collect();
    format!("{name}:{}\n", values.join(","))
}

/// RFC 3986: all but the unreserved characters.
fn encode(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::region::call::Principal;

    const CREDENTIAL: &str = "AKIDEXAMPLE/20150830/us-east-1";

    fn key(secret: &str) -> Key {
        let principal =
            Principal::User { name: "u".into(), user_id: "AIDA".into(), account: "1".into() };
        Key { secret: secret.into(), session_token: None, expires: None, principal }
    }

    fn verified(
        service: &str,
        signed: &str,
        signature: &str,
        request: http::request::Builder,
        body: &'static str,
    ) -> Result<(), Refusal> {
        let authorization = format!(
            "{ALGORITHM} Credential={CREDENTIAL}/{service}/aws4_request, SignedHeaders={signed}, Signature={signature}"
        );
        let request = request
            .header("x-amz-date", "20150830T123600Z")
            .header("authorization", authorization)
            .body(Bytes::from_static(body.as_bytes()))
            .expect("a request");
        let (parts, body) = request.into_parts();
        let claim = Claim::of(&parts)?.expect("a signature");
        claim.verify(
            &Request::from_parts(parts, body),
            &key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        )
    }

    /// AWS' own test suite for Signature Version 4, `get-vanilla`.
    #[test]
    fn a_plain_get_of_the_test_suite_verifies() {
        let get = || Request::get("/").header("host", "example.amazonaws.com");
        let signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        assert_eq!(verified("service", "host;x-amz-date", signature, get(), ""), Ok(()));
        assert_eq!(
            verified("service", "host;x-amz-date", &signature.replace('5', "6"), get(), ""),
            Err(Refusal::Mismatch)
        );
        assert_eq!(
            verified("service", "host;x-amz-date", signature, get(), "another body"),
            Err(Refusal::Mismatch)
        );
        assert_eq!(
            verified("service2", "host;x-amz-date", signature, get(), ""),
            Err(Refusal::Mismatch)
        );
    }

    /// The same suite, `get-vanilla-query-order-key-case`: parameters are sorted.
    #[test]
    fn the_query_is_sorted() {
        let get =
            Request::get("/?Param2=value2&Param1=value1").header("host", "example.amazonaws.com");
        let signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
        assert_eq!(verified("service", "host;x-amz-date", signature, get, ""), Ok(()));
    }

    /// IAM User Guide, "Create a signed AWS API request", the example of ListUsers.
    #[test]
    fn the_guides_example_verifies() {
        let get = Request::get("/?Action=ListUsers&Version=2010-05-08")
            .header("host", "iam.amazonaws.com")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        let signature = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
        assert_eq!(verified("iam", "content-type;host;x-amz-date", signature, get, ""), Ok(()));
    }

    #[test]
    fn the_host_must_be_signed() {
        let get = Request::get("/").header("host", "example.amazonaws.com");
        let refused = verified("service", "x-amz-date", "00", get, "");
        assert!(matches!(refused, Err(Refusal::Malformed(message)) if message.contains("'Host'")));
    }
}
