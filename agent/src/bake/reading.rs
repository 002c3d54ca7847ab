//! Reads `bake.toml` key by key: what is wrong with a value is said where it is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::description::{Archive, Binary, Containerd, Description, Image, Members, Origin, Part};
use super::places;
use crate::config::entry::Entry;
use crate::config::raw::Section;

/// The whole file; relative paths in it count from `folder`.
pub(super) fn description(section: &Section<'_>, folder: &Path) -> Option<Description> {
    let kubernetes = section.required("kubernetes", "the kubelet's version, such as \"v1.37.2\"");
    let kubernetes = kubernetes.and_then(|entry| version(&entry));
    let containerd = section.table("containerd", containerd);
    let parts = |key: &'static str| section.optional(key);
    let binaries = list(parts("binary"), |section| binary(section, folder));
    let archives = list(parts("archive"), |section| archive(section, folder));
    let images = list(parts("image"), |section| Some(Image { part: part(section, folder)? }));
    let kubernetes = kubernetes?;
    let mut binaries = binaries?;
    for binary in &mut binaries {
        if matches!(binary.part.name.as_str(), "kubelet" | "kubectl") {
            binary.part.version.get_or_insert_with(|| kubernetes.clone());
        }
    }
    Some(Description {
        kubernetes,
        containerd: containerd?,
        binaries,
        archives: archives?,
        images: images?,
    })
}

/// Each table of `[[binary]]` and the like; there may be none.
fn list<T>(entry: Option<Entry<'_>>, read: impl Fn(&Section<'_>) -> Option<T>) -> Option<Vec<T>> {
    match entry {
        Some(entry) => entry.list("tables, each under `[[…]]`", |entry| entry.table(&read)),
        None => Some(Vec::new()),
    }
}

fn containerd(section: &Section<'_>) -> Option<Containerd> {
    let sandbox = section
        .or("sandbox", None, |entry| Some(Some(entry.string("the name of an image")?.to_owned())));
    let overrides = section.or("overrides", toml::Table::new(), |entry| {
        toml::Table::try_from(entry.json()?).ok().or_else(|| entry.problem("is no table"))
    });
    Some(Containerd { sandbox: sandbox?, overrides: overrides? })
}

fn binary(section: &Section<'_>, folder: &Path) -> Option<Binary> {
    let part = part(section, folder);
    let to = section.or("to", None, |entry| Some(Some(absolute(&entry)?)));
    let (part, to) = (part?, to?);
    match to.or_else(|| places::of(&part.name)) {
        Some(to) => Some(Binary { part, to }),
        None => {
            let message = format!("is `{}`, which has no conventional place", part.name);
            let hint = format!("say where it goes: to = \"/usr/local/bin/{}\"", part.name);
            section.optional("name")?.problem_with_hint(message, hint)
        }
    }
}

fn archive(section: &Section<'_>, folder: &Path) -> Option<Archive> {
    let part = part(section, folder);
    let members = section.or("members", Members::Known, |entry| {
        let members: BTreeMap<_, _> = entry.map(|_, entry| absolute(&entry))?;
        match members.is_empty() {
            true => entry.problem("is empty, wanted what to take: \"MEMBER\" = \"/PLACE\""),
            false => Some(Members::Listed(members)),
        }
    });
    Some(Archive { part: part?, members: members? })
}

fn part(section: &Section<'_>, folder: &Path) -> Option<Part> {
    let name = section.required("name", "what it is called").and_then(|entry| name(&entry));
    let from = section.required("from", "a file or a URL").and_then(|entry| origin(&entry, folder));
    let sha256 = section.or("sha256", None, |entry| {
        Some(Some(entry.parsed("a SHA-256, 64 lowercase hexadecimal digits")?))
    });
    let size_bytes = section.or("size", None, |entry| Some(Some(entry.bytes()?)));
    let version = section.or("version", None, |entry| Some(Some(version(&entry)?)));
    let licence = section.or("licence", None, |entry| Some(Some(licence(&entry)?)));
    let (from, sha256, size_bytes) = (from?, sha256?, size_bytes?);
    if let Origin::Url(url) = &from {
        let missing = match (&sha256, size_bytes) {
            (None, _) => Some("sha256"),
            (_, None) => Some("size"),
            _ => None,
        };
        if let Some(key) = missing {
            return section.optional("from")?.problem_with_hint(
                format!("is {url}, a URL without a `{key}`"),
                "an image must not depend on what a server says that day",
            );
        }
    }
    Some(Part { name: name?, from, sha256, size_bytes, version: version?, licence: licence? })
}

/// It becomes a file's name.
fn name(entry: &Entry<'_>) -> Option<String> {
    const WANTED: &str = "a name of letters, digits, `.`, `_`, `+` and `-`";
    let name = entry.string(WANTED)?;
    let usual = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-');
    if !name.is_empty() && name.bytes().all(usual) && !name.starts_with('.') {
        Some(name.to_owned())
    } else {
        entry.problem(format!("is `{name}`, wanted {WANTED}"))
    }
}

fn origin(entry: &Entry<'_>, folder: &Path) -> Option<Origin> {
    let from = entry.string("a file or a URL")?;
    if from.starts_with("https://") || from.starts_with("http://") {
        return Some(Origin::Url(from.to_owned()));
    }
    match from.split_once("://") {
        Some((scheme, _)) => entry.problem(format!("is a URL of `{scheme}`, wanted https or http")),
        None => Some(Origin::File(folder.join(from))),
    }
}

fn version(entry: &Entry<'_>) -> Option<String> {
    const WANTED: &str = "a version, such as \"v1.37.2\"";
    let version = entry.string(WANTED)?;
    let digits = version.strip_prefix('v').unwrap_or(version);
    match digits.starts_with(|c: char| c.is_ascii_digit()) && !version.contains(' ') {
        true => Some(version.to_owned()),
        false => entry.problem(format!("is `{version}`, wanted {WANTED}")),
    }
}

/// SPDX License Expressions (SPDX 2.3, annex D), by their characters only.
fn licence(entry: &Entry<'_>) -> Option<String> {
    const WANTED: &str = "an SPDX licence expression, such as \"Apache-2.0\"";
    let licence = entry.string(WANTED)?;
    let usual = |c: char| c.is_ascii_alphanumeric() || " .-+()".contains(c);
    match !licence.trim().is_empty() && licence.chars().all(usual) {
        true => Some(licence.to_owned()),
        false => entry.problem(format!("is `{licence}`, wanted {WANTED}")),
    }
}

/// A place in the image, written so that it cannot mean another.
fn absolute(entry: &Entry<'_>) -> Option<PathBuf> {
    const WANTED: &str = "an absolute path without `..`";
    let text = entry.string(WANTED)?;
    let plain = |path: &str| path.split('/').skip(1).all(|c| !matches!(c, "" | "." | ".."));
    match text.starts_with('/') && plain(text) {
        true => Some(PathBuf::from(text)),
        false => entry.problem(format!("is `{text}`, wanted {WANTED}")),
    }
}
