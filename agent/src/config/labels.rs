//! Labels and taints by Kubernetes' rules.
//!
//! Source: "Labels and Selectors", syntax and character set; "Taints and Tolerations".

use std::collections::{BTreeMap, BTreeSet};

use super::Taint;
use super::entry::Entry;
use super::raw::Section;
use super::rules::is_dns_subdomain;

/// Labels that Windlass or kubelet sets from what EC2 says.
const OWN: [&str; 7] = [
    "windlass.dev/group",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

/// A table of labels.
pub(super) fn labels(entry: Entry<'_>) -> Option<BTreeMap<String, String>> {
    entry.map(|key, entry| {
        let value = entry.string("a label's value")?;
        if !is_qualified_name(key) {
            return entry.problem(format!("is not a label's key, wanted {QUALIFIED_NAME}"));
        }
        if OWN.contains(&key) {
            return entry.problem("is set by windlass itself, from what EC2 says");
        }
        if !is_value(value) {
            return entry.problem(format!("is `{value}`, wanted {VALUE}"));
        }
        Some(value.to_owned())
    })
}

/// A list of taints, each a table or a string as kubectl takes it, `key=value:Effect`.
pub(super) fn taints(entry: Entry<'_>) -> Option<Vec<Taint>> {
    let taints = entry.list("a list of taints", taint)?;
    let mut seen = BTreeSet::new();
    match taints.iter().find(|taint| !seen.insert((&taint.key, &taint.effect))) {
        Some(Taint { key, effect, .. }) => {
            entry.problem(format!("has `{key}` with the effect `{effect}` twice, wanted it once"))
        }
        None => Some(taints),
    }
}

fn taint(entry: Entry<'_>) -> Option<Taint> {
    let (key, value, effect) = match entry.str() {
        Some(text) => match text.rsplit_once(':') {
            Some((head, effect)) => {
                let (key, value) = head.split_once('=').unwrap_or((head, ""));
                (key, value, effect)
            }
            None => {
                return entry.problem(format!("is `{text}`, wanted `key=value:Effect`"));
            }
        },
        None => entry.table(taint_table)?,
    };
    let mut good = Some(());
    if !is_qualified_name(key) {
        good = entry.problem(format!("has the key `{key}`, wanted {QUALIFIED_NAME}"));
    }
    if !is_value(value) {
        good = entry.problem(format!("has the value `{value}`, wanted {VALUE}"));
    }
    if !EFFECTS.contains(&effect) {
        let wanted = super::words::list(EFFECTS);
        good = entry.problem(format!("has the effect `{effect}`, wanted {wanted}"));
    }
    good?;
    Some(Taint { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned() })
}

fn taint_table<'a>(section: &Section<'a>) -> Option<(&'a str, &'a str, &'a str)> {
    let key = section.required("key", "a taint's key").and_then(|e| e.string("a taint's key"));
    let value = section.or("value", "", |entry| entry.string("a taint's value"));
    let effect = section.required("effect", "a taint's effect");
    let effect = effect.and_then(|entry| entry.string("a taint's effect"));
    Some((key?, value?, effect?))
}

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

const QUALIFIED_NAME: &str = "a name of at most 63 letters, digits, `-`, `_` and `.`, with a DNS \
                              domain and `/` before it if you like";

const VALUE: &str = "at most 63 letters, digits, `-`, `_` and `.`, that begin and end with a letter \
                     or digit";

fn is_qualified_name(text: &str) -> bool {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    prefix.is_none_or(is_dns_subdomain) && !name.is_empty() && is_value(name)
}

fn is_value(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    let known = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    text.is_empty()
        || (text.len() <= 63
            && text.bytes().all(known)
            && text.starts_with(edge)
            && text.ends_with(edge))
}
