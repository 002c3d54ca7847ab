//! What must not be in an image and is there: the rules that a bake seals by, and private keys
//! wherever a node has them.

use std::path::{Path, PathBuf};

use super::super::rules::{Kind, RULES};
use super::super::seal;
use super::Examination;

/// Where a key would be looked for. What is below them is small.
const FOLDERS: [&str; 4] = ["/etc/kubernetes", "/etc/windlass", "/etc/containerd", "/root"];

pub(super) fn check(examination: &mut Examination<'_>) {
    for rule in &RULES {
        let left = match seal::left(examination.tree, rule) {
            Ok(left) => left,
            Err(error) => {
                examination.problem(format!("{error:#}"), rule.why);
                continue;
            }
        };
        let Some(first) = left.first() else { continue };
        let more = match left.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let message = format!("{}{more} should not be in an image", first.display());
        match rule.kind {
            Kind::Leftover => examination.advise(message, rule.why),
            Kind::Secret | Kind::Identity => examination.problem(message, rule.why),
        }
    }
    let mut keys = Vec::new();
    for folder in FOLDERS {
        if let Err(error) = find_keys(examination, Path::new(folder), &mut keys) {
            examination.problem(format!("{error:#}"), "a private key may be there");
        }
    }
    for key in keys {
        let message = format!("{} holds a private key", key.display());
        examination.problem(message, "a key that is in an image is everybody's: remove it");
    }
    if !examination.exists("/etc/machine-id") {
        examination.problem(
            "there is no /etc/machine-id: systemd would take each boot for the first and ask",
            "bake again: it leaves the file empty",
        );
    }
}

fn find_keys(
    examination: &Examination<'_>,
    folder: &Path,
    found: &mut Vec<PathBuf>,
) -> anyhow::Result<()> {
    for name in examination.tree.names(folder)? {
        let path = folder.join(name);
        let Some(metadata) = seal::metadata(examination.tree, &path)? else { continue };
        if metadata.is_dir() {
            find_keys(examination, &path, found)?;
        } else if seal::holds_secret(examination.tree, &path)? {
            found.push(path);
        }
    }
    Ok(())
}
