//! Presigned URLs: the signature in the query.
//!
//! `s3s` checks the signatures of headers, but would judge the age of a presigned URL by this
//! machine's clock. The region has its own, by which `sigv4` has judged it already; what is left is
//! the signature. After "Authenticating Requests: Using Query
//! Parameters (AWS Signature Version 4)".

use std::collections::BTreeMap;

use hmac::{Hmac, Mac};
use http::HeaderMap;
use http::request::Parts;
use s3s::{S3Error, S3Result, s3_error};
use sha2::{Digest, Sha256};

use super::address::host;
use crate::region::params::percent_decode;

const SIGNATURE: &str = "X-Amz-Signature";

/// Whether the query of the request carries a signature.
pub fn is_presigned(request: &Parts) -> bool {
    pairs(request).iter().any(|(name, _)| name == SIGNATURE)
}

/// Whether it is a URL of Signature Version 2, which S3 takes for no bucket made since June 2020
/// ("AWS Signature Version 2 turned off for Amazon S3").
pub fn is_version_2(request: &Parts) -> bool {
    pairs(request).iter().any(|(name, _)| name == "AWSAccessKeyId")
}

/// The query without its signature, which `s3s` must not see again.
pub fn without_signature(query: &str) -> String {
    query
        .split('&')
        .filter(|pair| !pair.starts_with("X-Amz-Signature="))
        .collect::<Vec<_>>()
        .join("&")
}

/// Checks the signature against the secret of the access key that the URL names.
///
/// Errors: `AuthorizationQueryParametersError`, `SignatureDoesNotMatch`.
pub fn verify(request: &Parts, secret: &str) -> S3Result<()> {
    let query: BTreeMap<String, String> = pairs(request).into_iter().collect();
    let get = |name: &str| {
        query.get(name).map(String::as_str).ok_or_else(|| malformed(&format!("misses {name}")))
    };
    let signed_at = get("X-Amz-Date")?;
    let scope = get("X-Amz-Credential")?
        .split_once('/')
        .ok_or_else(|| malformed("has no credential scope"))?
        .1;
    let to_sign = string_to_sign(request, signed_at, scope, get("X-Amz-SignedHeaders")?)?;

    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/') {
        key = mac(&key, part).finalize().into_bytes().to_vec();
    }
    let signature = hex::decode(get(SIGNATURE)?).unwrap_or_default();
    mac(&key, &to_sign).verify_slice(&signature).map_err(|_| {
        s3_error!(
            SignatureDoesNotMatch,
            "The request signature we calculated does not match the signature you provided. Check your key and signing method."
        )
    })
}

fn string_to_sign(
    request: &Parts,
    signed_at: &str,
    scope: &str,
    signed_headers: &str,
) -> S3Result<String> {
    let mut query = pairs(request);
    query.retain(|(name, _)| name != SIGNATURE);
    let mut query: Vec<_> =
        query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    query.sort();
    let mut headers = String::new();
    for name in signed_headers.split(';') {
        let value = match name {
            "host" => host(request).to_owned(),
            _ => values(&request.headers, name)
                .ok_or_else(|| malformed(&format!("signs the absent header {name}")))?,
        };
        headers.push_str(&format!("{name}:{value}\n"));
    }
    let payload = values(&request.headers, "x-amz-content-sha256")
        .unwrap_or_else(|| "UNSIGNED-PAYLOAD".into());
    let path: Vec<_> =
        request.uri.path().split('/').map(|segment| encode(&percent_decode(segment))).collect();
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{signed_headers}\n{payload}",
        request.method,
        path.join("/"),
        query.join("&"),
    );
    let hash = hex::encode(Sha256::digest(canonical));
    Ok(format!("AWS4-HMAC-SHA256\n{signed_at}\n{scope}\n{hash}"))
}

fn pairs(request: &Parts) -> Vec<(String, String)> {
    let query = request.uri.query().unwrap_or_default();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (percent_decode(name), percent_decode(value)))
        .collect()
}

fn values(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<_> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .map(str::trim)
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// "UriEncode()" of the signing documentation: everything but the unreserved characters.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(byte.into())
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn mac(key: &[u8], text: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac
}

fn malformed(problem: &str) -> S3Error {
    let code = s3s::S3ErrorCode::Custom("AuthorizationQueryParametersError".into());
    let mut error = S3Error::with_message(code, format!("the presigned URL {problem}"));
    error.set_status_code(http::StatusCode::BAD_REQUEST);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)".
    const EXAMPLE: &str = "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z\
        &X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
        &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn code(url: &str, secret: &str) -> String {
        let parts = http::Request::get(url).body(()).unwrap().into_parts().0;
        verify(&parts, secret)
            .map_or_else(|error| error.code().as_str().to_owned(), |()| "ok".into())
    }

    #[test]
    fn the_example_of_the_documentation_verifies_and_nothing_like_it_does() {
        assert_eq!(code(EXAMPLE, SECRET), "ok");
        assert_eq!(code(EXAMPLE, "another"), "SignatureDoesNotMatch");
        assert_eq!(code(&EXAMPLE.replace("test.txt", "text.txt"), SECRET), "SignatureDoesNotMatch");
        assert_eq!(code(&EXAMPLE.replace("86400", "8640000"), SECRET), "SignatureDoesNotMatch");
        assert_eq!(
            code(&EXAMPLE.replace("X-Amz-Date", "X-Date"), SECRET),
            "AuthorizationQueryParametersError"
        );
    }

    #[test]
    fn only_the_signature_is_taken_out() {
        assert_eq!(
            without_signature("a=b&X-Amz-Signature=12&x-id=GetObject"),
            "a=b&x-id=GetObject"
        );
    }
}
