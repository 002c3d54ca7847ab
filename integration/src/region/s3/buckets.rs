//! Buckets and their settings: location, versioning, default encryption, public access block.

use s3s::dto::{
    Bucket as BucketEntry, BucketLocationConstraint, BucketVersioningStatus, CreateBucketInput,
    CreateBucketOutput, DeleteBucketInput, GetBucketEncryptionInput, GetBucketEncryptionOutput,
    GetBucketLocationInput, GetBucketLocationOutput, GetBucketVersioningInput,
    GetBucketVersioningOutput, GetPublicAccessBlockInput, GetPublicAccessBlockOutput,
    HeadBucketInput, HeadBucketOutput, ListBucketsInput, ListBucketsOutput, Owner,
    PublicAccessBlockConfiguration, PutBucketEncryptionInput, PutBucketVersioningInput,
    PutPublicAccessBlockInput, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use super::access::{Asked, on_bucket};
use super::kms::Encryption;
use super::store::{PublicAccessBlock, Versioning};
use crate::region::iam::Access;

/// The region whose buckets have no location constraint, for it was the first.
const FIRST_REGION: &str = "us-east-1";

pub fn create(asked: &mut Asked<'_>, input: CreateBucketInput) -> S3Result<CreateBucketOutput> {
    let constraint = input.create_bucket_configuration.and_then(|it| it.location_constraint);
    let constraint = constraint.as_ref().map(|it| it.as_str());
    let mut access = on_bucket("s3:CreateBucket", &input.bucket);
    if let Some(constraint) = constraint {
        access = access.with("s3:locationconstraint", constraint);
    }
    asked.require(access)?;
    match (constraint, asked.state.settings.name.as_str()) {
        (None, FIRST_REGION) => {}
        (Some(constraint), region) if constraint == region && region != FIRST_REGION => {}
        (constraint, _) => {
            let constraint = constraint.unwrap_or("unspecified");
            return Err(s3_error!(
                IllegalLocationConstraintException,
                "The {constraint} location constraint is incompatible for the region specific endpoint this request was sent to."
            ));
        }
    }
    if asked.store().bucket(&input.bucket).is_ok() {
        return Err(s3_error!(
            BucketAlreadyOwnedByYou,
            "Your previous request to create the named bucket succeeded and you already own it."
        ));
    }
    let now = asked.now;
    asked.store().create_bucket(&input.bucket, now);
    let location = match constraint {
        None => format!("/{}", input.bucket),
        Some(_) => format!("http://{}.s3.amazonaws.com/", input.bucket),
    };
    Ok(CreateBucketOutput { location: Some(location) })
}

pub fn head(asked: &mut Asked<'_>, input: HeadBucketInput) -> S3Result<HeadBucketOutput> {
    asked.bucket_of(&input.bucket, input.expected_bucket_owner.as_deref())?;
    asked.require(on_bucket("s3:ListBucket", &input.bucket))?;
    Ok(HeadBucketOutput {
        bucket_region: Some(asked.state.settings.name.clone()),
        ..Default::default()
    })
}

pub fn delete(asked: &mut Asked<'_>, input: DeleteBucketInput) -> S3Result<()> {
    asked.bucket_of(&input.bucket, input.expected_bucket_owner.as_deref())?;
    asked.require(on_bucket("s3:DeleteBucket", &input.bucket))?;
    asked.store().delete_bucket(&input.bucket)
}

pub fn list(asked: &mut Asked<'_>, input: ListBucketsInput) -> S3Result<ListBucketsOutput> {
    asked.require(Access::new("s3:ListAllMyBuckets", "*"))?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let owner = Owner { id: Some(canonical_id(&asked.state.settings.account)), display_name: None };
    let buckets = asked.store().buckets().filter(|(name, _)| name.starts_with(&prefix));
    let buckets = buckets.map(|(name, bucket)| BucketEntry {
        name: Some(name.to_owned()),
        creation_date: Some(bucket.created.into()),
        bucket_region: None,
    });
    Ok(ListBucketsOutput {
        buckets: Some(buckets.collect()),
        owner: Some(owner),
        prefix: input.prefix,
        continuation_token: None,
    })
}

pub fn location(
    asked: &mut Asked<'_>,
    input: GetBucketLocationInput,
) -> S3Result<GetBucketLocationOutput> {
    asked.bucket_of(&input.bucket, input.expected_bucket_owner.as_deref())?;
    asked.require(on_bucket("s3:GetBucketLocation", &input.bucket))?;
    let region = Some(asked.state.settings.name.clone()).filter(|region| region != FIRST_REGION);
    Ok(GetBucketLocationOutput { location_constraint: region.map(BucketLocationConstraint::from) })
}

pub fn versioning(
    asked: &mut Asked<'_>,
    input: GetBucketVersioningInput,
) -> S3Result<GetBucketVersioningOutput> {
    asked.bucket_of(&input.bucket, input.expected_bucket_owner.as_deref())?;
    asked.require(on_bucket("s3:GetBucketVersioning", &input.bucket))?;
    let status = match asked.store().bucket(&input.bucket)?.versioning {
        Versioning::Never => None,
        Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
        Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
    };
    Ok(GetBucketVersioningOutput {
        status: status.map(BucketVersioningStatus::from_static),
        mfa_delete: None,
    })
}

pub fn set_versioning(asked: &mut Asked<'_>, input: PutBucketVersioningInput) -> S3Result<()> {
    asked.bucket_of(&input.bucket, input.expected_bucket_owner.as_deref())?;
    asked.require(on_bucket("s3:PutBucketVersioning", &input.bucket))?;
    let status = input.versioning_configuration.status;
    let versioning = match status.as_ref().map(BucketVersioningStatus::as_str) {
        Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
        Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
        Some(_) => return Err(malformed()),
        None => {
            return Err(s3_error!(
                IllegalVersioningConfigurationException,
                "The Versioning element must be specified"
            ));
        }
    };
    asked.store().bucket_mut(&input.bucket)?.versioning = versioning;
    Ok(())
}

pub fn public_access_block(
    asked: &mut Asked<'_>,
    input: GetPublicAccessBlockInput,
) -> S3Result<GetPublicAccessBlockOutput> {
    asked.bucket_of(&input.bucket, input.expected_bucket_owner.as_deref())?;
    asked.require(on_bucket("s3:GetBucketPublicAccessBlock", &input.bucket))?;
    let Some(block) = asked.store().bucket(&input.bucket)?.public_access_block else {
        let code = S3ErrorCode::Custom("NoSuchPublicAccessBlockConfiguration".into());
        let mut error =
            S3Error::with_message(code, "The public access block configuration was not found");
        error.set_status_code(http::StatusCode::NOT_FOUND);
        return Err(error);
    };
    let configuration = PublicAccessBlockConfiguration {
        block_public_acls: Some(block.block_public_acls),
        ignore_public_acls: Some(block.ignore_public_acls),
        block_public_policy: Some(block.block_public_policy),
        restrict_public_buckets: Some(block.restrict_public_buckets),
    };
    Ok(GetPublicAccessBlockOutput { public_access_block_configuration: Some(configuration) })
}

pub fn set_public_access_block(
    asked: &mut Asked<'_>,
    input: PutPublicAccessBlockInput,
) -> S3Result<()> {
    asked.bucket_of(&input.bucket, input.expected_bucket_owner.as_deref())?;
    asked.require(on_bucket("s3:PutBucketPublicAccessBlock", &input.bucket))?;
    let configuration = input.public_access_block_configuration;
    let block = PublicAccessBlock {
        block_public_acls: configuration.block_public_acls.unwrap_or(false),
        ignore_public_acls: configuration.ignore_public_acls.unwrap_or(false),
        block_public_policy: configuration.block_public_policy.unwrap_or(false),
        restrict_public_buckets: configuration.restrict_public_buckets.unwrap_or(false),
    };
    asked.store().bucket_mut(&input.bucket)?.public_access_block = Some(block);
    Ok(())
}

pub fn delete_public_access_block(
    asked: &mut Asked<'_>,
    bucket: &str,
    expected_owner: Option<&str>,
) -> S3Result<()> {
    asked.bucket_of(bucket, expected_owner)?;
    asked.require(on_bucket("s3:PutBucketPublicAccessBlock", bucket))?;
    asked.store().bucket_mut(bucket)?.public_access_block = None;
    Ok(())
}

pub fn encryption(
    asked: &mut Asked<'_>,
    input: GetBucketEncryptionInput,
) -> S3Result<GetBucketEncryptionOutput> {
    asked.bucket_of(&input.bucket, input.expected_bucket_owner.as_deref())?;
    asked.require(on_bucket("s3:GetEncryptionConfiguration", &input.bucket))?;
    let default = &asked.store().bucket(&input.bucket)?.encryption;
    let rule = ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
            sse_algorithm: default.algorithm(),
            kms_master_key_id: default.key_id(),
        }),
        bucket_key_enabled: Some(default.bucket_key().unwrap_or(false)),
    };
    let configuration = ServerSideEncryptionConfiguration { rules: vec![rule] };
    Ok(GetBucketEncryptionOutput { server_side_encryption_configuration: Some(configuration) })
}

pub fn set_encryption(asked: &mut Asked<'_>, input: PutBucketEncryptionInput) -> S3Result<()> {
    asked.bucket_of(&input.bucket, input.expected_bucket_owner.as_deref())?;
    asked.require(on_bucket("s3:PutEncryptionConfiguration", &input.bucket))?;
    let [rule] = input.server_side_encryption_configuration.rules.as_slice() else {
        return Err(malformed());
    };
    let default = rule.apply_server_side_encryption_by_default.as_ref().ok_or_else(malformed)?;
    let bucket_key = rule.bucket_key_enabled.unwrap_or(false);
    let encryption = match default.sse_algorithm.as_str() {
        ServerSideEncryption::AES256 => Encryption::S3,
        ServerSideEncryption::AWS_KMS => Encryption::Kms {
            key: asked.kms_key(default.kms_master_key_id.as_deref())?,
            bucket_key,
        },
        _ => return Err(malformed()),
    };
    asked.store().bucket_mut(&input.bucket)?.encryption = encryption;
    Ok(())
}

/// The account's canonical user ID: 64 hexadecimal digits that say nothing.
pub fn canonical_id(account: &str) -> String {
    format!(
        "{}{}",
        super::digest::md5_hex(account.as_bytes()),
        super::digest::md5_hex(b"canonical")
    )
}

fn malformed() -> S3Error {
    s3_error!(
        MalformedXML,
        "The XML you provided was not well-formed or did not validate against our published schema"
    )
}
