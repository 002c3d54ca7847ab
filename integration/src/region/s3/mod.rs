//! S3 over the crate `s3s`, which speaks the wire protocol and checks the signature.

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};

use super::Region;
use super::call::{Caller, ServiceError};
use super::envelope;

/// The buckets.
#[derive(Clone, Debug, Default)]
pub struct Store {}

/// What a request asks for, told from its line and headers alone, for faults and the call log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// As IAM's actions are named in S3's API reference: `GetObject`, `ListObjectsV2`, …
    pub name: String,
    /// `bucket/key`, `bucket` or nothing.
    pub resource: String,
}

/// Names the operation of a request, path-style or virtual-host style.
pub fn operation(request: &Parts) -> Operation {
    Operation {
        name: "Unknown".into(),
        resource: request.uri.path().trim_start_matches('/').into(),
    }
}

/// Serves a request whose access key, session token and time have been checked; its signature
/// has not. `caller` is nobody for an unsigned request.
pub async fn serve(
    _region: &Region,
    caller: Option<Caller>,
    _request: Request<Bytes>,
    request_id: &str,
) -> Response<Bytes> {
    let _ = caller;
    envelope::s3_error(
        &ServiceError::new(
            501,
            "NotImplemented",
            "A header you provided implies functionality that is not implemented.",
        ),
        request_id,
    )
}
