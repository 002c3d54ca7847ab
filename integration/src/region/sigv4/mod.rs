//! Signature Version 4, verified: IAM User Guide, "Create a signed AWS API request" and
//! "Troubleshoot Signature Version 4 signing for AWS API requests".
//!
//! [`Claim::of`] reads what a request says about its signature, in the header or, presigned, in the
//! query. [`Claim::caller`] checks everything but the signature itself; for S3 that is left to
//! `s3s`, which must see the body's chunks.

mod refusal;
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

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::region::iam::Credentials;
    use crate::region::ids::Ids;

    const NOW: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

    fn iam() -> (Iam, Credentials, Credentials) {
        let (mut iam, mut ids) = (Iam::new("123456789012", "eu-west-1"), Ids::new(1));
        let user = iam.add_user(&mut ids, "operator", &[]).expect("a user");
        iam.add_role(&mut ids, "worker", &[]).expect("a role");
        let session = iam
            .open_session(&mut ids, "worker", "i-1", NOW, Duration::from_secs(3600))
            .expect("a session");
        (iam, user, session)
    }

    fn claim(credentials: &Credentials, date: &str, scope: &str) -> Claim {
        let credential = format!("{}/{}/{scope}/aws4_request", credentials.access_key, &date[..8]);
        Claim::new(
            &credential,
            date,
            credentials.session_token.clone(),
            "host",
            String::new(),
            None,
        )
        .expect("a claim")
    }

    fn judged(claim: &Claim, iam: &Iam, now: OffsetDateTime) -> Result<String, Refusal> {
        claim.caller(iam, Service::Ec2, "eu-west-1", now).map(|caller| caller.userid())
    }

    #[test]
    fn a_role_session_is_its_role_id_and_instance() {
        let (iam, _, session) = iam();
        let role_id = iam.role("worker").expect("the role").role_id.clone();
        let claim = claim(&session, "20261123T120000Z", "eu-west-1/ec2");
        assert_eq!(judged(&claim, &iam, NOW), Ok(format!("{role_id}:i-1")));
    }

    #[test]
    fn keys_and_tokens_must_belong_together() {
        let (iam, user, session) = iam();
        let judge = |key: &str, token: Option<&str>| {
            let credentials = Credentials {
                access_key: key.into(),
                session_token: token.map(str::to_owned),
                ..user.clone()
            };
            judged(&claim(&credentials, "20261123T120000Z", "eu-west-1/ec2"), &iam, NOW)
        };
        assert_eq!(judge("AKIANOBODY", None), Err(Refusal::UnknownKey));
        assert_eq!(judge(&session.access_key, None), Err(Refusal::UnknownKey));
        assert_eq!(judge(&session.access_key, Some("another")), Err(Refusal::BadToken));
        assert_eq!(judge(&user.access_key, Some("unasked")), Err(Refusal::BadToken));
        assert!(judge(&user.access_key, None).is_ok());
    }

    /// IAM User Guide, "Temporary security credentials".
    #[test]
    fn a_session_ends_when_its_credentials_expire() {
        let (iam, _, session) = iam();
        let claim = claim(&session, "20261123T125959Z", "eu-west-1/ec2");
        assert!(judged(&claim, &iam, NOW + Duration::from_secs(3599)).is_ok());
        assert_eq!(
            judged(&claim, &iam, NOW + Duration::from_secs(3600)),
            Err(Refusal::ExpiredToken)
        );
    }

    /// IAM User Guide, "Troubleshoot Signature Version 4 signing": five minutes; S3: fifteen.
    #[test]
    fn a_clock_may_be_off_by_minutes_only() {
        let (iam, user, _) = iam();
        let at = |date: &str, service: Service| {
            let claim = claim(&user, date, &format!("eu-west-1/{service}"));
            claim.caller(&iam, service, "eu-west-1", NOW).map(|_| ())
        };
        assert_eq!(at("20261123T115500Z", Service::Ec2), Ok(()));
        assert_eq!(at("20261123T120500Z", Service::Ec2), Ok(()));
        assert!(matches!(at("20261123T115459Z", Service::Ec2), Err(Refusal::Skewed { .. })));
        assert!(matches!(at("20261123T120501Z", Service::Ec2), Err(Refusal::Skewed { .. })));
        assert_eq!(at("20261123T114500Z", Service::S3), Ok(()));
        assert!(matches!(at("20261123T114459Z", Service::S3), Err(Refusal::Skewed { .. })));
        let error =
            at("20261123T110000Z", Service::Sts).expect_err("an hour late").error(Service::Sts);
        assert_eq!(
            error.to_string(),
            "SignatureDoesNotMatch (403): Signature expired: 20261123T110000Z is now earlier than 20261123T115500Z (20261123T120000Z - 5 min.)"
        );
    }

    #[test]
    fn a_presigned_request_lives_as_long_as_it_says() {
        let (iam, user, _) = iam();
        let query = |seconds: &str| {
            let request = http::Request::get(format!(
                "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F20261123%2Feu-west-1%2Fsts%2Faws4_request\
                 &X-Amz-Date=20261123T120000Z&X-Amz-Expires={seconds}&X-Amz-SignedHeaders=host&X-Amz-Signature=00",
                user.access_key
            ));
            Claim::of(&request.body(()).expect("a request").into_parts().0)
        };
        let claim = query("60").expect("a well-formed query").expect("a presigned one");
        let at = |seconds| {
            claim
                .caller(&iam, Service::Sts, "eu-west-1", NOW + Duration::from_secs(seconds))
                .map(|_| ())
        };
        assert_eq!(at(60), Ok(()));
        assert_eq!(at(61), Err(Refusal::Expired));
        assert!(matches!(query("604801"), Err(Refusal::Malformed(_))));
        assert!(matches!(query("soon"), Err(Refusal::Malformed(_))));
    }

    #[test]
    fn a_scope_names_this_region_and_this_service() {
        let (iam, user, _) = iam();
        let judge = |scope: &str, service| {
            claim(&user, "20261123T120000Z", scope)
                .caller(&iam, service, "eu-west-1", NOW)
                .map(|_| ())
        };
        let elsewhere =
            Refusal::WrongRegion { found: "us-east-1".into(), wanted: "eu-west-1".into() };
        assert_eq!(judge("us-east-1/ec2", Service::Ec2), Err(elsewhere));
        assert_eq!(judge("us-east-1/sts", Service::Sts), Ok(()));
        assert_eq!(
            judge("eu-west-1/sts", Service::Ec2),
            Err(Refusal::WrongService { wanted: Service::Ec2 })
        );
    }
}
