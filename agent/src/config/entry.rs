//! One value of a TOML document, read as what it should be.

use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeInteger, DeValue};

use super::raw::{Section, Source};
use super::words::{duration, list, nearest, parse_duration};

/// A value that is there.
pub(crate) struct Entry<'a> {
    source: &'a Source<'a>,
    /// The key as a reader would look for it.
    pub path: String,
    value: &'a DeValue<'a>,
    span: Range<usize>,
}

impl<'a> Entry<'a> {
    pub(super) fn new(
        source: &'a Source<'a>,
        path: String,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Self {
        Self { source, path, value: value.get_ref(), span: value.span() }
    }

    /// Something is wrong with this value.
    pub fn problem<T>(&self, message: impl Into<String>) -> Option<T> {
        self.source.add(Some(self.span.clone()), &self.path, message.into(), None);
        None
    }

    /// Something is wrong with this value, and the reader can do something.
    pub fn problem_with_hint<T>(
        &self,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Option<T> {
        self.source.add(Some(self.span.clone()), &self.path, message.into(), Some(hint.into()));
        None
    }

    /// The string, if it is one; that it is something else is no problem yet.
    pub fn str(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// A string.
    pub fn string(&self, wanted: &str) -> Option<&'a str> {
        self.value.as_str().or_else(|| self.wrong_type(wanted))
    }

    /// Yes or no.
    pub fn boolean(&self) -> Option<bool> {
        self.value.as_bool().or_else(|| self.wrong_type("`true` or `false`"))
    }

    /// A whole number within a range.
    pub fn integer(&self, within: RangeInclusive<u32>) -> Option<u32> {
        let wanted = || format!("a whole number from {} to {}", within.start(), within.end());
        let Some(written) = self.value.as_integer() else { return self.wrong_type(&wanted()) };
        match number(written).and_then(|number| u32::try_from(number).ok()) {
            Some(number) if within.contains(&number) => Some(number),
            _ => self.problem(format!("is {written}, wanted {}", wanted())),
        }
    }

    /// A number of bytes.
    pub fn bytes(&self) -> Option<u64> {
        const WANTED: &str = "a whole number of bytes";
        let Some(written) = self.value.as_integer() else { return self.wrong_type(WANTED) };
        let found = number(written).and_then(|number| u64::try_from(number).ok());
        found.or_else(|| self.problem(format!("is {written}, wanted {WANTED}")))
    }

    /// What `FromStr` makes of a string; `wanted` describes it.
    pub fn parsed<T: FromStr>(&self, wanted: &str) -> Option<T> {
        let text = self.string(wanted)?;
        text.parse().ok().or_else(|| self.problem(format!("is `{text}`, wanted {wanted}")))
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let wanted = list(&words);
        let text = self.string(&wanted)?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*choice);
        }
        let message = format!("is `{text}`, wanted {wanted}");
        match nearest(text, words.into_iter()) {
            Some(meant) => self.problem_with_hint(message, format!("did you mean `{meant}`?")),
            None => self.problem(message),
        }
    }

    /// A duration such as `"15m"`, within a range.
    pub fn duration(&self, within: RangeInclusive<Duration>) -> Option<Duration> {
        let (from, to) = (duration(*within.start()), duration(*within.end()));
        let wanted = format!("a duration from {from} to {to}, such as \"{from}\"");
        let text = self.string(&wanted)?;
        match parse_duration(text) {
            Some(found) if within.contains(&found) => Some(found),
            _ => self.problem(format!("is `{text}`, wanted {wanted}")),
        }
    }

    /// What `read` makes of each value of a list; `None` if any of them has a problem.
    pub fn list<T>(&self, wanted: &str, read: impl Fn(Entry<'a>) -> Option<T>) -> Option<Vec<T>> {
        let Some(values) = self.value.as_array() else { return self.wrong_type(wanted) };
        let read_all: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(index, value)| Entry::new(self.source, format!("{}[{index}]", self.path), value))
            .map(read)
            .collect();
        read_all.into_iter().collect()
    }

    /// What `read` makes of a table.
    pub fn table<T>(&self, read: impl FnOnce(&Section<'a>) -> Option<T>) -> Option<T> {
        let Some(table) = self.value.as_table() else { return self.wrong_type("a table") };
        let section =
            Section::new(self.source, self.path.clone(), Some(table), Some(self.span.clone()));
        let value = read(&section);
        section.finish();
        value
    }

    /// Any value, as the JSON that means the same.
    pub fn json(&self) -> Option<Value> {
        match self.value {
            DeValue::String(text) => Some(Value::String(text.to_string())),
            DeValue::Boolean(value) => Some(Value::Bool(*value)),
            DeValue::Integer(written) => match number(written) {
                Some(number) => Some(number.into()),
                None => self.problem(format!("is {written}, wanted a number of 64 bits")),
            },
            DeValue::Float(written) => match written.as_str().parse::<f64>().map(Value::from) {
                Ok(number @ Value::Number(_)) => Some(number),
                _ => self.problem(format!("is {written}, wanted a finite number")),
            },
            DeValue::Datetime(_) => self.problem("is a date, wanted it as a string"),
            DeValue::Array(_) => Some(Value::Array(self.list("a list", |entry| entry.json())?)),
            DeValue::Table(_) => Some(Value::Object(self.map(|_, entry| entry.json())?)),
        }
    }

    /// A table whose keys the operator chooses.
    pub fn map<T, M: FromIterator<(String, T)>>(
        &self,
        read: impl Fn(&str, Entry<'a>) -> Option<T>,
    ) -> Option<M> {
        self.table(|section| {
            let all: Vec<_> = section
                .entries()
                .map(|(key, entry)| read(&key, entry).map(|value| (key, value)))
                .collect();
            all.into_iter().collect()
        })
    }

    fn wrong_type<T>(&self, wanted: &str) -> Option<T> {
        let found = self.value.type_str();
        let article = if found.starts_with(['a', 'i']) { "an" } else { "a" };
        self.problem(format!("is {article} {found}, wanted {wanted}"))
    }
}

fn number(written: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(written.as_str(), written.radix()).ok()
}
