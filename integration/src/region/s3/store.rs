//! What S3 holds: buckets, and in each the history of every key.
//!
//! Plain data with the rules of versioning and nothing else: who may do a thing, over which wire and
//! under which precondition is decided before a change gets here. After "How S3 Versioning works"
//! and "Working with delete markers" in the Amazon S3 User Guide.

use std::collections::BTreeMap;

use bytes::Bytes;
use s3s::{S3Result, s3_error};
use time::OffsetDateTime;

use super::digest::{Checksum, md5_hex};
use super::kms::{self, Encryption};

const VERSION_ID_CHARS: usize = 32;

/// All buckets of the region, and the KMS keys that they may be encrypted with.
#[derive(Debug)]
pub struct Store {
    buckets: BTreeMap<String, Bucket>,
    /// Keys of AWS KMS that objects can be encrypted with.
    pub kms: kms::Keys,
    /// Of so many conditional writes that overlap another write of the same key, one is answered
    /// with 409 ConditionalRequestConflict; 0 for none.
    pub conflict_one_in: u32,
    rng: fastrand::Rng,
    writes: u64,
}

/// A bucket: its settings and the history of its keys.
#[derive(Debug)]
pub struct Bucket {
    pub created: OffsetDateTime,
    pub versioning: Versioning,
    /// None once deleted. A new bucket blocks all public access.
    pub public_access_block: Option<PublicAccessBlock>,
    pub encryption: Encryption,
    keys: BTreeMap<String, Vec<Version>>,
    last_writes: BTreeMap<String, u64>,
}

/// Unversioned buckets can become versioned, and never unversioned again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioning {
    Never,
    Enabled,
    Suspended,
}

/// The four switches of "Blocking public access to your Amazon S3 storage".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicAccessBlock {
    pub block_public_acls: bool,
    pub ignore_public_acls: bool,
    pub block_public_policy: bool,
    pub restrict_public_buckets: bool,
}

impl PublicAccessBlock {
    /// What every new bucket has since April 2023.
    pub const ALL: Self = Self {
        block_public_acls: true,
        ignore_public_acls: true,
        block_public_policy: true,
        restrict_public_buckets: true,
    };
}

/// One entry in a key's history.
#[derive(Debug, Clone)]
pub struct Version {
    pub id: VersionId,
    /// In whole seconds, as S3 keeps it.
    pub last_modified: OffsetDateTime,
    /// None for a delete marker.
    pub object: Option<Object>,
}

/// The ID of a version; `null` where the bucket was not versioned at the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionId(String);

impl VersionId {
    pub fn null() -> Self {
        Self("null".into())
    }

    /// An ID as a request gives it.
    ///
    /// Errors: `InvalidArgument` for what S3 never hands out.
    pub fn parse(id: &str) -> S3Result<Self> {
        if id == "null"
            || (id.len() == VERSION_ID_CHARS && id.chars().all(|c| c.is_ascii_alphanumeric()))
        {
            return Ok(Self(id.into()));
        }
        Err(s3_error!(InvalidArgument, "Invalid version id specified"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_null(&self) -> bool {
        self.0 == "null"
    }
}

/// The bytes of one version and what was said about them when they were put.
#[derive(Debug, Clone)]
pub struct Object {
    pub bytes: Bytes,
    /// Without quotes. The MD5 of the bytes, or opaque where KMS encrypts them.
    pub etag: String,
    pub checksum: Checksum,
    pub encryption: Encryption,
    pub headers: Headers,
    /// `x-amz-meta-*`, without that prefix.
    pub metadata: BTreeMap<String, String>,
}

/// Headers that S3 keeps with an object and returns as they were.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
}

/// What a delete did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// The version that was removed, or the delete marker that was made; none in a bucket that never was versioned.
    pub version: Option<VersionId>,
    /// Whether that version is a delete marker.
    pub marker: bool,
}

// === impl Store ===

impl Store {
    /// An empty store whose version IDs and opaque ETags follow from the seed.
    pub fn new(seed: u64) -> Self {
        Self {
            buckets: BTreeMap::new(),
            kms: kms::Keys::default(),
            conflict_one_in: 3,
            rng: fastrand::Rng::with_seed(seed ^ 0x5333),
            writes: 0,
        }
    }

    /// Makes the bucket with the settings that AWS gives a new one, or returns the one that is there.
    pub fn create_bucket(&mut self, name: &str, now: OffsetDateTime) -> &mut Bucket {
        self.buckets.entry(name.into()).or_insert_with(|| Bucket::new(now))
    }

    /// Errors: `NoSuchBucket`.
    pub fn bucket(&self, name: &str) -> S3Result<&Bucket> {
        self.buckets.get(name).ok_or_else(no_such_bucket)
    }

    /// Errors: `NoSuchBucket`.
    pub fn bucket_mut(&mut self, name: &str) -> S3Result<&mut Bucket> {
        self.buckets.get_mut(name).ok_or_else(no_such_bucket)
    }

    pub fn buckets(&self) -> impl Iterator<Item = (&str, &Bucket)> {
        self.buckets.iter().map(|(name, bucket)| (name.as_str(), bucket))
    }

    /// Errors: `NoSuchBucket`; `BucketNotEmpty` while any version or delete marker is left.
    pub fn delete_bucket(&mut self, name: &str) -> S3Result<()> {
        if !self.bucket(name)?.keys.is_empty() {
            return Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty"));
        }
        self.buckets.remove(name);
        Ok(())
    }

    /// The current object of the key; none where there is none or it is deleted. For tests and the lab.
    pub fn object(&self, bucket: &str, key: &str) -> Option<&Object> {
        self.buckets.get(bucket)?.current(key)?.object()
    }

    /// Puts an object as its owner would, without asking anybody. For tests and the lab.
    pub fn put(
        &mut self,
        bucket: &str,
        key: &str,
        bytes: impl Into<Bytes>,
        now: OffsetDateTime,
    ) -> S3Result<VersionId> {
        let bytes = bytes.into();
        let encryption = self.bucket(bucket)?.encryption.clone();
        let object = Object {
            etag: self.etag(&bytes, &encryption),
            checksum: Checksum::of_default(&bytes),
            encryption,
            headers: Headers::default(),
            metadata: BTreeMap::new(),
            bytes,
        };
        self.put_object(bucket, key, object, now)
    }

    /// Adds the object to the key's history as its current version.
    pub fn put_object(
        &mut self,
        bucket: &str,
        key: &str,
        object: Object,
        now: OffsetDateTime,
    ) -> S3Result<VersionId> {
        self.add(bucket, key, Some(object), now)
    }

    /// Deletes the key without a version: a delete marker where there is versioning, else for good.
    pub fn delete_current(
        &mut self,
        bucket: &str,
        key: &str,
        now: OffsetDateTime,
    ) -> S3Result<Deleted> {
        if self.bucket(bucket)?.versioning != Versioning::Never {
            let version = self.add(bucket, key, None, now)?;
            return Ok(Deleted { version: Some(version), marker: true });
        }
        self.delete_version(bucket, key, &VersionId::null())?;
        Ok(Deleted { version: None, marker: false })
    }

    /// Deletes one version for good. A version that does not exist is deleted already.
    pub fn delete_version(&mut self, bucket: &str, key: &str, id: &VersionId) -> S3Result<Deleted> {
        let sequence = self.next_write();
        let bucket = self.bucket_mut(bucket)?;
        let mut marker = false;
        if let Some(versions) = bucket.keys.get_mut(key) {
            marker = versions.iter().any(|version| &version.id == id && version.object().is_none());
            versions.retain(|version| &version.id != id);
            if versions.is_empty() {
                bucket.keys.remove(key);
            }
            bucket.last_writes.insert(key.into(), sequence);
        }
        Ok(Deleted { version: Some(id.clone()), marker })
    }

    /// How many writes there have been: what an arriving request remembers to tell later whether
    /// another write overlapped it.
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// Whether this conditional write is the one that S3 answers with 409 because another write of
    /// the key finished while it was under way ("Conditional write behavior").
    pub fn conflicts(&mut self, bucket: &str, key: &str, arrived: u64) -> bool {
        let overlapped = self
            .buckets
            .get(bucket)
            .and_then(|bucket| bucket.last_writes.get(key))
            .is_some_and(|&written| written > arrived);
        overlapped && self.conflict_one_in > 0 && self.rng.u32(0..self.conflict_one_in) == 0
    }

    /// The ETag that S3 would give: see "Object" in the API reference on which are MD5 digests.
    pub fn etag(&mut self, bytes: &[u8], encryption: &Encryption) -> String {
        match encryption {
            Encryption::S3 => md5_hex(bytes),
            Encryption::Kms { .. } => format!("{:016x}{:016x}", self.rng.u64(..), self.rng.u64(..)),
        }
    }

    fn add(
        &mut self,
        bucket: &str,
        key: &str,
        object: Option<Object>,
        now: OffsetDateTime,
    ) -> S3Result<VersionId> {
        let versioned = self.bucket(bucket)?.versioning == Versioning::Enabled;
        let id = if versioned { self.new_version_id() } else { VersionId::null() };
        let sequence = self.next_write();
        let bucket = self.bucket_mut(bucket)?;
        let versions = bucket.keys.entry(key.into()).or_default();
        // There is one `null` version at most: writing another replaces it.
        if id.is_null() {
            versions.retain(|version| !version.id.is_null());
        }
        let last_modified = now.replace_nanosecond(0).expect("zero is a nanosecond");
        versions.push(Version { id: id.clone(), last_modified, object });
        bucket.last_writes.insert(key.into(), sequence);
        Ok(id)
    }

    fn new_version_id(&mut self) -> VersionId {
        VersionId(
            std::iter::repeat_with(|| self.rng.alphanumeric()).take(VERSION_ID_CHARS).collect(),
        )
    }

    fn next_write(&mut self) -> u64 {
        self.writes += 1;
        self.writes
    }
}

fn no_such_bucket() -> s3s::S3Error {
    s3_error!(NoSuchBucket, "The specified bucket does not exist")
}

// === impl Bucket ===

impl Bucket {
    fn new(now: OffsetDateTime) -> Self {
        Self {
            created: now.replace_nanosecond(0).expect("zero is a nanosecond"),
            versioning: Versioning::Never,
            public_access_block: Some(PublicAccessBlock::ALL),
            encryption: Encryption::S3,
            keys: BTreeMap::new(),
            last_writes: BTreeMap::new(),
        }
    }

    /// The newest entry of the key, which may be a delete marker.
    pub fn current(&self, key: &str) -> Option<&Version> {
        self.keys.get(key)?.last()
    }

    /// The version with that ID.
    pub fn version(&self, key: &str, id: &str) -> Option<&Version> {
        self.keys.get(key)?.iter().find(|version| version.id.as_str() == id)
    }

    /// A version ID as answers carry it: not at all in a bucket that never was versioned.
    pub fn shown(&self, id: &VersionId) -> Option<String> {
        (self.versioning != Versioning::Never).then(|| id.as_str().to_owned())
    }

    /// Every key's history, oldest version first, in the order of the keys' UTF-8 bytes.
    pub fn history(&self) -> &BTreeMap<String, Vec<Version>> {
        &self.keys
    }
}

impl Version {
    /// The object, unless this is a delete marker.
    pub fn object(&self) -> Option<&Object> {
        self.object.as_ref()
    }
}
