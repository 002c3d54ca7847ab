//! CopyObject: a read and a write in one, with the permissions and preconditions of both.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, ETagCondition,
    MetadataDirective, PutObjectInput,
};
use s3s::{S3Result, s3_error};

use super::access::Asked;
use super::conditions::ReadConditions;
use super::store::Object;
use super::{reads, writes};

/// Stores what the source holds under another key, in a version of its own.
pub fn copy(
    asked: &mut Asked<'_>,
    input: CopyObjectInput,
    headers: &HeaderMap,
) -> S3Result<CopyObjectOutput> {
    let CopySource::Bucket { bucket, key, version_id } = input.copy_source.clone() else {
        return Err(s3_error!(NotImplemented, "the region has neither access points nor outposts"));
    };
    asked.bucket_of(&bucket, input.expected_source_bucket_owner.as_deref())?;
    let conditions = ReadConditions {
        if_match: input.copy_source_if_match.clone(),
        if_none_match: input.copy_source_if_none_match.clone(),
        if_modified_since: input.copy_source_if_modified_since.clone(),
        if_unmodified_since: input.copy_source_if_unmodified_since.clone(),
    };
    let (version, source) =
        reads::readable(asked, &bucket, &key, version_id.as_deref(), &conditions)?;
    let replaces = input
        .metadata_directive
        .as_ref()
        .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
    let onto_itself = (&*bucket, &*key) == (&input.bucket, &input.key) && version_id.is_none();
    if onto_itself && !replaces && input.server_side_encryption.is_none() {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes."
        ));
    }
    let copy_source_version_id = asked.store().bucket(&bucket)?.shown(&version.id);
    let digest = digest_of(&source);
    let bytes = source.bytes.clone();
    let put = put_of(input, source, replaces, headers)?;
    let done = writes::put(asked, put, bytes, &digest, &HeaderMap::new())?;
    let copied = CopyObjectResult {
        e_tag: done.e_tag,
        last_modified: asked.now.replace_nanosecond(0).ok().map(Into::into),
        checksum_crc32: done.checksum_crc32,
        checksum_crc32c: done.checksum_crc32c,
        checksum_crc64nvme: done.checksum_crc64nvme,
        checksum_sha1: done.checksum_sha1,
        checksum_sha256: done.checksum_sha256,
        checksum_type: done.checksum_type,
    };
    Ok(CopyObjectOutput {
        copy_object_result: Some(copied),
        copy_source_version_id,
        version_id: done.version_id,
        server_side_encryption: done.server_side_encryption,
        ssekms_key_id: done.ssekms_key_id,
        bucket_key_enabled: done.bucket_key_enabled,
        ..Default::default()
    })
}

/// The write that the copy amounts to. A copy keeps the source's headers and metadata, all or none
/// of them, and never its encryption ("CopyObject", `x-amz-metadata-directive`).
fn put_of(
    input: CopyObjectInput,
    source: Object,
    replaces: bool,
    headers: &HeaderMap,
) -> S3Result<PutObjectInput> {
    let (kept, metadata) = (source.headers, source.metadata.into_iter().collect());
    let pick = |asked_for: Option<String>, kept| if replaces { asked_for } else { kept };
    Ok(PutObjectInput {
        bucket: input.bucket,
        key: input.key,
        expected_bucket_owner: input.expected_bucket_owner,
        if_match: condition(headers, "if-match")?,
        if_none_match: condition(headers, "if-none-match")?,
        server_side_encryption: input.server_side_encryption,
        ssekms_key_id: input.ssekms_key_id,
        bucket_key_enabled: input.bucket_key_enabled,
        content_type: pick(input.content_type, kept.content_type),
        cache_control: pick(input.cache_control, kept.cache_control),
        content_disposition: pick(input.content_disposition, kept.content_disposition),
        content_encoding: pick(input.content_encoding, kept.content_encoding),
        content_language: pick(input.content_language, kept.content_language),
        metadata: if replaces { input.metadata } else { Some(metadata) },
        ..Default::default()
    })
}

/// `s3s` knows these preconditions of PutObject alone.
fn condition(headers: &HeaderMap, name: &str) -> S3Result<Option<ETagCondition>> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let parsed = ETagCondition::parse_http_header(value.as_bytes());
    parsed.map(Some).map_err(|_| s3_error!(InvalidArgument, "{name} is no ETag"))
}

/// The source's checksum as a client would send it: a copy has the same kind.
fn digest_of(source: &Object) -> HeaderMap {
    let name = HeaderName::from_static(source.checksum.algorithm.header());
    let value = HeaderValue::from_maybe_shared(Bytes::from(source.checksum.value.clone()));
    value.into_iter().map(|value| (name.clone(), value)).collect()
}
