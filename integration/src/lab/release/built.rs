//! What cargo says that it built: a program, and every crate that took part in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use windlass::dependencies::Kind;

use crate::lab::run::shown;

/// A program and its crates, by name and version.
#[derive(Clone, Debug)]
pub struct Built {
    pub program: PathBuf,
    pub crates: BTreeMap<(String, String), Kind>,
}

impl Built {
    /// Runs a `cargo build`, or a `cargo test --no-run`, for `triple`.
    pub fn by(build: &mut Command, triple: &str) -> Result<Self> {
        build
            .args(["--message-format", "json-render-diagnostics"])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        let output = build.output().context("cannot run cargo to build the product")?;
        if !output.status.success() {
            bail!("cargo did not build the product ({}): `{}`", output.status, shown(build));
        }
        Self::read(&String::from_utf8_lossy(&output.stdout), triple)
    }

    fn read(messages: &str, triple: &str) -> Result<Self> {
        let mut program = None;
        let mut crates = BTreeMap::new();
        let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        for message in messages.filter(|message| message["reason"] == "compiler-artifact") {
            if let (true, Some(found)) =
                (message["target"]["name"] == "windlass", message["executable"].as_str())
            {
                program = Some(PathBuf::from(found));
            }
            let id = message["package_id"].as_str().unwrap_or_default();
            let package = package(id).with_context(|| format!("cargo built `{id}`"))?;
            let kind = kind(&message, triple);
            // A crate may be built for both; then it is linked.
            crates
                .entry(package)
                .and_modify(|known: &mut Kind| *known = kind.min(*known))
                .or_insert(kind);
        }
        let program = program.context("cargo built no program `windlass`")?;
        Ok(Self { program, crates })
    }
}

/// `registry+https://…#serde@1.0.2`, or `path+file:///…/windlass#0.1.0` where the folder has the
/// crate's name ("Package ID Specifications").
fn package(id: &str) -> Option<(String, String)> {
    let (url, fragment) = id.rsplit_once('#')?;
    let (name, version) = match fragment.rsplit_once('@') {
        Some(both) => both,
        None => (url.rsplit_once('/')?.1, fragment),
    };
    Some((name.to_owned(), version.to_owned()))
}

/// What is for this machine lies beside the target's folder, build scripts and macros among it.
fn kind(message: &Value, triple: &str) -> Kind {
    let files = message["filenames"].as_array();
    let mut files = files.into_iter().flatten().filter_map(Value::as_str).map(Path::new);
    let for_target = files.any(|file| file.iter().any(|part| part == triple));
    if for_target { Kind::Runtime } else { Kind::Build }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIPLE: &str = "x86_64-unknown-linux-gnu";

    fn artifact(id: &str, folder: &str, executable: &str) -> String {
        let name = if executable == "null" { "other" } else { "windlass" };
        format!(
            "{{\"reason\":\"compiler-artifact\",\"package_id\":\"{id}\",\
             \"target\":{{\"name\":\"{name}\"}},\
             \"filenames\":[\"/t/{folder}/deps/a.rlib\"],\"executable\":{executable}}}\n"
        )
    }

    #[test]
    fn a_crate_that_is_built_for_the_program_is_told_from_one_that_builds_it() {
        let target = format!("{TRIPLE}/release");
        let messages = [
            artifact("registry+https://index#cc@1.0.1", "release", "null"),
            artifact("registry+https://index#libc@0.2.3", &target, "null"),
            artifact("registry+https://index#libc@0.2.3", "release", "null"),
            "{\"reason\":\"build-script-executed\",\"package_id\":\"x\"}\n".to_owned(),
            artifact("path+file:///s/agent#windlass@0.1.0", &target, "\"/t/windlass\""),
            artifact("path+file:///s/leaf#0.2.0", &target, "null"),
        ];
        let built = Built::read(&messages.concat(), TRIPLE).expect("messages");
        assert_eq!(built.program, Path::new("/t/windlass"));
        let crates: Vec<_> = built
            .crates
            .iter()
            .map(|((name, version), kind)| (&**name, &**version, *kind))
            .collect();
        let wanted = [
            ("cc", "1.0.1", Kind::Build),
            ("leaf", "0.2.0", Kind::Runtime),
            ("libc", "0.2.3", Kind::Runtime),
            ("windlass", "0.1.0", Kind::Runtime),
        ];
        assert_eq!(crates, wanted);
        let error = Built::read(&messages[0], TRIPLE).expect_err("no program");
        assert_eq!(error.to_string(), "cargo built no program `windlass`");
    }
}
