//! Why a request is not accepted as its signer's, in the words of each service.

use time::OffsetDateTime;
use time::macros::format_description;

use super::SKEW;
use crate::region::call::{Service, ServiceError};

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
