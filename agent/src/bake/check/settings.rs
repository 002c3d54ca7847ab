//! What a bake writes besides programs and units: folders that others look into, kernel settings,
//! modules, containerd's configuration.

use toml::{Table, Value};

use super::super::containerd::PLACE;
use super::super::description::Containerd;
use super::super::settings;
use super::Examination;

/// Where containerd's configuration says what images need.
const IMAGES: [&str; 2] = ["plugins", "io.containerd.cri.v1.images"];

pub(super) fn check(examination: &mut Examination<'_>) {
    for folder in settings::FOLDERS {
        if !examination.tree.path(folder).is_dir() {
            examination.problem(format!("there is no folder {folder}"), "bake again");
        }
    }
    // Which files they are does not depend on what bake.toml says of containerd.
    for (path, _) in settings::files(&Containerd::default()) {
        if !examination.tree.path(path).is_file() {
            examination.problem(format!("{path} is missing"), "bake again");
        }
    }
    check_containerd(examination);
}

/// What no bake.toml may override, since boots and kubelet's image collection depend on it.
fn check_containerd(examination: &mut Examination<'_>) {
    if !examination.tree.path(PLACE).is_file() {
        return;
    }
    let Ok(configuration) = examination.text(PLACE).parse::<Table>() else {
        return examination.problem(format!("{PLACE} is not TOML"), "bake again");
    };
    let hint = "bake again, without [containerd.overrides] for it";
    let version = configuration.get("version").and_then(Value::as_integer);
    if version != Some(3) {
        let found = version.map_or("no version".to_owned(), |found| format!("version {found}"));
        examination.problem(format!("{PLACE} has {found}, wanted version 3"), hint);
    }
    let images = [("pinned_images", "sandbox"), ("registry", "config_path")];
    for (table, key) in images {
        let value = text(&configuration, [IMAGES[0], IMAGES[1], table, key]);
        if value.is_none_or(str::is_empty) {
            let message = format!("{PLACE} does not say `{table}.{key}` of {}", IMAGES[1]);
            examination.problem(message, hint);
        }
    }
}

/// The text that is found along the keys, if it is there and is text.
fn text<'a>(configuration: &'a Table, [first, keys @ ..]: [&str; 4]) -> Option<&'a str> {
    let mut found = configuration.get(first)?;
    for key in keys {
        found = found.get(key)?;
    }
    found.as_str()
}
