//! The cluster's state in S3: a handful of small objects, each read whole, each write that could
//! race made conditional.
//!
//! Source: "Preventing object overwrites with conditional writes" (Amazon S3 User Guide).

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use time::OffsetDateTime;

use super::Chain;

/// More than any object of a cluster has: leases of five thousand nodes are under 1 MiB.
const LARGE_BYTES: u64 = 16 << 20;

/// One bucket, through one caller's credentials.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    bucket: String,
}

/// An object as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub bytes: Vec<u8>,
    pub etag: String,
    /// When it was written, to the second, by S3's clock.
    pub modified: Option<OffsetDateTime>,
    /// What the writer noted beside it (user-defined metadata).
    pub notes: BTreeMap<String, String>,
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    /// When it was written last; whole seconds.
    pub modified: OffsetDateTime,
}

/// When a write may take effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    Always,
    /// Only if there is no such object (`If-None-Match: *`).
    Absent,
    /// Only if the object is still this version (`If-Match`).
    Unchanged {
        etag: String,
    },
}

/// How a conditional write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It took effect; the new object's ETag.
    Now { etag: String },
    /// Somebody else was first: the condition did not hold.
    Lost,
}

/// What S3 did not do, and for which key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller's policy does not allow it, or (without `s3:ListBucket`) a GET met no object.
    #[error("S3 denied {action} on `s3://{bucket}/{key}`: {message}")]
    Denied { action: &'static str, bucket: String, key: String, message: String },
    #[error("there is no bucket `{bucket}`")]
    NoBucket { bucket: String },
    #[error("`{key}` is {found} bytes, wanted at most {limit}")]
    TooLarge { key: String, found: u64, limit: u64 },
    #[error("this machine's clock is wrong by S3's measure: {message}")]
    Clock { message: String },
    #[error("S3 failed {action} on `s3://{bucket}/{key}`: {message}")]
    Failed { action: &'static str, bucket: String, key: String, message: String },
}

impl Store {
    /// A client for `bucket`. An endpoint override in `config` (tests, the AWS CLI's variables)
    /// gets path-style addresses, AWS itself virtual-host ones.
    pub fn new(config: &SdkConfig, bucket: &str) -> Self {
        let path_style = config.endpoint_url().is_some();
        let config = aws_sdk_s3::config::Builder::from(config).force_path_style(path_style).build();
        Self { client: Client::from_conf(config), bucket: bucket.to_owned() }
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The SDK's client, for what only an operator does (bucket checks).
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The object, or `None` where S3 says that there is none. A caller who may not list gets
    /// [`Error::Denied`] for an absent object as for a forbidden one: S3 does not tell them apart.
    pub async fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        self.get_at_most(key, LARGE_BYTES).await
    }

    /// As [`Store::get`], for a caller who may get the object but not list where it would be: to him
    /// a forbidden object is one that is not there.
    pub async fn find(&self, key: &str) -> Result<Option<Object>, Error> {
        match self.get(key).await {
            Err(Error::Denied { .. }) => Ok(None),
            other => other,
        }
    }

    /// As [`Store::get`], for an object that somebody else wrote who is not to be trusted with this
    /// program's memory.
    pub async fn get_at_most(&self, key: &str, bytes: u64) -> Result<Option<Object>, Error> {
        let reply = self.client.get_object().bucket(&self.bucket).key(key).send().await;
        let object = match reply {
            Ok(object) => object,
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
            Err(error) => return Err(self.error("s3:GetObject", key, error)),
        };
        let found = object.content_length().and_then(|length| length.try_into().ok()).unwrap_or(0);
        if found > bytes {
            return Err(Error::TooLarge { key: key.to_owned(), found, limit: bytes });
        }
        let etag = object.e_tag().unwrap_or_default().to_owned();
        let modified = object.last_modified().map(|at| at.secs());
        let modified = modified.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
        let notes = object.metadata().into_iter().flatten();
        let notes = notes.map(|(name, value)| (name.clone(), value.clone())).collect();
        let body = object.body.collect().await.map_err(|error| Error::Failed {
            action: "s3:GetObject",
            bucket: self.bucket.clone(),
            key: key.to_owned(),
            message: format!("the body broke off: {}", Chain(error)),
        })?;
        Ok(Some(Object { bytes: body.to_vec(), etag, modified, notes }))
    }

    /// Writes the object if the condition holds.
    pub async fn put(&self, key: &str, bytes: Vec<u8>, when: Condition) -> Result<Written, Error> {
        self.write(self.client.put_object(), key, bytes, when).await
    }

    /// As [`Store::put`], encrypted by a KMS key (SSE-KMS).
    ///
    /// No bucket key, whatever the bucket's default: with one the encryption context is the
    /// bucket's ARN, and a policy could not tell this object from any other.
    /// Source: "Using server-side encryption with AWS KMS keys", encryption context.
    pub async fn put_encrypted(
        &self,
        key: &str,
        bytes: Vec<u8>,
        when: Condition,
        kms_key: &str,
    ) -> Result<Written, Error> {
        let put = self.client.put_object().server_side_encryption(ServerSideEncryption::AwsKms);
        let put = put.ssekms_key_id(kms_key).bucket_key_enabled(false);
        self.write(put, key, bytes, when).await
    }

    /// As [`Store::put`], with notes beside the object.
    pub async fn put_noted(
        &self,
        key: &str,
        bytes: Vec<u8>,
        when: Condition,
        notes: BTreeMap<String, String>,
    ) -> Result<Written, Error> {
        let put = self.client.put_object().set_metadata(Some(notes.into_iter().collect()));
        self.write(put, key, bytes, when).await
    }

    async fn write(
        &self,
        put: PutObjectFluentBuilder,
        key: &str,
        bytes: Vec<u8>,
        when: Condition,
    ) -> Result<Written, Error> {
        let put = match when {
            Condition::Always => put,
            Condition::Absent => put.if_none_match("*"),
            Condition::Unchanged { etag } => put.if_match(etag),
        };
        let body = ByteStream::from(bytes);
        match put.bucket(&self.bucket).key(key).body(body).send().await {
            Ok(reply) => Ok(Written::Now { etag: reply.e_tag().unwrap_or_default().to_owned() }),
            Err(error) if lost(&error) => Ok(Written::Lost),
            Err(error) => Err(self.error("s3:PutObject", key, error)),
        }
    }

    /// Deletes the object; that it is gone already is no error.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        let reply = self.client.delete_object().bucket(&self.bucket).key(key).send().await;
        reply.map(drop).map_err(|error| self.error("s3:DeleteObject", key, error))
    }

    /// Deletes the object if it is still the version `etag`, so that a newer one stays. Says
    /// whether it is gone by this.
    pub async fn delete_unchanged(&self, key: &str, etag: &str) -> Result<bool, Error> {
        let delete = self.client.delete_object().bucket(&self.bucket).key(key).if_match(etag);
        match delete.send().await {
            Ok(_) => Ok(true),
            Err(error) if lost(&error) => Ok(false),
            Err(error) => Err(self.error("s3:DeleteObject", key, error)),
        }
    }

    /// All keys under `prefix`, in S3's order.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        Ok(self.list_dated(prefix).await?.into_iter().map(|listed| listed.key).collect())
    }

    /// As [`Store::list`], with the time of each object's latest write.
    pub async fn list_dated(&self, prefix: &str) -> Result<Vec<Listed>, Error> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let mut pages = request.into_paginator().send();
        let mut listed = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.error("s3:ListBucket", prefix, error))?;
            listed.extend(page.contents().iter().filter_map(|object| {
                let modified = object.last_modified().map(|at| at.as_nanos());
                let modified = OffsetDateTime::from_unix_timestamp_nanos(modified?).ok()?;
                Some(Listed { key: object.key.clone()?, modified })
            }));
        }
        Ok(listed)
    }

    fn error<E>(&self, action: &'static str, key: &str, error: SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let (bucket, key) = (self.bucket.clone(), key.to_owned());
        let code = error.code().map(str::to_owned);
        let said = error.message().map(str::to_owned);
        let message = match (&code, said) {
            (Some(code), Some(said)) => format!("{code}: {said}"),
            _ => Chain(error).to_string(),
        };
        match code.as_deref() {
            Some("AccessDenied") => Error::Denied { action, bucket, key, message },
            Some("NoSuchBucket") => Error::NoBucket { bucket },
            Some("RequestTimeTooSkewed") => Error::Clock { message },
            _ => Error::Failed { action, bucket, key, message },
        }
    }
}

/// 412 says that the condition did not hold, 409 that another conditional write was under way, 404
/// that there is no object for an `If-Match`:
/// either way the caller looks again.
fn lost<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let code = error.code();
    matches!(code, Some("PreconditionFailed" | "ConditionalRequestConflict" | "NoSuchKey"))
}
