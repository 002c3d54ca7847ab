//! GetObject and HeadObject.
//!
//! What one call wrote is what the next one reads ("Amazon S3 data consistency model"): both are
//! answered whole, under the region's lock.

use http::HeaderMap;
use s3s::dto::{
    ChecksumMode, ChecksumType, ETag, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, StreamingBlob,
};
use s3s::{Body, S3Error, S3Result, s3_error};

use super::access::{Asked, on_object};
use super::conditions::ReadConditions;
use super::digest::Algorithm;
use super::store::{Object, Version, VersionId};

/// Returns the object, or a range of it.
pub fn get(asked: &mut Asked<'_>, input: GetObjectInput) -> S3Result<GetObjectOutput> {
    look(asked, input, false)
}

/// GetObject, or what HeadObject tells of it.
fn look(
    asked: &mut Asked<'_>,
    input: GetObjectInput,
    head_only: bool,
) -> S3Result<GetObjectOutput> {
    let conditions = ReadConditions {
        if_match: input.if_match.clone(),
        if_none_match: input.if_none_match.clone(),
        if_modified_since: input.if_modified_since.clone(),
        if_unmodified_since: input.if_unmodified_since.clone(),
    };
    let with_checksum =
        input.checksum_mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
    let (bucket, key, version) = (&input.bucket, &input.key, input.version_id.as_deref());
    asked.bucket_of(bucket, input.expected_bucket_owner.as_deref())?;
    // "HeadObject", `x-amz-checksum-mode`: of an object under a KMS key the checksum takes
    // kms:Decrypt, and nothing else of it does.
    let (version, object) = if head_only && !with_checksum {
        let (version, object) = find(asked, bucket, key, version)?;
        conditions.hold_against(&version, &object)?;
        (version, object)
    } else {
        readable(asked, bucket, key, version, &conditions)?
    };

    let length = object.bytes.len() as u64;
    let range = match input.range {
        // S3 answers a range of an empty object like any other that cannot be satisfied.
        Some(range) => Some(range.check(length).map_err(|_| unsatisfiable(length))?),
        None => None,
    };
    let bytes = match &range {
        Some(range) => object.bytes.slice(range.start as usize..range.end as usize),
        None => object.bytes.clone(),
    };
    // A checksum of the whole says nothing about a part.
    let whole = with_checksum && range.is_none();
    let checksum = |algorithm| if whole { object.checksum.by(algorithm) } else { None };
    Ok(GetObjectOutput {
        accept_ranges: Some("bytes".into()),
        content_length: Some(bytes.len() as i64),
        content_range: range
            .map(|range| format!("bytes {}-{}/{length}", range.start, range.end - 1)),
        body: Some(StreamingBlob::from(Body::from(bytes))),
        e_tag: Some(ETag::Strong(object.etag.clone())),
        last_modified: Some(version.last_modified.into()),
        version_id: asked.store().bucket(&input.bucket)?.shown(&version.id),
        content_type: Some(content_type(&object)),
        cache_control: object.headers.cache_control.clone(),
        content_disposition: object.headers.content_disposition.clone(),
        content_encoding: object.headers.content_encoding.clone(),
        content_language: object.headers.content_language.clone(),
        metadata: (!object.metadata.is_empty())
            .then(|| object.metadata.clone().into_iter().collect()),
        server_side_encryption: Some(object.encryption.algorithm()),
        ssekms_key_id: object.encryption.key_id(),
        bucket_key_enabled: object.encryption.bucket_key(),
        checksum_crc32: checksum(Algorithm::Crc32),
        checksum_crc32c: checksum(Algorithm::Crc32c),
        checksum_crc64nvme: checksum(Algorithm::Crc64Nvme),
        checksum_sha1: checksum(Algorithm::Sha1),
        checksum_sha256: checksum(Algorithm::Sha256),
        checksum_type: whole.then(|| ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        ..Default::default()
    })
}

/// What GetObject would say, without the body.
pub fn head(asked: &mut Asked<'_>, input: HeadObjectInput) -> S3Result<HeadObjectOutput> {
    let got = look(
        asked,
        GetObjectInput {
            bucket: input.bucket,
            key: input.key,
            version_id: input.version_id,
            range: input.range,
            checksum_mode: input.checksum_mode,
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
            expected_bucket_owner: input.expected_bucket_owner,
            ..Default::default()
        },
        true,
    )?;
    Ok(HeadObjectOutput {
        accept_ranges: got.accept_ranges,
        content_length: got.content_length,
        content_range: got.content_range,
        e_tag: got.e_tag,
        last_modified: got.last_modified,
        version_id: got.version_id,
        content_type: got.content_type,
        cache_control: got.cache_control,
        content_disposition: got.content_disposition,
        content_encoding: got.content_encoding,
        content_language: got.content_language,
        metadata: got.metadata,
        server_side_encryption: got.server_side_encryption,
        ssekms_key_id: got.ssekms_key_id,
        bucket_key_enabled: got.bucket_key_enabled,
        checksum_crc32: got.checksum_crc32,
        checksum_crc32c: got.checksum_crc32c,
        checksum_crc64nvme: got.checksum_crc64nvme,
        checksum_sha1: got.checksum_sha1,
        checksum_sha256: got.checksum_sha256,
        checksum_type: got.checksum_type,
        ..Default::default()
    })
}

/// The version asked for and its object, for a caller who may read its bytes and whose conditions
/// hold.
pub fn readable(
    asked: &mut Asked<'_>,
    bucket: &str,
    key: &str,
    version: Option<&str>,
    conditions: &ReadConditions,
) -> S3Result<(Version, Object)> {
    let (version, object) = find(asked, bucket, key, version)?;
    asked.require_kms("kms:Decrypt", &object.encryption, bucket, key)?;
    conditions.hold_against(&version, &object)?;
    Ok((version, object))
}

/// The version asked for and its object, for a caller who may read it.
fn find(
    asked: &mut Asked<'_>,
    bucket: &str,
    key: &str,
    version: Option<&str>,
) -> S3Result<(Version, Object)> {
    let action = if version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
    asked.require(on_object(action, bucket, key))?;
    let found = match version {
        Some(id) => {
            VersionId::parse(id)?;
            asked.store().bucket(bucket)?.version(key, id).cloned()
        }
        None => asked.store().bucket(bucket)?.current(key).cloned(),
    };
    match found {
        Some(version) if version.object().is_some() => {
            let object = version.object().cloned().expect("just seen");
            Ok((version, object))
        }
        Some(marker) if version.is_some() => {
            let error = s3_error!(
                MethodNotAllowed,
                "The specified method is not allowed against this resource."
            );
            Err(with_marker(error, &marker))
        }
        Some(marker) => {
            let absence = with_marker(no_such_key(), &marker);
            Err(asked.absent(bucket, absence))
        }
        None if version.is_some() => {
            Err(asked
                .absent(bucket, s3_error!(NoSuchVersion, "The specified version does not exist.")))
        }
        None => Err(asked.absent(bucket, no_such_key())),
    }
}

fn content_type(object: &Object) -> String {
    object.headers.content_type.clone().unwrap_or_else(|| "binary/octet-stream".into())
}

fn no_such_key() -> S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

fn unsatisfiable(length: u64) -> S3Error {
    let mut error = s3_error!(InvalidRange, "The requested range is not satisfiable");
    let range = format!("bytes */{length}").parse().expect("digits");
    error.set_headers([(http::header::CONTENT_RANGE, range)].into_iter().collect());
    error
}

/// "Working with delete markers": who meets one is told so.
fn with_marker(mut error: S3Error, marker: &Version) -> S3Error {
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-delete-marker", http::HeaderValue::from_static("true"));
    if let Ok(id) = marker.id.as_str().parse() {
        headers.insert("x-amz-version-id", id);
    }
    error.set_headers(headers);
    error
}
