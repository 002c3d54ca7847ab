//! What a request is about, told from its line and headers alone: the bucket and key in the host
//! and path, and the name of the operation.
//!
//! After "Virtual hosting of general purpose buckets" and the request syntax of each operation.

use http::request::Parts;
use http::{Method, header};
use s3s::S3Result;
use s3s::host::{S3Host, VirtualHost};

use crate::region::params::{Params, percent_decode};

/// An operation and its object, for faults and the call log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// As in S3's API reference: `GetObject`, `ListObjectsV2`, …
    pub name: String,
    /// `bucket/key`, `bucket` or nothing.
    pub resource: String,
}

/// Names the operation of a request, path-style or virtual-host style.
pub fn operation(request: &Parts) -> Operation {
    let path = percent_decode(request.uri.path().trim_start_matches('/'));
    let resource = match bucket_in(host(request)) {
        Some(bucket) if path.is_empty() => bucket.to_owned(),
        Some(bucket) => format!("{bucket}/{path}"),
        None => path
            .strip_suffix('/')
            .filter(|bucket| !bucket.contains('/'))
            .unwrap_or(&path)
            .to_owned(),
    };
    let query = Params::parse(request.uri.query().unwrap_or_default());
    let name = match resource.split_once('/') {
        Some(_) => of_object(request, &query),
        None if resource.is_empty() => "ListBuckets",
        None => of_bucket(&request.method, &query),
    };
    Operation { name: name.into(), resource }
}

/// The host that the request names, however it names it.
pub fn host(request: &Parts) -> &str {
    let header = request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    header
        .or_else(|| request.uri.authority().map(|authority| authority.as_str()))
        .unwrap_or_default()
}

/// The bucket of `BUCKET.s3.REGION.amazonaws.com`, and of `BUCKET.localhost` for SDKs that were
/// given an endpoint on this machine. Every other host is an endpoint itself.
pub fn bucket_in(host: &str) -> Option<&str> {
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    if let Some(bucket) = name.strip_suffix(".localhost") {
        return Some(bucket);
    }
    let labels = name.strip_suffix(".amazonaws.com")?;
    let (bucket, rest) = match labels.rsplit_once(".s3.") {
        Some(split) => split,
        None => (labels.strip_suffix(".s3")?, ""),
    };
    // `s3.REGION` and `s3.dualstack.REGION` are what may follow; a bucket may have dots of its own.
    (rest.split('.').count() <= 2).then_some(bucket)
}

/// Tells `s3s` where a bucket is in a host.
pub struct Hosts;

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let endpoint = VirtualHost::new(host);
        Ok(match bucket_in(host) {
            Some(bucket) => endpoint.with_bucket(bucket),
            None => endpoint,
        })
    }
}

fn of_object(request: &Parts, query: &Params) -> &'static str {
    let has = |name| query.get(name).is_some();
    match request.method {
        Method::GET if has("uploadId") => "ListParts",
        Method::GET if has("attributes") => "GetObjectAttributes",
        Method::GET if has("tagging") => "GetObjectTagging",
        Method::GET if has("acl") => "GetObjectAcl",
        Method::GET => "GetObject",
        Method::HEAD => "HeadObject",
        Method::PUT if has("uploadId") => "UploadPart",
        Method::PUT if has("tagging") => "PutObjectTagging",
        Method::PUT if has("acl") => "PutObjectAcl",
        Method::PUT if request.headers.contains_key("x-amz-copy-source") => "CopyObject",
        Method::PUT => "PutObject",
        Method::DELETE if has("uploadId") => "AbortMultipartUpload",
        Method::DELETE if has("tagging") => "DeleteObjectTagging",
        Method::DELETE => "DeleteObject",
        Method::POST if has("uploads") => "CreateMultipartUpload",
        Method::POST if has("uploadId") => "CompleteMultipartUpload",
        _ => "Unknown",
    }
}

fn of_bucket(method: &Method, query: &Params) -> &'static str {
    let has = |name| query.get(name).is_some();
    match *method {
        Method::HEAD => "HeadBucket",
        Method::GET if query.get("list-type") == Some("2") => "ListObjectsV2",
        Method::GET if has("versions") => "ListObjectVersions",
        Method::GET if has("location") => "GetBucketLocation",
        Method::GET if has("versioning") => "GetBucketVersioning",
        Method::GET if has("encryption") => "GetBucketEncryption",
        Method::GET if has("publicAccessBlock") => "GetPublicAccessBlock",
        Method::GET if has("policy") => "GetBucketPolicy",
        Method::GET if has("acl") => "GetBucketAcl",
        Method::GET if has("tagging") => "GetBucketTagging",
        Method::GET if has("lifecycle") => "GetBucketLifecycleConfiguration",
        Method::GET if has("uploads") => "ListMultipartUploads",
        Method::GET => "ListObjects",
        Method::PUT if has("versioning") => "PutBucketVersioning",
        Method::PUT if has("encryption") => "PutBucketEncryption",
        Method::PUT if has("publicAccessBlock") => "PutPublicAccessBlock",
        Method::PUT if has("policy") => "PutBucketPolicy",
        Method::PUT if has("tagging") => "PutBucketTagging",
        Method::PUT if has("lifecycle") => "PutBucketLifecycleConfiguration",
        Method::PUT => "CreateBucket",
        Method::DELETE if has("publicAccessBlock") => "DeletePublicAccessBlock",
        Method::DELETE if has("policy") => "DeleteBucketPolicy",
        Method::DELETE => "DeleteBucket",
        Method::POST if has("delete") => "DeleteObjects",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_found_in_host_or_path() {
        for (host, bucket) in [
            ("acme.s3.eu-west-1.amazonaws.com", Some("acme")),
            ("acme.s3.amazonaws.com", Some("acme")),
            ("a.dotted.one.s3.dualstack.eu-west-1.amazonaws.com", Some("a.dotted.one")),
            ("acme.localhost:4566", Some("acme")),
            ("s3.eu-west-1.amazonaws.com", None),
            ("s3.amazonaws.com", None),
            ("ec2.eu-west-1.amazonaws.com", None),
            ("localhost:4566", None),
            ("127.0.0.1:4566", None),
        ] {
            assert_eq!(bucket_in(host), bucket, "{host}");
        }
    }

    #[test]
    fn an_operation_is_named_alike_in_both_styles() {
        let named = |method: &str, uri: &str| {
            let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
            let Operation { name, resource } = operation(&request.into_parts().0);
            format!("{name} {resource}")
        };
        let (path, host) = ("http://127.0.0.1:1/acme", "https://acme.s3.eu-west-1.amazonaws.com");
        for base in [path, host] {
            assert_eq!(
                named("GET", &format!("{base}/a/b%20c?x-id=GetObject")),
                "GetObject acme/a/b c"
            );
            assert_eq!(named("PUT", &format!("{base}/k")), "PutObject acme/k");
            assert_eq!(
                named("GET", &format!("{base}/?list-type=2&prefix=a")),
                "ListObjectsV2 acme"
            );
            assert_eq!(named("POST", &format!("{base}/?delete")), "DeleteObjects acme");
        }
        assert_eq!(named("PUT", "http://127.0.0.1:1/acme"), "CreateBucket acme");
        assert_eq!(named("GET", "https://s3.eu-west-1.amazonaws.com/"), "ListBuckets ");
    }
}
