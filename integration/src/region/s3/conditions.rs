//! Preconditions of reads, writes and deletes: `If-Match`, `If-None-Match` and their dates.
//!
//! After "How to prevent object overwrites with conditional writes", "How to perform conditional
//! deletes" and, for reads, the table of RFC 9110 section 13.2.2 as the API reference of GetObject
//! restates it.

use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Error, S3Result, s3_error};
use time::OffsetDateTime;

use super::store::{Object, Version};

/// The preconditions of a write or a delete.
#[derive(Debug, Clone, Default)]
pub struct WriteConditions {
    pub if_match: Option<ETagCondition>,
    pub if_none_match: Option<ETagCondition>,
}

/// The preconditions of a read.
#[derive(Debug, Clone, Default)]
pub struct ReadConditions {
    pub if_match: Option<ETagCondition>,
    pub if_none_match: Option<ETagCondition>,
    pub if_modified_since: Option<Timestamp>,
    pub if_unmodified_since: Option<Timestamp>,
}

impl WriteConditions {
    /// Whether another write at the same time may answer this one with a conflict.
    pub fn any(&self) -> bool {
        self.if_match.is_some() || self.if_none_match.is_some()
    }

    /// Whether the caller learns something of the object's content, for which `s3:GetObject` is needed.
    pub fn compares_etag(&self) -> bool {
        self.if_match.as_ref().is_some_and(|condition| !condition.is_any())
    }

    /// Holds the conditions against the current version of the key. A delete marker is no object.
    ///
    /// Errors: `PreconditionFailed`; `NoSuchKey` where an ETag was to match and there is no object;
    /// `NotImplemented` for `If-None-Match` with anything but `*`.
    pub fn hold_against(&self, current: Option<&Version>) -> S3Result<()> {
        let object = current.and_then(Version::object);
        if let Some(condition) = &self.if_none_match {
            if !condition.is_any() {
                return Err(s3_error!(
                    NotImplemented,
                    "A header you provided implies functionality that is not implemented"
                ));
            }
            if object.is_some() {
                return Err(failed());
            }
        }
        match (&self.if_match, object) {
            (Some(_), None) => Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
            (Some(condition), Some(object)) if !matches(condition, object) => Err(failed()),
            _ => Ok(()),
        }
    }
}

impl ReadConditions {
    /// Errors: `PreconditionFailed` (412) and `NotModified` (304).
    pub fn hold_against(&self, version: &Version, object: &Object) -> S3Result<()> {
        let modified_after =
            |since: &Timestamp| version.last_modified > OffsetDateTime::from(since.clone());
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) if !matches(condition, object) => return Err(failed()),
            (None, Some(since)) if modified_after(since) => return Err(failed()),
            _ => {}
        }
        match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) if matches(condition, object) => Err(not_modified(object)),
            (None, Some(since)) if !modified_after(since) => Err(not_modified(object)),
            _ => Ok(()),
        }
    }
}

fn matches(condition: &ETagCondition, object: &Object) -> bool {
    condition.as_etag().is_none_or(|etag| etag.value() == object.etag)
}

fn failed() -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

/// 304 says which ETag the caller has (RFC 9110 section 15.4.5).
fn not_modified(object: &Object) -> S3Error {
    let mut error = s3_error!(NotModified, "Not Modified");
    let etag =
        ETag::Strong(object.etag.clone()).to_http_header().expect("an ETag of hexadecimal digits");
    error.set_headers([(http::header::ETAG, etag)].into_iter().collect());
    error
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::super::store::Store;
    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-23 06:00 UTC);

    fn etag(value: &str) -> Option<ETagCondition> {
        Some(value.parse().unwrap())
    }

    fn code(result: S3Result<()>) -> String {
        result.map_or_else(|error| error.code().as_str().to_owned(), |()| "ok".into())
    }

    #[test]
    fn a_write_is_held_against_the_current_object() {
        let mut store = Store::new(1);
        store.create_bucket("b", NOW);
        store.put("b", "k", "hello", NOW).unwrap();
        let bucket = store.bucket("b").unwrap();
        let same = etag("\"5d41402abc4b2a76b9719d911017c592\"");
        let write =
            |if_match: &Option<ETagCondition>, if_none_match: &Option<ETagCondition>, key| {
                let conditions = WriteConditions {
                    if_match: if_match.clone(),
                    if_none_match: if_none_match.clone(),
                };
                code(conditions.hold_against(bucket.current(key)))
            };
        assert_eq!(write(&None, &etag("*"), "k"), "PreconditionFailed");
        assert_eq!(write(&None, &etag("*"), "new"), "ok");
        assert_eq!(write(&same, &None, "k"), "ok");
        assert_eq!(write(&etag("\"other\""), &None, "k"), "PreconditionFailed");
        assert_eq!(write(&same, &None, "new"), "NoSuchKey");
        assert_eq!(write(&etag("*"), &None, "k"), "ok");
        assert_eq!(write(&None, &same, "k"), "NotImplemented");
    }

    #[test]
    fn an_etag_of_a_read_outranks_the_date_beside_it() {
        let mut store = Store::new(1);
        store.create_bucket("b", NOW);
        store.put("b", "k", "hello", NOW).unwrap();
        let version = store.bucket("b").unwrap().current("k").unwrap();
        let object = version.object().unwrap();
        let same = etag("\"5d41402abc4b2a76b9719d911017c592\"");
        let before = Some(Timestamp::from(NOW - time::Duration::HOUR));
        let read = |conditions: ReadConditions| code(conditions.hold_against(version, object));

        assert_eq!(
            read(ReadConditions { if_none_match: same.clone(), ..Default::default() }),
            "NotModified"
        );
        assert_eq!(
            read(ReadConditions { if_match: etag("\"x\""), ..Default::default() }),
            "PreconditionFailed"
        );
        assert_eq!(
            read(ReadConditions { if_unmodified_since: before.clone(), ..Default::default() }),
            "PreconditionFailed"
        );
        let both = ReadConditions {
            if_match: same.clone(),
            if_unmodified_since: before.clone(),
            ..Default::default()
        };
        assert_eq!(read(both), "ok");
        let both =
            ReadConditions { if_none_match: same, if_modified_since: before, ..Default::default() };
        assert_eq!(read(both), "NotModified");
    }
}
