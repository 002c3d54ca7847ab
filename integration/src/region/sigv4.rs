//! Signature Version 4, verified: IAM User Guide, "Create a signed AWS API request" and
//! "Troubleshoot Signature Version 4 signing for AWS API requests".
//!
//! [`Claim::of`] reads what a request says about its signature, in the header or, presigned, in the
//! query. [`Claim::caller`] checks everything but the signature itself; for S3 that is left to
//! `s3s`, which must see the body's chunks.

use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::Request;
use http::header::AUTHORIZATION;
use http::request::Parts;
use sha2::{Digest, Sha256};
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use super::call::{Caller, Service, ServiceError};
use super::iam::{Iam, Key};
use super::params::percent_decode;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// How far a client's clock may be off.
const SKEW: time::Duration = time::Duration::minutes(5);
/// Amazon S3 API Reference, "Error Responses", `RequestTimeTooSkewed`.
const S3_SKEW: time::Duration = time::Duration::minutes(15);

/// What a request says about its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub access_key: String,
    /// The service of the credential scope.
    pub service: String,
    pub region: String,
    date: OffsetDateTime,
    scope_date: String,
    session_token: Option<String>,
    signed_headers: Vec<String>,
    signature: String,
    /// Of a presigned request.
    lifetime: Option<Duration>,
}

/// Why a request is not accepted as its signer's; each service has its own code for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    Unsigned,
    Malformed(String),
    UnknownKey,
    BadToken,
    ExpiredToken,
    /// The request's time and the region's.
    Skewed {
        signed: OffsetDateTime,
        now: OffsetDateTime,
    },
    /// A presigned request that has expired.
    Expired,
    WrongRegion {
        found: String,
        wanted: String,
    },
    WrongService {
        wanted: Service,
    },
    Mismatch,
}

impl Claim {
    /// Reads the `Authorization` header or the presigned query; `None` when there is neither.
    pub fn of(parts: &Parts) -> Result<Option<Self>, Refusal> {
        let query = parts.uri.query().unwrap_or_default();
        match parts.headers.get(AUTHORIZATION) {
            Some(value) => Self::from_header(parts, value.to_str().unwrap_or_default()).map(Some),
            None if query.contains("X-Amz-Algorithm=") => Self::from_query(query).map(Some),
            None => Ok(None),
        }
    }

    fn from_header(parts: &Parts, authorization: &str) -> Result<Self, Refusal> {
        let fields = authorization
            .strip_prefix(ALGORITHM)
            .ok_or_else(|| malformed("Unsupported authorization type"))?;
        let field = |name: &str| {
            let of_name =
                |field: &str| field.trim().strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
            fields.split(',').find_map(of_name).ok_or_else(|| {
                malformed(&format!("Authorization header requires '{name}' parameter."))
            })
        };
        let header = |name: &str| {
            parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let date = header("x-amz-date").ok_or_else(|| malformed("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."))?;
        Self::new(
            &field("Credential")?,
            &date,
            header("x-amz-security-token"),
            &field("SignedHeaders")?,
            field("Signature")?,
            None,
        )
    }

    fn from_query(query: &str) -> Result<Self, Refusal> {
        let field = |name: &str| {
            query
                .split('&')
                .find_map(|pair| Some(percent_decode(pair.strip_prefix(name)?.strip_prefix('=')?)))
        };
        let required = |name: &str| {
            field(name).ok_or_else(|| {
                malformed(&format!("Query-string authentication requires the {name} parameter"))
            })
        };
        if required("X-Amz-Algorithm")? != ALGORITHM {
            return Err(malformed("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
        }
        // STS takes presigned requests without X-Amz-Expires; they live for fifteen minutes.
        let seconds = field("X-Amz-Expires")
            .map_or(Ok(900), |text| text.parse())
            .map_err(|_| malformed("X-Amz-Expires should be a number"))?;
        if seconds > 604_800 {
            return Err(malformed(
                "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds",
            ));
        }
        Self::new(
            &required("X-Amz-Credential")?,
            &required("X-Amz-Date")?,
            field("X-Amz-Security-Token"),
            &required("X-Amz-SignedHeaders")?,
            required("X-Amz-Signature")?,
            Some(Duration::from_secs(seconds)),
        )
    }

    fn new(
        credential: &str,
        date: &str,
        session_token: Option<String>,
        signed_headers: &str,
        signature: String,
        lifetime: Option<Duration>,
    ) -> Result<Self, Refusal> {
        let [access_key, scope_date, region, service, "aws4_request"] =
            credential.split('/').collect::<Vec<_>>()[..]
        else {
            return Err(malformed(&format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
            )));
        };
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        let at = PrimitiveDateTime::parse(date, format).map_err(|_| {
            malformed(&format!("Date must be in ISO-8601 'basic format'. Got '{date}'."))
        })?;
        if !date.starts_with(scope_date) {
            return Err(malformed(&format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope_date}' != '{date}'"
            )));
        }
        Ok(Self {
            access_key: access_key.to_owned(),
            service: service.to_owned(),
            region: region.to_owned(),
            date: at.assume_utc(),
            scope_date: scope_date.to_owned(),
            session_token,
            signed_headers: signed_headers.split(';').map(str::to_owned).collect(),
            signature,
            lifetime,
        })
    }

    /// Who signed, if the key, its session token and the time are right. `now` is the time that
    /// clients should have ([`super::Clock::signing`]).
    pub fn caller(
        &self,
        iam: &Iam,
        service: Service,
        region: &str,
        now: OffsetDateTime,
    ) -> Result<Caller, Refusal> {
        let key = iam.secret_of(&self.access_key).ok_or(Refusal::UnknownKey)?;
        if self.session_token != key.session_token {
            // A temporary key without its token is as good as unknown.
            return Err(if self.session_token.is_some() {
                Refusal::BadToken
            } else {
                Refusal::UnknownKey
            });
        }
        self.check_scope(service, region)?;
        self.check_time(if service == Service::S3 { S3_SKEW } else { SKEW }, now)?;
        if key.expires.is_some_and(|expires| expires <= now) {
            return Err(Refusal::ExpiredToken);
        }
        Ok(Caller { access_key: self.access_key.clone(), principal: key.principal.clone() })
    }

    fn check_scope(&self, service: Service, region: &str) -> Result<(), Refusal> {
        if self.service != service.name() {
            return Err(Refusal::WrongService { wanted: service });
        }
        // STS' global endpoint signs for us-east-1.
        let global = service == Service::Sts && self.region == "us-east-1";
        if self.region != region && !global {
            return Err(Refusal::WrongRegion {
                found: self.region.clone(),
                wanted: region.to_owned(),
            });
        }
        Ok(())
    }

    fn check_time(&self, skew: time::Duration, now: OffsetDateTime) -> Result<(), Refusal> {
        let ahead = self.date - now > skew;
        match self.lifetime {
            Some(lifetime) if !ahead && now > self.date + lifetime => Err(Refusal::Expired),
            Some(_) if !ahead => Ok(()),
            None if !ahead && now - self.date <= skew => Ok(()),
            _ => Err(Refusal::Skewed { signed: self.date, now }),
        }
    }

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

fn malformed(message: &str) -> Refusal {
    Refusal::Malformed(message.to_owned())
}

impl Refusal {
    /// The error that this service gives for it: Amazon EC2 API Reference, "Error codes"; IAM and
    /// STS API References, "Common Errors"; Amazon S3 API Reference, "Error Responses".
    pub fn error(&self, service: Service) -> ServiceError {
        match service {
            Service::Ec2 => self.ec2_error(),
            Service::S3 => self.s3_error(),
            _ => self.query_error(),
        }
    }

    fn ec2_error(&self) -> ServiceError {
        match self {
            Self::Unsigned => ServiceError::new(
                403,
                "MissingAuthenticationToken",
                "Request is missing Authentication Token",
            ),
            Self::Malformed(message) => ServiceError::client("IncompleteSignature", message),
            Self::ExpiredToken | Self::Skewed { .. } | Self::Expired => {
                ServiceError::client("RequestExpired", "Request has expired.")
            }
            _ => ServiceError::new(
                401,
                "AuthFailure",
                "AWS was not able to validate the provided access credentials",
            ),
        }
    }

    fn query_error(&self) -> ServiceError {
        let mismatch = |message: String| ServiceError::new(403, "SignatureDoesNotMatch", message);
        match self {
            Self::Unsigned => ServiceError::new(403, "MissingAuthenticationToken", "Request is missing Authentication Token"),
            Self::Malformed(message) => ServiceError::client("IncompleteSignature", message),
            Self::UnknownKey | Self::BadToken => {
                ServiceError::new(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
            }
            Self::ExpiredToken => {
                ServiceError::new(403, "ExpiredToken", "The security token included in the request is expired")
            }
            Self::Skewed { signed, now } => mismatch(skewed(*signed, *now)),
            Self::Expired => mismatch("Signature expired: the presigned request is older than its X-Amz-Expires".into()),
            Self::WrongRegion { found, .. } => mismatch(format!("Credential should be scoped to a valid region, not '{found}'. ")),
            Self::WrongService { wanted } => mismatch(format!("Credential should be scoped to correct service: '{wanted}'. ")),
            Self::Mismatch => mismatch("The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.".into()),
        }
    }

    fn s3_error(&self) -> ServiceError {
        match self {
            Self::Unsigned => ServiceError::new(403, "AccessDenied", "Access Denied"),
            Self::Malformed(message) => {
                ServiceError::client("AuthorizationHeaderMalformed", message)
            }
            Self::UnknownKey => ServiceError::new(
                403,
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
            ),
            Self::BadToken => ServiceError::client(
                "InvalidToken",
                "The provided token is malformed or otherwise invalid.",
            ),
            Self::ExpiredToken => {
                ServiceError::client("ExpiredToken", "The provided token has expired.")
            }
            Self::Skewed { .. } => ServiceError::new(
                403,
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
            ),
            Self::Expired => ServiceError::new(403, "AccessDenied", "Request has expired"),
            Self::WrongRegion { found, wanted } => ServiceError::client(
                "AuthorizationHeaderMalformed",
                format!(
                    "The authorization header is malformed; the region '{found}' is wrong; expecting '{wanted}'"
                ),
            ),
            Self::WrongService { .. } => ServiceError::client(
                "AuthorizationHeaderMalformed",
                "The authorization header is malformed; incorrect service. This endpoint belongs to \"s3\".",
            ),
            Self::Mismatch => ServiceError::new(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
            ),
        }
    }
}

/// AWS' sentence, with the times in ISO 8601's basic format.
fn skewed(signed: OffsetDateTime, now: OffsetDateTime) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let show =
        |at: OffsetDateTime| at.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_default();
    let minutes = SKEW.whole_minutes();
    if signed < now {
        let earliest = show(now - SKEW);
        format!(
            "Signature expired: {} is now earlier than {earliest} ({} - {minutes} min.)",
            show(signed),
            show(now)
        )
    } else {
        let latest = show(now + SKEW);
        format!(
            "Signature not yet current: {} is still later than {latest} ({} + {minutes} min.)",
            show(signed),
            show(now)
        )
    }
}
