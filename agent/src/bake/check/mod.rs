//! `windlass bake --check`: whether an image would boot into a node. It looks at files alone, so
//! that a mounted tree is examined as well as the machine itself, and says everything at once.

mod base;
mod clock;
mod hardware;
mod kernel;
mod network;
mod programs;
mod remains;
mod services;
mod settings;
mod swap;
mod systemd;
mod versions;

use serde::Serialize;

use super::inventory::Inventory;
use super::tree::Tree;

pub use versions::Version;

use base::Base;

/// Something about an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// Which check found it.
    pub check: &'static str,
    /// Found against wanted.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A node of this image fails, or lets in somebody whom it should not.
    Problem,
    /// It works, and something will surprise somebody.
    Advice,
}

/// What a check sees, and what it says.
pub struct Examination<'a> {
    tree: &'a Tree,
    base: Base,
    /// What the image says is in it; none where it was never baked.
    inventory: Option<Inventory>,
    /// The cluster's, if it was told.
    api_server: Option<Version>,
    check: &'static str,
    findings: Vec<Finding>,
}

type Check = fn(&mut Examination<'_>);

/// Each idea of what an image should be.
const CHECKS: [(&str, Check); 12] = [
    ("programs", programs::check),
    ("kernel", kernel::check),
    ("services", services::check),
    ("settings", settings::check),
    ("versions", versions::check),
    ("systemd", systemd::check),
    ("network", network::check),
    ("clock", clock::check),
    ("swap", swap::check),
    ("hardware", hardware::check),
    ("remains", remains::check),
    ("base", base::check),
];

/// Everything that is to be said about the image: problems first.
pub fn examine(tree: &Tree, api_server: Option<Version>) -> Vec<Finding> {
    let mut examination = Examination {
        tree,
        base: Base::of(tree),
        inventory: None,
        api_server,
        check: "bake",
        findings: Vec::new(),
    };
    match Inventory::read(tree) {
        Ok(Some(inventory)) => examination.inventory = Some(inventory),
        Ok(None) => examination.problem(
            "the image was never baked: there is no /etc/windlass/image.json",
            "run `windlass bake bake.toml`",
        ),
        Err(error) => examination.problem(format!("{error:#}"), "run `windlass bake bake.toml`"),
    }
    if tree.place(super::staging::FOLDER).exists() {
        let message = format!("a bake was interrupted: {} is there", super::staging::FOLDER);
        examination.problem(message, "run `windlass bake bake.toml` again");
    }
    for (name, check) in CHECKS {
        examination.check = name;
        check(&mut examination);
    }
    examination.findings.sort_by_key(|finding| finding.severity);
    examination.findings
}

impl Examination<'_> {
    /// A node of this image would fail, and what to do.
    fn problem(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.find(Severity::Problem, message.into(), hint.into());
    }

    /// It would work, but.
    fn advise(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.find(Severity::Advice, message.into(), hint.into());
    }

    fn find(&mut self, severity: Severity, message: String, hint: String) {
        self.findings.push(Finding { severity, check: self.check, message, hint: Some(hint) });
    }

    /// A file's text; empty where there is none that can be read as text.
    fn text(&self, path: &str) -> String {
        self.tree.read_text(path).ok().flatten().unwrap_or_default()
    }

    fn exists(&self, path: &str) -> bool {
        self.tree.path(path).exists()
    }

    /// Whether systemd would find a program by this name (systemd.exec(5), `$PATH`).
    fn has_program(&self, name: &str) -> bool {
        const FOLDERS: [&str; 6] =
            ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
        FOLDERS.iter().any(|folder| self.tree.path(format!("{folder}/{name}")).is_file())
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let severity = match self.severity {
            Severity::Problem => "problem",
            Severity::Advice => "advice",
        };
        write!(f, "{severity:<8} {:<9} {}", self.check, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n{:18} hint: {hint}", ""),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
