//! The crates that this program was built of, in a section of its file: so `cargo audit bin`, syft
//! and trivy find versions with known holes in a program that they are given, and a bake knows what
//! it lists as contained in `windlass`. `build/dependencies.rs` makes the list.
//!
//! Source: "cargo-auditable", its JSON schema: a JSON document, compressed by zlib, in the section
//! `.dep-v0`.

use std::io::Read;

use anyhow::Context;
use flate2::read::ZlibDecoder;
use serde::Deserialize;

/// Where readers look for the list.
pub const SECTION: &str = ".dep-v0";

/// The linker keeps it because a bake reads it.
#[expect(unsafe_code, reason = "a section that no other code names, for bytes that are only read")]
#[unsafe(link_section = ".dep-v0")]
static LIST: [u8; include_bytes!(concat!(env!("OUT_DIR"), "/dependencies.zlib")).len()] =
    *include_bytes!(concat!(env!("OUT_DIR"), "/dependencies.zlib"));

#[derive(Deserialize)]
struct List {
    packages: Vec<Dependency>,
}

/// One crate. Those on which it depends are listed too, but nothing here asks which they are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Dependency {
    pub name: String,
    pub version: String,
    /// `crates.io`, `local`, `git`, or `registry` for another one.
    pub source: String,
    #[serde(default)]
    pub kind: Kind,
    /// Whether it is the program itself.
    #[serde(default)]
    pub root: bool,
}

/// How a crate took part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It is in the program.
    #[default]
    Runtime,
    /// It ran when the program was built: a build script, a procedural macro, or a part of one.
    Build,
}

/// The crates of this program, sorted by name.
pub fn own() -> anyhow::Result<Vec<Dependency>> {
    read(&LIST)
}

/// The crates that such a section lists. An error when it is not as `cargo auditable` writes it.
pub fn read(section: &[u8]) -> anyhow::Result<Vec<Dependency>> {
    let mut json = String::new();
    let inflated = ZlibDecoder::new(section).read_to_string(&mut json);
    inflated.with_context(|| format!("the section {SECTION} is not compressed by zlib"))?;
    let list: List = serde_json::from_str(&json)
        .with_context(|| format!("the section {SECTION} does not list packages"))?;
    Ok(list.packages)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const LOCKED: &str = include_str!("../../Cargo.lock");
    const MANIFEST: &str = include_str!("../Cargo.toml");

    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Locked>,
    }

    #[derive(Deserialize)]
    struct Locked {
        name: String,
        version: String,
    }

    #[derive(Deserialize)]
    struct Manifest {
        dependencies: BTreeMap<String, toml::Value>,
    }

    #[test]
    fn each_crate_of_the_list_is_one_of_the_lock_file_and_each_direct_dependency_is_listed() {
        let own = own().expect("a list");
        let lock: Lock = toml::from_str(LOCKED).expect("Cargo.lock");
        let locked: BTreeSet<(&str, &str)> =
            lock.package.iter().map(|package| (&*package.name, &*package.version)).collect();
        for listed in &own {
            let found = (&*listed.name, &*listed.version);
            assert!(locked.contains(&found), "{found:?} is not in Cargo.lock");
        }

        let linked: BTreeSet<&str> = own
            .iter()
            .filter(|listed| listed.kind == Kind::Runtime)
            .map(|listed| &*listed.name)
            .collect();
        let manifest: Manifest = toml::from_str(MANIFEST).expect("Cargo.toml");
        for name in manifest.dependencies.keys() {
            assert!(linked.contains(&**name), "{name} is linked and not listed");
        }
    }

    #[test]
    fn the_list_has_one_root_and_tells_what_is_linked_from_what_built_it() {
        let own = own().expect("a list");
        let root: Vec<&Dependency> = own.iter().filter(|listed| listed.root).collect();
        let windlass = Dependency {
            name: "windlass".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            source: "local".to_owned(),
            kind: Kind::Runtime,
            root: true,
        };
        assert_eq!(root, [&windlass]);
        let kind = |name: &str| {
            let mut named = own.iter().filter(|listed| listed.name == name);
            named.next().map(|listed| (listed.kind, &*listed.source))
        };
        assert_eq!(kind("serde"), Some((Kind::Runtime, "crates.io")));
        assert_eq!(kind("serde_derive"), Some((Kind::Build, "crates.io")));
        assert_eq!(kind("cc"), Some((Kind::Build, "crates.io")), "ring's build script");
        let others = ["integration", "s3s", "windows-sys"];
        assert_eq!(others.map(kind), [None; 3], "the lab, what it needs, and another system's");
        assert!(LOCKED.contains("name = \"s3s\""), "the lab needs it");
    }

    #[test]
    fn what_is_no_list_is_said_to_be_none() {
        let error = read(b"{}").expect_err("plain text");
        assert_eq!(error.to_string(), "the section .dep-v0 is not compressed by zlib");
    }
}
