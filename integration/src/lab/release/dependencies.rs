//! The list of crates in a program against what cargo compiled for it. The list is made before, of
//! what `cargo tree` resolves; cargo's messages say what then went into the program.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use windlass::dependencies::{self, Kind};

use super::Built;
use super::elf;

/// How many crates are linked and how many only took part, if the program lists exactly those that
/// were compiled for it.
pub fn ensure_listed(built: &Built) -> Result<(usize, usize)> {
    let shown = built.program.display();
    let listed = listed(&built.program)?;
    let differences = differences(&listed, &built.crates);
    if !differences.is_empty() {
        bail!(
            "the list of crates in {shown} is not what was compiled: {}\n\
             hint: agent/build/dependencies.rs makes it of what `cargo tree` prints",
            differences.join(", ")
        );
    }
    let linked = listed.values().filter(|kind| **kind == Kind::Runtime).count();
    Ok((linked, listed.len() - linked))
}

/// As any reader of `cargo auditable`'s section finds it.
fn listed(program: &Path) -> Result<BTreeMap<(String, String), Kind>> {
    let shown = program.display();
    let file = fs::read(program).with_context(|| format!("cannot read {shown}"))?;
    let section = elf::section(&file, dependencies::SECTION)
        .with_context(|| format!("{shown} has no section {}", dependencies::SECTION))?;
    let listed = dependencies::read(section).with_context(|| format!("in {shown}"))?;
    Ok(listed.into_iter().map(|listed| ((listed.name, listed.version), listed.kind)).collect())
}

fn differences(
    listed: &BTreeMap<(String, String), Kind>,
    compiled: &BTreeMap<(String, String), Kind>,
) -> Vec<String> {
    let missing = compiled.iter().filter(|(package, _)| !listed.contains_key(package));
    let missing = missing.map(|((name, version), _)| format!("{name} {version} is missing"));
    let wrong = listed.iter().filter_map(|(package, kind)| {
        let (name, version) = package;
        match compiled.get(package) {
            None => Some(format!("{name} {version} was not compiled")),
            Some(found) if found != kind => {
                Some(format!("{name} {version} is listed as {kind:?} and is {found:?}"))
            }
            Some(_) => None,
        }
    });
    missing.chain(wrong).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_is_named() {
        let list = |crates: &[(&str, Kind)]| -> BTreeMap<_, _> {
            let each =
                crates.iter().map(|(name, kind)| ((name.to_string(), "1.0.0".into()), *kind));
            each.collect()
        };
        let listed = list(&[("a", Kind::Runtime), ("b", Kind::Build), ("c", Kind::Runtime)]);
        let compiled = list(&[("a", Kind::Runtime), ("b", Kind::Runtime), ("d", Kind::Build)]);
        let wanted = [
            "d 1.0.0 is missing",
            "b 1.0.0 is listed as Build and is Runtime",
            "c 1.0.0 was not compiled",
        ];
        assert_eq!(differences(&listed, &compiled), wanted);
        assert_eq!(differences(&listed, &listed), [""; 0]);
    }
}
