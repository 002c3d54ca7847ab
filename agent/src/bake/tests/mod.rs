//! Bakes small trees. The programs in them are ELF headers with words behind.

mod architectures;
mod archives;
mod downloads;
mod server;
mod whole;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::elf::tests::program;
use super::tree::tests::{bare, write};
use super::*;
use crate::converge::files::tests::Scratch;
use crate::pki::sha256_hex;

const HASTE: Patience = Patience { tries: 3, pause: Duration::from_millis(1) };

/// A tree to bake into and a folder beside it with `bake.toml` in the making.
struct Bench {
    _scratch: Scratch,
    tree: Tree,
    beside: PathBuf,
    text: String,
}

impl Bench {
    fn new(name: &str) -> Self {
        Self::of(name, Architecture::Amd64)
    }

    fn of(name: &str, architecture: Architecture) -> Self {
        let (scratch, tree) = bare(name);
        write(&tree.path("/usr/bin/env"), &program(architecture, "env"));
        let tree = Tree::open(tree.root(), None).expect("a tree");
        let beside = tree.root().with_file_name("beside");
        fs::create_dir_all(&beside).expect("a folder");
        let text = "kubernetes = \"v1.37.2\"\n".to_owned();
        let bench = Self { _scratch: scratch, tree, beside, text };
        // Not this test program itself, which is large.
        bench.with_file("windlass", &program(architecture, "windlass"))
    }

    fn with_file(mut self, name: &str, contents: &[u8]) -> Self {
        write(&self.beside.join(name), contents);
        let _ = write!(self.text, "[[binary]]\nname = \"{name}\"\nfrom = \"{name}\"\n");
        self
    }

    fn with_url(mut self, name: &str, url: &str, contents: &[u8]) -> Self {
        let (sha256, size) = (sha256_hex(contents), contents.len());
        let _ = write!(
            self.text,
            "[[binary]]\nname = \"{name}\"\nfrom = \"{url}\"\nsha256 = \"{sha256}\"\nsize = {size}\n"
        );
        self
    }

    fn with(mut self, text: &str) -> Self {
        self.text += text;
        self
    }

    async fn bake(&self) -> anyhow::Result<Changes> {
        let description = Description::parse(&self.text, &self.beside).expect("right");
        let options = Options { patience: HASTE, keep_identity: false };
        bake(&self.tree, &description, &options).await
    }

    /// Everything in the image but what waits in the staging folder.
    fn everything(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        gather(self.tree.root(), &mut found);
        found.retain(|path, _| !path.starts_with(self.tree.place(staging::FOLDER)));
        found
    }

    fn program(&self, path: &str) -> Vec<u8> {
        fs::read(self.tree.path(path)).expect("a program")
    }
}

fn gather(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let metadata = fs::symlink_metadata(&path).expect("there");
        let kind = metadata.file_type();
        assert!(!kind.is_socket() && !kind.is_fifo(), "{}", path.display());
        let what = match () {
            () if kind.is_symlink() => format!("{:?}", fs::read_link(&path).expect("a link")),
            () if kind.is_dir() => "a folder".to_owned(),
            () => sha256_hex(&fs::read(&path).expect("a file")),
        };
        let mode = metadata.permissions().mode();
        found.insert(path.clone(), format!("{mode:o} {what}"));
        if kind.is_dir() {
            gather(&path, found);
        }
    }
}

fn native(words: &str) -> Vec<u8> {
    program(Architecture::Amd64, words)
}
