//! Listing a bucket page by page: by key, or by every version of every key.
//!
//! Pure: a bucket and a question in, one page out. After "ListObjectsV2", "ListObjectVersions" and
//! "Organizing objects using prefixes" in the Amazon S3 documentation.

use std::ops::Bound;

use super::store::{Bucket, Object, Version};

/// What is asked of a bucket.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub prefix: &'a str,
    /// Keys that share what comes before it are rolled up into one common prefix.
    pub delimiter: Option<&'a str>,
    /// At most so many keys, versions and common prefixes together.
    pub max: usize,
}

/// Where a page begins: after what an earlier one ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    Nothing,
    /// A key with all its versions.
    Key(String),
    /// One version of a key.
    Version(String, String),
    /// A common prefix, with every key that begins with it.
    Prefix(String),
}

/// One page.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub common_prefixes: Vec<String>,
    /// Where the next page begins; none after the last.
    pub next: Option<After>,
}

/// A key whose current version is an object.
#[derive(Debug)]
pub struct Current<'a> {
    pub key: &'a str,
    pub version: &'a Version,
    pub object: &'a Object,
}

/// A version of a key, newest first.
#[derive(Debug)]
pub struct Dated<'a> {
    pub key: &'a str,
    pub version: &'a Version,
    pub is_latest: bool,
}

/// The current objects.
pub fn objects<'a>(bucket: &'a Bucket, question: Question<'_>, after: &After) -> Page<Current<'a>> {
    let currents = keys(bucket, question, after).filter_map(|(key, versions)| {
        let version = versions.last()?;
        Some(Current { key, version, object: version.object()? })
    });
    page(currents, question, after, |it| it.key, |it| After::Key(it.key.to_owned()))
}

/// Every version and delete marker.
pub fn versions<'a>(bucket: &'a Bucket, question: Question<'_>, after: &After) -> Page<Dated<'a>> {
    let all = keys(bucket, question, after).flat_map(|(key, versions)| {
        let newest_first = versions.iter().rev().enumerate();
        let dated: Vec<_> = newest_first
            .map(|(age, version)| Dated { key, version, is_latest: age == 0 })
            .collect();
        let skip = match after {
            After::Version(of, id) if of == key => dated
                .iter()
                .position(|it| it.version.id.as_str() == id)
                .map_or(dated.len(), |seen| seen + 1),
            _ => 0,
        };
        dated.into_iter().skip(skip)
    });
    page(
        all,
        question,
        after,
        |it| it.key,
        |it| After::Version(it.key.to_owned(), it.version.id.as_str().to_owned()),
    )
}

/// The keys that can be on the page, in order.
fn keys<'a>(
    bucket: &'a Bucket,
    question: Question<'_>,
    after: &After,
) -> impl Iterator<Item = (&'a str, &'a Vec<Version>)> {
    let prefix = question.prefix.to_owned();
    let from = match after {
        After::Nothing => Bound::Unbounded,
        After::Key(key) => Bound::Excluded(key.clone()),
        After::Version(key, _) | After::Prefix(key) => Bound::Included(key.clone()),
    };
    let from = match from {
        Bound::Excluded(key) | Bound::Included(key) if key < prefix => {
            Bound::Included(prefix.clone())
        }
        Bound::Unbounded => Bound::Included(prefix.clone()),
        bound => bound,
    };
    bucket
        .history()
        .range((from, Bound::Unbounded))
        .take_while(move |(key, _)| key.starts_with(&prefix))
        .map(|(key, versions)| (key.as_str(), versions))
}

fn page<T>(
    candidates: impl Iterator<Item = T>,
    question: Question<'_>,
    after: &After,
    key_of: impl Fn(&T) -> &str,
    end_at: impl Fn(&T) -> After,
) -> Page<T> {
    let mut page = Page { items: Vec::new(), common_prefixes: Vec::new(), next: None };
    let mut end = None;
    let mut rolled_up = match after {
        After::Prefix(prefix) => Some(prefix.clone()),
        _ => None,
    };
    for candidate in candidates {
        let key = key_of(&candidate);
        if rolled_up.as_deref().is_some_and(|prefix| key.starts_with(prefix)) {
            continue;
        }
        if page.items.len() + page.common_prefixes.len() == question.max {
            page.next = end;
            return page;
        }
        match common_prefix(key, question) {
            Some(prefix) => {
                end = Some(After::Prefix(prefix.clone()));
                page.common_prefixes.push(prefix.clone());
                rolled_up = Some(prefix);
            }
            None => {
                end = Some(end_at(&candidate));
                page.items.push(candidate);
            }
        }
    }
    page
}

fn common_prefix(key: &str, question: Question<'_>) -> Option<String> {
    let delimiter = question.delimiter?;
    let at = key[question.prefix.len()..].find(delimiter)?;
    Some(key[..question.prefix.len() + at + delimiter.len()].to_owned())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::super::store::{Store, Versioning};
    use super::*;

    const NOW: time::OffsetDateTime = datetime!(2026-11-23 06:00 UTC);

    fn store(keys: &[&str]) -> Store {
        let mut store = Store::new(1);
        store.create_bucket("b", NOW);
        for key in keys {
            store.put("b", key, key.to_string(), NOW).unwrap();
        }
        store
    }

    /// All pages of at most `max`, as `keys | common prefixes`.
    fn all_pages(
        bucket: &Bucket,
        prefix: &str,
        delimiter: Option<&str>,
        max: usize,
    ) -> Vec<String> {
        let mut pages = Vec::new();
        let mut after = After::Nothing;
        loop {
            let page = objects(bucket, Question { prefix, delimiter, max }, &after);
            let keys: Vec<_> = page.items.iter().map(|it| it.key).collect();
            pages.push(format!("{} | {}", keys.join(" "), page.common_prefixes.join(" ")));
            match page.next {
                Some(next) => after = next,
                None => return pages,
            }
        }
    }

    #[test]
    fn keys_are_rolled_up_at_the_delimiter_and_pages_count_both() {
        let store = store(&["a", "b/1", "b/2", "c", "d/1/x", "d/2"]);
        let bucket = store.bucket("b").unwrap();
        assert_eq!(all_pages(bucket, "", Some("/"), 1000), ["a c | b/ d/"]);
        assert_eq!(all_pages(bucket, "", Some("/"), 2), ["a | b/", "c | d/"]);
        assert_eq!(all_pages(bucket, "d/", Some("/"), 1), [" | d/1/", "d/2 | "]);
        assert_eq!(all_pages(bucket, "", None, 4), ["a b/1 b/2 c | ", "d/1/x d/2 | "]);
        assert_eq!(all_pages(bucket, "none", None, 4), [" | "]);
    }

    #[test]
    fn pages_of_any_size_together_are_the_whole() {
        let keys: Vec<String> = (0..40).map(|n| format!("{}/{}", n % 7, n)).collect();
        let store = store(&keys.iter().map(String::as_str).collect::<Vec<_>>());
        let bucket = store.bucket("b").unwrap();
        for delimiter in [None, Some("/")] {
            let whole = all_pages(bucket, "", delimiter, 1000).concat();
            let words = |pages: Vec<String>| {
                let mut words: Vec<String> = pages
                    .concat()
                    .split([' ', '|'])
                    .filter(|word| !word.is_empty())
                    .map(str::to_owned)
                    .collect();
                words.sort();
                words
            };
            for max in 1..45 {
                let pages = all_pages(bucket, "", delimiter, max)
                    .into_iter()
                    .map(|page| page + " ")
                    .collect();
                assert_eq!(words(pages), words(vec![whole.clone()]), "{max} a page");
            }
        }
    }

    #[test]
    fn versions_come_newest_first_and_pages_may_split_a_key() {
        let mut store = store(&["a"]);
        store.bucket_mut("b").unwrap().versioning = Versioning::Enabled;
        let second = store.put("b", "a", "2", NOW).unwrap();
        store.delete_current("b", "a", NOW).unwrap();
        store.put("b", "z", "1", NOW).unwrap();
        let bucket = store.bucket("b").unwrap();
        assert!(all_pages(bucket, "", None, 9) == ["z | "]);

        let question = Question { prefix: "", delimiter: None, max: 2 };
        let first = versions(bucket, question, &After::Nothing);
        assert!(first.items[0].version.object().is_none() && first.items[0].is_latest);
        assert_eq!(first.next, Some(After::Version("a".into(), second.as_str().into())));
        let rest = versions(bucket, question, &first.next.unwrap());
        assert_eq!(rest.items.iter().map(|it| it.key).collect::<Vec<_>>(), ["a", "z"]);
        assert!(rest.items[0].version.id.is_null() && !rest.items[0].is_latest);
        assert_eq!(rest.next, None);
    }
}
