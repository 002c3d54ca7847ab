//! Signature Version 4, verified: IAM User Guide, "Create a signed AWS API request" and
//! "Troubleshoot Signature Version 4 signing for AWS API requests".
//!
//! [`Claim::of`] reads what a request says about its signature, in the header or, presigned, in the
//! query. [`Claim::caller`] checks everything but the signature itself; for S3 that is left to
//! `s3s`, which must see the body's chunks.

mod refusal;
#[cfg(test)]
mod tests;
mod verify;

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::request::Parts;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

pub use self::refusal::Refusal;
use super::call::{Caller, Service};
use super::iam::Iam;
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
}

fn malformed(message: &str) -> Refusal {
    Refusal::Malformed(message.to_owned())
}
