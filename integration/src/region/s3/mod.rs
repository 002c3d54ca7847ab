//! S3: a store in the region's state, and the crate `s3s` for its wire protocol and signatures.
//!
//! A request comes in whole and unverified; [`serve`] sees to what `s3s` does not (presigned URLs
//! by the region's clock, digests of XML bodies, the headers around every answer) and hands it on.
//! `s3s` parses it and calls [`service`], which asks IAM ([`access`]) and then does it
//! ([`reads`], [`writes`], [`copies`], [`lists`], [`buckets`]) to the [`store`].

mod access;
pub mod address;
mod buckets;
mod conditions;
mod copies;
pub mod digest;
pub mod kms;
mod listing;
mod lists;
mod presigned;
mod reads;
mod service;
pub mod store;
mod writes;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, SERVER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpResponse, S3Error, S3ErrorCode, S3Result, s3_error};
use time::OffsetDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;

pub use self::address::{Operation, operation};
use self::service::Service;
pub use self::store::{Store, Versioning};
use super::Region;
use super::call::Caller;

const HTTP_DATE: &[FormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);
/// The operations whose body is the object rather than XML.
const WITH_OBJECT: [&str; 2] = ["PutObject", "UploadPart"];

/// An extension of a request: [`Store::writes`] when it came in, before any latency. By it two
/// writes that overlap are told; without it none does.
#[derive(Clone, Copy, Debug)]
pub struct Arrived(pub u64);

/// Serves a request whose access key, session token and time have been checked; its signature has
/// not. `caller` is nobody for an unsigned request.
pub async fn serve(
    region: &Region,
    caller: Option<Caller>,
    request: Request<Bytes>,
    request_id: &str,
) -> Response<Bytes> {
    let (mut parts, body) = request.into_parts();
    let Arrived(arrived) = parts.extensions.get().copied().unwrap_or(Arrived(u64::MAX));
    let arrival = parts.extensions.get().copied().unwrap_or_default();
    let operation = operation(&parts);
    let answered = match prepare(region, caller.as_ref(), &mut parts, &body, &operation) {
        Ok(()) => {
            let request = Request::from_parts(parts.clone(), Body::from(body));
            let service = s3s_for(Service { region: region.clone(), caller, arrival, arrived });
            service
                .call(request)
                .await
                .map_err(|error| S3Error::with_source(S3ErrorCode::InternalError, error.into()))
        }
        Err(refusal) => Err(refusal),
    };
    let response = match answered {
        Ok(response) => whole(response).await,
        Err(refusal) => refused(refusal).await,
    };
    finish(response, region.clock().signing(), &parts, &operation, request_id)
}

/// Does before `s3s` what it leaves out.
fn prepare(
    region: &Region,
    caller: Option<&Caller>,
    parts: &mut Parts,
    body: &Bytes,
    operation: &Operation,
) -> S3Result<()> {
    // In process a request may name its host in its URI alone.
    if !parts.headers.contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(address::host(parts))
    {
        parts.headers.insert(HOST, host);
    }
    if presigned::is_version_2(parts) {
        return Err(s3_error!(
            InvalidRequest,
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
        ));
    }
    if let Some(caller) = caller
        && presigned::is_presigned(parts)
    {
        let secret = region
            .with(|state, _| state.iam.secret_of(&caller.access_key).map(|key| key.secret.clone()));
        presigned::verify(parts, &secret.unwrap_or_default())?;
        let query = presigned::without_signature(parts.uri.query().unwrap_or_default());
        parts.uri = with_query(&parts.uri, &query)?;
    }
    if !WITH_OBJECT.contains(&operation.name.as_str()) {
        if operation.name == "DeleteObjects" && !digest::is_given(&parts.headers) {
            return Err(s3_error!(
                InvalidRequest,
                "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
            ));
        }
        digest::verified(&parts.headers, &HeaderMap::new(), body)?;
    }
    Ok(())
}

fn with_query(uri: &Uri, query: &str) -> S3Result<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = format!("{}?{query}", uri.path()).parse().ok();
    Uri::from_parts(parts).map_err(|_| s3_error!(InvalidURI))
}

fn s3s_for(service: Service) -> S3Service {
    let secrets = Secrets(service.region.clone());
    let known = Known(service.caller.is_some());
    let mut builder = S3ServiceBuilder::new(service);
    builder.set_host(address::Hosts);
    builder.set_auth(secrets);
    builder.set_access(known);
    // Times are the region's matter and checked already: see `sigv4`.
    let mut config = S3Config::default();
    config.presigned_url_max_skew_time_secs = u32::MAX;
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    builder.build()
}

/// The secrets that signatures are checked with.
struct Secrets(Region);

#[async_trait::async_trait]
impl S3Auth for Secrets {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let secret =
            self.0.with(|state, _| state.iam.secret_of(access_key).map(|key| key.secret.clone()));
        secret.map(SecretKey::from).ok_or_else(|| {
            s3_error!(
                InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records."
            )
        })
    }
}

/// Lets in whoever is known at all, signed by header or query; [`access`] asks the rest.
struct Known(bool);

#[async_trait::async_trait]
impl S3Access for Known {
    async fn check(&self, _: &mut S3AccessContext<'_>) -> S3Result<()> {
        if self.0 { Ok(()) } else { Err(s3_error!(AccessDenied, "Access Denied")) }
    }
}

async fn whole(response: HttpResponse) -> Response<Bytes> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Response::from_parts(parts, body)
}

async fn refused(refusal: S3Error) -> Response<Bytes> {
    match refusal.to_http_response() {
        Ok(response) => whole(response).await,
        Err(_) => internal_error(),
    }
}

fn internal_error() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// Puts around an answer what S3 puts around every one ("Common Response Headers", "Error
/// Responses").
fn finish(
    mut response: Response<Bytes>,
    now: OffsetDateTime,
    request: &Parts,
    operation: &Operation,
    request_id: &str,
) -> Response<Bytes> {
    let is_error = !response.status().is_success();
    if is_error {
        let body = String::from_utf8_lossy(response.body());
        let ids = format!(
            "{}<RequestId>{request_id}</RequestId><HostId>{}</HostId></Error>",
            about(&body, operation),
            host_id(request_id)
        );
        let body = Bytes::from(body.replacen("</Error>", &ids, 1));
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = body;
    }
    // Neither an answer to HEAD nor 304 has a body, so errors there have no code either.
    let bodiless = request.method == Method::HEAD || response.status() == StatusCode::NOT_MODIFIED;
    if bodiless {
        *response.body_mut() = Bytes::new();
    }
    let headers = response.headers_mut();
    if is_error && !bodiless {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    }
    headers.insert(SERVER, HeaderValue::from_static("AmazonS3"));
    let pairs = [
        (DATE, now.to_offset(time::UtcOffset::UTC).format(HTTP_DATE).unwrap_or_default()),
        (HeaderName::from_static("x-amz-request-id"), request_id.to_owned()),
        (HeaderName::from_static("x-amz-id-2"), host_id(request_id)),
    ];
    for (name, value) in pairs {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

/// What some errors say besides code and message.
fn about(error: &str, operation: &Operation) -> String {
    let (bucket, key) = operation.resource.split_once('/').unwrap_or((&operation.resource, ""));
    let code = error
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"))
        .map_or("", |(code, _)| code);
    match code {
        "NoSuchKey" | "NoSuchVersion" => format!("<Key>{}</Key>", escape(key)),
        "NoSuchBucket" | "BucketNotEmpty" => format!("<BucketName>{}</BucketName>", escape(bucket)),
        _ => String::new(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// S3's second, longer ID of a request.
fn host_id(request_id: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(format!("{request_id}/s3/{request_id}"))
}
