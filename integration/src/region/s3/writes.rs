//! PutObject, DeleteObject and DeleteObjects, with the preconditions that make them safe to race.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use s3s::dto::{
    ChecksumType, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput,
    DeletedObject, ETag, ETagCondition, ObjectIdentifier, PutObjectInput, PutObjectOutput,
    ServerSideEncryption,
};
use s3s::{S3Error, S3Result, s3_error};

use super::access::{Asked, on_object};
use super::conditions::WriteConditions;
use super::digest::{self, Algorithm};
use super::kms::Encryption;
use super::store::{Deleted, Headers, Object, VersionId};

/// S3's limit for one PutObject ("Uploading objects").
const MAX_PUT_BYTES: usize = 5 << 30;
/// "Working with object metadata": user-defined metadata, names and values together.
const MAX_METADATA_BYTES: usize = 2 << 10;

/// Stores the body as the key's new current version.
pub fn put(
    asked: &mut Asked<'_>,
    input: PutObjectInput,
    body: Bytes,
    headers: &HeaderMap,
    trailers: &HeaderMap,
) -> S3Result<PutObjectOutput> {
    let (bucket, key) = (input.bucket.clone(), input.key.clone());
    let conditions = WriteConditions {
        if_match: input.if_match.clone(),
        if_none_match: input.if_none_match.clone(),
    };
    asked.bucket_of(&bucket, input.expected_bucket_owner.as_deref())?;
    let encryption = encryption_of(asked, &input)?;
    require_put(asked, &input, &encryption, &conditions)?;
    if body.len() > MAX_PUT_BYTES {
        return Err(s3_error!(
            EntityTooLarge,
            "Your proposed upload exceeds the maximum allowed size"
        ));
    }
    let checksum = digest::verified(headers, trailers, &body)?;
    hold_for_write(asked, &bucket, &key, &conditions)?;

    let encryption_context = input.ssekms_encryption_context.clone();
    let etag = asked.store().etag(&body, &encryption);
    let object = Object {
        bytes: body,
        etag: etag.clone(),
        checksum,
        encryption,
        headers: kept(&input),
        metadata: metadata(input)?,
    };
    let output = PutObjectOutput {
        e_tag: Some(ETag::Strong(etag)),
        server_side_encryption: Some(object.encryption.algorithm()),
        ssekms_key_id: object.encryption.key_id(),
        bucket_key_enabled: object.encryption.bucket_key(),
        checksum_crc32: object.checksum.by(Algorithm::Crc32),
        checksum_crc32c: object.checksum.by(Algorithm::Crc32c),
        checksum_crc64nvme: object.checksum.by(Algorithm::Crc64Nvme),
        checksum_sha1: object.checksum.by(Algorithm::Sha1),
        checksum_sha256: object.checksum.by(Algorithm::Sha256),
        checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        ssekms_encryption_context: encryption_context,
        ..Default::default()
    };
    let now = asked.now;
    let version = asked.store().put_object(&bucket, &key, object, now)?;
    Ok(PutObjectOutput { version_id: asked.store().bucket(&bucket)?.shown(&version), ..output })
}

/// Deletes the current object or one version.
pub fn delete(asked: &mut Asked<'_>, input: DeleteObjectInput) -> S3Result<DeleteObjectOutput> {
    asked.bucket_of(&input.bucket, input.expected_bucket_owner.as_deref())?;
    let conditions = WriteConditions { if_match: input.if_match, if_none_match: None };
    let deleted =
        delete_one(asked, &input.bucket, &input.key, input.version_id.as_deref(), &conditions)?;
    Ok(DeleteObjectOutput {
        delete_marker: deleted.marker.then_some(true),
        version_id: deleted.version.map(|id| id.as_str().to_owned()),
        ..Default::default()
    })
}

/// Deletes up to 1000 objects, each for itself.
pub fn delete_many(
    asked: &mut Asked<'_>,
    input: DeleteObjectsInput,
) -> S3Result<DeleteObjectsOutput> {
    asked.bucket_of(&input.bucket, input.expected_bucket_owner.as_deref())?;
    if input.delete.objects.is_empty() || input.delete.objects.len() > 1000 {
        return Err(s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema"
        ));
    }
    let quiet = input.delete.quiet.unwrap_or(false);
    let mut output = DeleteObjectsOutput {
        deleted: Some(Vec::new()),
        errors: Some(Vec::new()),
        request_charged: None,
    };
    for object in input.delete.objects {
        let conditions = WriteConditions {
            if_match: object.e_tag.clone().map(ETagCondition::ETag),
            if_none_match: None,
        };
        match delete_one(
            asked,
            &input.bucket,
            &object.key,
            object.version_id.as_deref(),
            &conditions,
        ) {
            Ok(_) if quiet => {}
            Ok(deleted) => output.deleted.get_or_insert_default().push(deletion(object, deleted)),
            Err(error) => output.errors.get_or_insert_default().push(failure(object, &error)),
        }
    }
    Ok(output)
}

fn delete_one(
    asked: &mut Asked<'_>,
    bucket: &str,
    key: &str,
    version: Option<&str>,
    conditions: &WriteConditions,
) -> S3Result<Deleted> {
    let action = if version.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
    asked.require(on_object(action, bucket, key))?;
    if conditions.compares_etag() {
        asked.require(on_object("s3:GetObject", bucket, key))?;
    }
    hold_for_write(asked, bucket, key, conditions)?;
    let now = asked.now;
    match version {
        Some(version) => {
            let id = VersionId::parse(version)?;
            asked.store().delete_version(bucket, key, &id)
        }
        None => asked.store().delete_current(bucket, key, now),
    }
}

/// Refuses the write or delete whose precondition does not hold, or, now and then, one that
/// overlapped another write of the key, whatever its precondition says by now.
fn hold_for_write(
    asked: &mut Asked<'_>,
    bucket: &str,
    key: &str,
    conditions: &WriteConditions,
) -> S3Result<()> {
    if !conditions.any() {
        return Ok(());
    }
    let arrived = asked.arrived;
    if asked.store().conflicts(bucket, key, arrived) {
        return Err(s3_error!(
            ConditionalRequestConflict,
            "The conditional request cannot succeed due to a conflicting operation against this resource."
        ));
    }
    conditions.hold_against(asked.store().bucket(bucket)?.current(key))
}

fn require_put(
    asked: &mut Asked<'_>,
    input: &PutObjectInput,
    encryption: &Encryption,
    conditions: &WriteConditions,
) -> S3Result<()> {
    let mut put = on_object("s3:PutObject", &input.bucket, &input.key);
    if let Some(asked_for) = &input.server_side_encryption {
        put = put.with("s3:x-amz-server-side-encryption", asked_for.as_str());
    }
    if let (Some(_), Some(key)) = (&input.ssekms_key_id, encryption.key_id()) {
        put = put.with("s3:x-amz-server-side-encryption-aws-kms-key-id", key);
    }
    if let Some(condition) = &conditions.if_none_match {
        put = put.with("s3:if-none-match", shown_condition(condition));
    }
    if let Some(condition) = &conditions.if_match {
        put = put.with("s3:if-match", shown_condition(condition));
    }
    asked.require(put)?;
    if conditions.compares_etag() {
        asked.require(on_object("s3:GetObject", &input.bucket, &input.key))?;
    }
    asked.require_kms("kms:GenerateDataKey", encryption, &input.bucket, &input.key)
}

/// What the request asks for, or the bucket's default.
fn encryption_of(asked: &mut Asked<'_>, input: &PutObjectInput) -> S3Result<Encryption> {
    let default = asked.store().bucket(&input.bucket)?.encryption.clone();
    let algorithm = input.server_side_encryption.as_ref().map(ServerSideEncryption::as_str);
    match (algorithm, &input.ssekms_key_id) {
        (None, None) => Ok(default),
        (Some(ServerSideEncryption::AES256), None) => Ok(Encryption::S3),
        (Some(ServerSideEncryption::AWS_KMS), name) => {
            let bucket_key = match default {
                Encryption::Kms { bucket_key, .. } => bucket_key,
                Encryption::S3 => false,
            };
            let bucket_key = input.bucket_key_enabled.unwrap_or(bucket_key);
            Ok(Encryption::Kms { key: asked.kms_key(name.as_deref())?, bucket_key })
        }
        (_, Some(_)) => Err(s3_error!(
            InvalidArgument,
            "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms"
        )),
        (Some(_), None) => {
            Err(s3_error!(InvalidArgument, "The encryption method specified is not supported"))
        }
    }
}

fn metadata(input: PutObjectInput) -> S3Result<BTreeMap<String, String>> {
    let metadata: BTreeMap<_, _> = input.metadata.unwrap_or_default().into_iter().collect();
    let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_METADATA_BYTES {
        return Err(s3_error!(
            MetadataTooLarge,
            "Your metadata headers exceed the maximum allowed metadata size"
        ));
    }
    Ok(metadata)
}

fn kept(input: &PutObjectInput) -> Headers {
    // What the SDK wrapped the upload in is not part of the object ("aws-chunked").
    let encoding = input.content_encoding.as_deref().map(|encoding| {
        encoding
            .split(',')
            .map(str::trim)
            .filter(|it| *it != "aws-chunked")
            .collect::<Vec<_>>()
            .join(",")
    });
    Headers {
        content_type: input.content_type.clone(),
        cache_control: input.cache_control.clone(),
        content_disposition: input.content_disposition.clone(),
        content_encoding: encoding.filter(|encoding| !encoding.is_empty()),
        content_language: input.content_language.clone(),
    }
}

fn shown_condition(condition: &ETagCondition) -> String {
    condition.as_etag().map_or("*", ETag::value).to_owned()
}

fn deletion(object: ObjectIdentifier, deleted: Deleted) -> DeletedObject {
    let version = deleted.version.map(|id| id.as_str().to_owned());
    DeletedObject {
        key: Some(object.key),
        delete_marker: deleted.marker.then_some(true),
        delete_marker_version_id: version.filter(|_| deleted.marker),
        version_id: object.version_id,
    }
}

fn failure(object: ObjectIdentifier, error: &S3Error) -> s3s::dto::Error {
    s3s::dto::Error {
        code: Some(error.code().as_str().to_owned()),
        key: Some(object.key),
        message: error.message().map(str::to_owned),
        version_id: object.version_id,
    }
}
