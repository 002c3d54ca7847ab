//! ListObjectsV2, ListObjects and ListObjectVersions: the questions as they come over the wire, and
//! [`listing`](super::listing)'s pages as they go back.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CommonPrefix, DeleteMarkerEntry, ETag, EncodingType,
    ListObjectVersionsInput, ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput,
    ListObjectsV2Input, ListObjectsV2Output, Object as ObjectEntry, ObjectStorageClass,
    ObjectVersion, ObjectVersionStorageClass, Owner,
};
use s3s::{S3Result, s3_error};

use super::access::{Asked, on_bucket};
use super::buckets::canonical_id;
use super::listing::{self, After, Current, Question};
use crate::region::iam::Access;

/// However many are asked for, S3 returns no more than that.
const MAX_KEYS: i32 = 1000;

pub fn objects_v2(
    asked: &mut Asked<'_>,
    input: ListObjectsV2Input,
) -> S3Result<ListObjectsV2Output> {
    asked.bucket_of(&input.bucket, input.expected_bucket_owner.as_deref())?;
    let max = max_keys(input.max_keys)?;
    asked.require(list_access(
        "s3:ListBucket",
        &input.bucket,
        &input.prefix,
        &input.delimiter,
        input.max_keys,
    ))?;
    let after = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => from_token(token)?,
        (None, Some(key)) => After::Key(key.clone()),
        (None, None) => After::Nothing,
    };
    let owner = input.fetch_owner.unwrap_or(false).then(|| owner(asked));
    let question =
        Question { prefix: text(&input.prefix), delimiter: delimiter(&input.delimiter), max };
    let page = listing::objects(asked.store().bucket(&input.bucket)?, question, &after);
    let encode = Encoding::of(&input.encoding_type);
    let contents: Vec<_> = page.items.iter().map(|it| entry(it, encode, owner.clone())).collect();
    Ok(ListObjectsV2Output {
        key_count: Some((contents.len() + page.common_prefixes.len()) as i32),
        contents: Some(contents),
        common_prefixes: Some(common_prefixes(page.common_prefixes, encode)),
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.as_ref().map(to_token),
        prefix: Some(encode.apply(text(&input.prefix))),
        delimiter: input.delimiter.as_deref().map(|it| encode.apply(it)),
        start_after: input.start_after.as_deref().map(|it| encode.apply(it)),
        max_keys: Some(max as i32),
        name: Some(input.bucket),
        continuation_token: input.continuation_token,
        encoding_type: input.encoding_type,
        request_charged: None,
    })
}

pub fn objects(asked: &mut Asked<'_>, input: ListObjectsInput) -> S3Result<ListObjectsOutput> {
    asked.bucket_of(&input.bucket, input.expected_bucket_owner.as_deref())?;
    let max = max_keys(input.max_keys)?;
    asked.require(list_access(
        "s3:ListBucket",
        &input.bucket,
        &input.prefix,
        &input.delimiter,
        input.max_keys,
    ))?;
    let after = match (&input.marker, delimiter(&input.delimiter)) {
        (None, _) => After::Nothing,
        // The marker of a page that ended with a common prefix is that prefix.
        (Some(marker), Some(delimiter)) if marker.ends_with(delimiter) => {
            After::Prefix(marker.clone())
        }
        (Some(marker), _) => After::Key(marker.clone()),
    };
    let owner = owner(asked);
    let question =
        Question { prefix: text(&input.prefix), delimiter: delimiter(&input.delimiter), max };
    let page = listing::objects(asked.store().bucket(&input.bucket)?, question, &after);
    let encode = Encoding::of(&input.encoding_type);
    let next_marker = match page.next {
        // "This element is returned only if you have the delimiter request parameter specified."
        Some(After::Key(ref end) | After::Prefix(ref end)) if input.delimiter.is_some() => {
            Some(encode.apply(end))
        }
        _ => None,
    };
    Ok(ListObjectsOutput {
        contents: Some(
            page.items.iter().map(|it| entry(it, encode, Some(owner.clone()))).collect(),
        ),
        common_prefixes: Some(common_prefixes(page.common_prefixes, encode)),
        is_truncated: Some(page.next.is_some()),
        next_marker,
        prefix: Some(encode.apply(text(&input.prefix))),
        delimiter: input.delimiter.as_deref().map(|it| encode.apply(it)),
        marker: Some(encode.apply(text(&input.marker))),
        max_keys: Some(max as i32),
        name: Some(input.bucket),
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}

pub fn versions(
    asked: &mut Asked<'_>,
    input: ListObjectVersionsInput,
) -> S3Result<ListObjectVersionsOutput> {
    asked.bucket_of(&input.bucket, input.expected_bucket_owner.as_deref())?;
    let max = max_keys(input.max_keys)?;
    asked.require(list_access(
        "s3:ListBucketVersions",
        &input.bucket,
        &input.prefix,
        &input.delimiter,
        input.max_keys,
    ))?;
    let delimited = delimiter(&input.delimiter);
    let after =
        match (input.key_marker.as_deref().filter(|it| !it.is_empty()), &input.version_id_marker) {
            (Some(key), Some(id)) => After::Version(key.into(), id.clone()),
            (Some(key), None) if delimited.is_some_and(|delimiter| key.ends_with(delimiter)) => {
                After::Prefix(key.into())
            }
            (Some(key), None) => After::Key(key.into()),
            (None, None) => After::Nothing,
            (None, Some(_)) => {
                return Err(s3_error!(
                    InvalidArgument,
                    "A version-id marker cannot be specified without a key marker."
                ));
            }
        };
    let owner = owner(asked);
    let question = Question { prefix: text(&input.prefix), delimiter: delimited, max };
    let page = listing::versions(asked.store().bucket(&input.bucket)?, question, &after);
    let encode = Encoding::of(&input.encoding_type);
    let (mut versions, mut delete_markers) = (Vec::new(), Vec::new());
    for item in &page.items {
        let key = Some(encode.apply(item.key));
        let version_id = Some(item.version.id.as_str().to_owned());
        let last_modified = Some(item.version.last_modified.into());
        match item.version.object() {
            Some(object) => versions.push(ObjectVersion {
                key,
                version_id,
                last_modified,
                is_latest: Some(item.is_latest),
                e_tag: Some(ETag::Strong(object.etag.clone())),
                size: Some(object.bytes.len() as i64),
                storage_class: Some(ObjectVersionStorageClass::from_static(
                    ObjectVersionStorageClass::STANDARD,
                )),
                owner: Some(owner.clone()),
                checksum_algorithm: Some(vec![ChecksumAlgorithm::from_static(
                    object.checksum.algorithm.name(),
                )]),
                checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
                restore_status: None,
            }),
            None => delete_markers.push(DeleteMarkerEntry {
                key,
                version_id,
                last_modified,
                is_latest: Some(item.is_latest),
                owner: Some(owner.clone()),
            }),
        }
    }
    let (next_key_marker, next_version_id_marker) = match &page.next {
        Some(After::Version(key, id)) => (Some(encode.apply(key)), Some(id.clone())),
        Some(After::Key(key) | After::Prefix(key)) => (Some(encode.apply(key)), None),
        Some(After::Nothing) | None => (None, None),
    };
    Ok(ListObjectVersionsOutput {
        versions: Some(versions),
        delete_markers: Some(delete_markers),
        common_prefixes: Some(common_prefixes(page.common_prefixes, encode)),
        is_truncated: Some(page.next.is_some()),
        next_key_marker,
        next_version_id_marker,
        prefix: Some(encode.apply(text(&input.prefix))),
        delimiter: input.delimiter.as_deref().map(|it| encode.apply(it)),
        key_marker: Some(encode.apply(text(&input.key_marker))),
        version_id_marker: Some(text(&input.version_id_marker).to_owned()),
        max_keys: Some(max as i32),
        name: Some(input.bucket),
        encoding_type: input.encoding_type,
        request_charged: None,
    })
}

/// The condition keys that policies confine a listing by.
fn list_access(
    action: &str,
    bucket: &str,
    prefix: &Option<String>,
    delimiter: &Option<String>,
    max: Option<i32>,
) -> Access {
    let mut access = on_bucket(action, bucket);
    if let Some(prefix) = prefix {
        access = access.with("s3:prefix", prefix);
    }
    if let Some(delimiter) = delimiter {
        access = access.with("s3:delimiter", delimiter);
    }
    if let Some(max) = max {
        access = access.with("s3:max-keys", max.to_string());
    }
    access
}

fn max_keys(asked_for: Option<i32>) -> S3Result<usize> {
    match asked_for.unwrap_or(MAX_KEYS) {
        negative if negative < 0 => Err(s3_error!(
            InvalidArgument,
            "Argument maxKeys must be an integer between 0 and 2147483647"
        )),
        max => Ok(max.min(MAX_KEYS) as usize),
    }
}

fn entry(it: &Current<'_>, encode: Encoding, owner: Option<Owner>) -> ObjectEntry {
    ObjectEntry {
        key: Some(encode.apply(it.key)),
        last_modified: Some(it.version.last_modified.into()),
        e_tag: Some(ETag::Strong(it.object.etag.clone())),
        size: Some(it.object.bytes.len() as i64),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        checksum_algorithm: Some(vec![ChecksumAlgorithm::from_static(
            it.object.checksum.algorithm.name(),
        )]),
        checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        owner,
        restore_status: None,
    }
}

fn common_prefixes(prefixes: Vec<String>, encode: Encoding) -> Vec<CommonPrefix> {
    prefixes.iter().map(|prefix| CommonPrefix { prefix: Some(encode.apply(prefix)) }).collect()
}

fn owner(asked: &Asked<'_>) -> Owner {
    Owner { id: Some(canonical_id(&asked.state.settings.account)), display_name: None }
}

fn text(given: &Option<String>) -> &str {
    given.as_deref().unwrap_or_default()
}

fn delimiter(given: &Option<String>) -> Option<&str> {
    given.as_deref().filter(|delimiter| !delimiter.is_empty())
}

/// A continuation token is opaque to clients: here it is where the page before ended.
fn to_token(next: &After) -> String {
    URL_SAFE_NO_PAD.encode(match next {
        After::Prefix(prefix) => format!("p{prefix}"),
        After::Key(key) | After::Version(key, _) => format!("k{key}"),
        After::Nothing => String::new(),
    })
}

fn from_token(token: &str) -> S3Result<After> {
    let plain = URL_SAFE_NO_PAD.decode(token).ok().and_then(|plain| String::from_utf8(plain).ok());
    match plain.as_deref().and_then(|plain| plain.split_at_checked(1)) {
        Some(("p", prefix)) => Ok(After::Prefix(prefix.into())),
        Some(("k", key)) => Ok(After::Key(key.into())),
        _ => Err(s3_error!(InvalidArgument, "The continuation token provided is incorrect")),
    }
}

/// How keys are written in the answer: XML 1.0 cannot carry every character that a key may have, so
/// clients ask for `encoding-type=url`.
#[derive(Clone, Copy)]
enum Encoding {
    Plain,
    Url,
}

impl Encoding {
    fn of(asked_for: &Option<EncodingType>) -> Self {
        match asked_for.as_ref().map(EncodingType::as_str) {
            Some(EncodingType::URL) => Self::Url,
            _ => Self::Plain,
        }
    }

    fn apply(self, text: &str) -> String {
        let Self::Url = self else { return text.to_owned() };
        let mut encoded = String::with_capacity(text.len());
        for byte in text.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => {
                    encoded.push(byte.into())
                }
                b' ' => encoded.push('+'),
                _ => encoded.push_str(&format!("%{byte:02X}")),
            }
        }
        encoded
    }
}
