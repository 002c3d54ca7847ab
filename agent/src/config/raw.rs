//! Reads a TOML document key by key and remembers all that is wrong with it.
//!
//! Deserializing into structs would stop at the first wrong type. Here every key is asked for by
//! name; what is missing, of the wrong type or was never asked for becomes a [`Problem`] with its
//! line, and reading goes on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::entry::Entry;
use super::problems::{Problem, Problems};
use super::words::{list, nearest};

/// Reads the document `text`, called `name` in messages. `read` returns `None` where it recorded
/// what is wrong.
pub(crate) fn document<T>(
    name: &str,
    text: &str,
    read: impl FnOnce(&Section<'_>) -> Option<T>,
) -> Result<T, Problems> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let source = Source { text, problems: RefCell::new(Problems::of(name)) };
    let mut lines = BTreeSet::new();
    // What follows an error on its line is mostly an echo of it.
    for error in errors.iter().filter(|error| lines.insert(source.line(error.span()))) {
        source.add(error.span(), "", format!("is not TOML: {}", error.message()), None);
    }
    if !errors.is_empty() {
        return source.problems.into_inner().unless_any(None);
    }
    let value = {
        let section = Section::new(&source, String::new(), Some(root.get_ref()), None);
        let value = read(&section);
        section.finish();
        value
    };
    source.problems.into_inner().unless_any(value)
}

/// The text that spans point into, and what is wrong with it.
pub(crate) struct Source<'t> {
    text: &'t str,
    problems: RefCell<Problems>,
}

/// A table, present or not. Keys that are never asked for are reported as unknown.
pub(crate) struct Section<'a> {
    source: &'a Source<'a>,
    path: String,
    table: Option<&'a DeTable<'a>>,
    span: Option<Range<usize>>,
    asked: RefCell<BTreeSet<&'static str>>,
    missing: RefCell<Vec<(&'static str, &'static str)>>,
    /// The operator chooses the keys, so that none is unknown.
    open: Cell<bool>,
}

impl<'a> Section<'a> {
    pub(super) fn new(
        source: &'a Source<'a>,
        path: String,
        table: Option<&'a DeTable<'a>>,
        span: Option<Range<usize>>,
    ) -> Self {
        let (asked, missing, open) = Default::default();
        Self { source, path, table, span, asked, missing, open }
    }

    /// The value of `key`, if it is there.
    pub fn optional(&self, key: &'static str) -> Option<Entry<'a>> {
        self.asked.borrow_mut().insert(key);
        let (name, value) = self.table?.get_key_value(key)?;
        Some(self.entry(name.get_ref(), value))
    }

    /// The value of `key`; that it is missing is a problem, `wanted` says what should be there.
    pub fn required(&self, key: &'static str, wanted: &'static str) -> Option<Entry<'a>> {
        let entry = self.optional(key);
        if entry.is_none() {
            self.missing.borrow_mut().push((key, wanted));
        }
        entry
    }

    /// What `read` makes of the value of `key`, or `default` where there is none.
    pub fn or<T>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(Entry<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.optional(key) {
            Some(entry) => read(entry),
            None => Some(default),
        }
    }

    /// What `read` makes of the table `key`. An absent table is read as an empty one, so that
    /// each key that it must have is named.
    pub fn table<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Section<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.optional(key) {
            Some(entry) => entry.table(read),
            None => {
                let section = Section::new(self.source, self.path_of(key), None, None);
                let value = read(&section);
                section.finish();
                value
            }
        }
    }

    /// Every value of a table whose keys the operator chooses, in their order.
    pub fn entries(&self) -> impl Iterator<Item = (String, Entry<'a>)> {
        self.open.set(true);
        let table = self.table.into_iter().flat_map(|table| table.iter());
        table.map(|(name, value)| (name.get_ref().to_string(), self.entry(name.get_ref(), value)))
    }

    fn entry(&self, name: &str, value: &'a Spanned<DeValue<'a>>) -> Entry<'a> {
        Entry::new(self.source, self.path_of(name), value)
    }

    fn path_of(&self, key: &str) -> String {
        let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let key = if !key.is_empty() && key.bytes().all(bare) {
            key.to_owned()
        } else {
            format!("{key:?}")
        };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    /// Reports what is unknown and what is missing. A key that is missing under its name but there
    /// under a misspelt one is reported once.
    pub(super) fn finish(self) {
        let asked = self.asked.take();
        let mut missing = self.missing.take();
        let names = self.table.into_iter().flat_map(DeTable::keys);
        let unknown = names.filter(|name| !asked.contains(name.get_ref().as_ref()));
        for name in unknown.filter(|_| !self.open.get()) {
            let meant = nearest(name.get_ref(), asked.iter().copied());
            missing.retain(|(wanted, _)| Some(*wanted) != meant);
            let hint = match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known here: {}", list(&asked)),
            };
            let path = self.path_of(name.get_ref());
            self.source.add(Some(name.span()), &path, "is not a known key".into(), Some(hint));
        }
        for (key, wanted) in missing {
            let message = format!("is missing, wanted {wanted}");
            self.source.add(self.span.clone(), &self.path_of(key), message, None);
        }
    }
}

impl Source<'_> {
    pub(super) fn add(
        &self,
        span: Option<Range<usize>>,
        key: &str,
        message: String,
        hint: Option<String>,
    ) {
        let problem = Problem { line: self.line(span), key: key.to_owned(), message, hint };
        self.problems.borrow_mut().add(problem);
    }

    fn line(&self, span: Option<Range<usize>>) -> Option<usize> {
        let before = self.text.get(..span?.start).unwrap_or(self.text);
        Some(before.matches('\n').count() + 1)
    }
}
