//! The list of crates that the program carries, as `cargo auditable` writes it: JSON, compressed by
//! zlib. `src/dependencies.rs` puts it into the program.
//!
//! cargo itself says what they are, by `cargo tree`: it resolves features as for a build of this
//! package alone, and knows only crates that such a build has downloaded. (`cargo metadata` answers
//! for the whole workspace, the lab and its features included.)
//!
//! Source: "cargo-auditable", its JSON schema.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::error::Error;
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::{Value, json};

/// They decide what is linked.
const INPUTS: [&str; 3] = ["Cargo.toml", "../Cargo.toml", "../Cargo.lock"];

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    /// `crates.io`, `registry`, `git` or `local`.
    source: &'static str,
}

/// Packages, and what each depends on.
type Graph = BTreeMap<Package, BTreeSet<Package>>;

/// Writes the list into the folder of what is generated.
pub fn write() -> Result<(), Box<dyn Error>> {
    for input in INPUTS {
        println!("cargo:rerun-if-changed={input}");
    }
    // Procedural macros and what they need run at build time and are not in the program.
    let linked = read(&cargo_tree("normal,no-proc-macro")?)?;
    let all = read(&cargo_tree("normal,build")?)?;
    let place = PathBuf::from(env::var("OUT_DIR")?).join("dependencies.zlib");
    let mut zlib = ZlibEncoder::new(File::create(place)?, Compression::best());
    serde_json::to_writer(&mut zlib, &list(&all, &linked)?)?;
    zlib.finish()?;
    Ok(())
}

/// What cargo prints: a line a package, its depth first.
fn cargo_tree(edges: &str) -> Result<String, Box<dyn Error>> {
    let mut tree = Command::new(env::var("CARGO")?);
    tree.args(["tree", "--locked", "--offline", "--color", "never"])
        .args(["--package", &env::var("CARGO_PKG_NAME")?, "--target", &env::var("TARGET")?])
        .args(["--edges", edges, "--prefix", "depth", "--format", " {p}"]);
    let output = tree.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{tree:?} failed ({}): {said}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn read(tree: &str) -> Result<Graph, Box<dyn Error>> {
    let mut graph = Graph::new();
    let mut above: Vec<Package> = Vec::new();
    for line in tree.lines() {
        let found = line.split_once(' ').and_then(|(depth, package)| {
            Some((depth.parse::<usize>().ok()?, Package::read(package)?))
        });
        let (depth, package) =
            found.ok_or_else(|| format!("`cargo tree` printed `{line}`, wanted a package"))?;
        above.truncate(depth);
        if let Some(parent) = above.last() {
            graph.entry(parent.clone()).or_default().insert(package.clone());
        }
        graph.entry(package.clone()).or_default();
        above.push(package);
    }
    Ok(graph)
}

impl Package {
    /// `serde v1.0.2`, `serde_derive v1.0.2 (proc-macro)`, `windlass v0.1.0 (/a/folder)`,
    /// each with ` (*)` after it when what it depends on was printed before.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
        let source = words.find_map(|word| match word.strip_prefix('(')? {
            "registry" => Some("registry"),
            place if place.starts_with('/') => Some("local"),
            place if place.contains("://") => Some("git"),
            _ => None,
        });
        let source = source.unwrap_or("crates.io");
        Some(Self { name: name.to_owned(), version: version.to_owned(), source })
    }
}

fn list(all: &Graph, linked: &Graph) -> Result<Value, Box<dyn Error>> {
    let index: BTreeMap<&Package, usize> = all.keys().zip(0..).collect();
    let root = env::var("CARGO_PKG_NAME")?;
    let packages = all.iter().map(|(package, dependencies)| {
        let mut entry = json!({
            "name": package.name,
            "version": package.version,
            "source": package.source,
        });
        if !linked.contains_key(package) {
            entry["kind"] = "build".into();
        }
        if !dependencies.is_empty() {
            entry["dependencies"] = dependencies.iter().map(|package| index[package]).collect();
        }
        if package.name == root {
            entry["root"] = true.into();
        }
        entry
    });
    Ok(json!({ "packages": packages.collect::<Value>() }))
}
