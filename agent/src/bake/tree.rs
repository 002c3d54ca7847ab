//! An image as a folder: where its paths lie for this program, and what it is.
//!
//! An absolute link in a tree means a place in the tree. Whoever follows it as the kernel does is
//! in the builder's own file system, so every path goes through [`Tree::path`].

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail, ensure};

use super::elf::{Architecture, Program};
use crate::host::Machine;

/// path_resolution(7) has the kernel give up after as many.
const LINKS: usize = 40;

/// Which of them says what the image is for.
const TELLTALES: [&str; 3] = ["/usr/bin/env", "/bin/sh", "/usr/lib/systemd/systemd"];

/// The root directory of an image.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
    pub architecture: Architecture,
}

impl Tree {
    /// Looks what the folder is.
    ///
    /// # Errors
    ///
    /// It is no root directory, or its architecture cannot be told.
    pub fn open(root: &Path, stated: Option<Architecture>) -> anyhow::Result<Self> {
        let root = fs::canonicalize(root)
            .with_context(|| format!("the image's root directory {}", root.display()))?;
        ensure!(root.is_dir(), "{} is no folder, wanted an image's root", root.display());
        let tree = Self { root, architecture: Architecture::Amd64 };
        match (tree.found_architecture(), stated) {
            (Some(found), Some(stated)) if found != stated => bail!(
                "{} is an image for {found}, wanted one for {stated}\nhint: leave `--arch` out, or \
                 take the base image for {stated}",
                tree.root.display()
            ),
            (Some(architecture), _) | (None, Some(architecture)) => {
                Ok(Self { architecture, ..tree })
            }
            (None, None) => bail!(
                "{} has none of {}, by which its architecture is told\nhint: is it the root of an \
                 image? `--arch` says it otherwise",
                tree.root.display(),
                TELLTALES.join(", ")
            ),
        }
    }

    fn found_architecture(&self) -> Option<Architecture> {
        TELLTALES.iter().find_map(|path| match Program::of(&self.path(path)) {
            Ok(Program::Native(architecture)) => Some(architecture),
            _ => None,
        })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether this is the running machine's own.
    pub fn is_this_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    /// For what takes a [`Machine`]; its paths must have gone through [`Tree::inner`].
    pub fn machine(&self) -> Machine {
        Machine::folder(&self.root)
    }

    /// Where a path of the image lies for this program, with the links in its folders followed as
    /// in the image; a link at its end is followed too.
    pub fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        self.outer(&self.resolve(absolute.as_ref(), true))
    }

    /// As [`Tree::path`], but a link at the end stays what it is: for what replaces or removes it.
    pub fn place(&self, absolute: impl AsRef<Path>) -> PathBuf {
        self.outer(&self.inner(absolute))
    }

    /// The same place as a path of the image without links in its folders.
    pub fn inner(&self, absolute: impl AsRef<Path>) -> PathBuf {
        self.resolve(absolute.as_ref(), false)
    }

    /// The file's text; `None` where there is none.
    pub fn read_text(&self, absolute: impl AsRef<Path>) -> anyhow::Result<Option<String>> {
        let path = self.path(absolute);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// Names in a folder of the image, sorted; none where there is no such folder.
    ///
    /// # Errors
    ///
    /// There is one, and what is in it cannot be told.
    pub fn names(&self, absolute: impl AsRef<Path>) -> anyhow::Result<Vec<String>> {
        let path = self.path(absolute);
        let entries = fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = match entries {
            Ok(entries) => entries,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Vec::new()
            }
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let names = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.collect();
        names.sort();
        Ok(names)
    }

    /// The same for who looks for what should be there: a folder that cannot be read has nothing.
    pub fn list(&self, absolute: impl AsRef<Path>) -> Vec<String> {
        self.names(absolute).unwrap_or_default()
    }

    fn outer(&self, inner: &Path) -> PathBuf {
        self.root.join(inner.strip_prefix("/").unwrap_or(inner))
    }

    fn resolve(&self, absolute: &Path, last: bool) -> PathBuf {
        let mut resolved = PathBuf::from("/");
        let mut ahead: Vec<OsString> = components(absolute).rev().collect();
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                resolved.pop();
                continue;
            }
            let candidate = resolved.join(&name);
            let followed = !ahead.is_empty() || last;
            match fs::read_link(self.outer(&candidate)) {
                Ok(target) if followed && links < LINKS => {
                    links += 1;
                    if target.is_absolute() {
                        resolved = PathBuf::from("/");
                    }
                    ahead.extend(components(&target).rev());
                }
                _ => resolved = candidate,
            }
        }
        resolved
    }
}

fn components(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

#[cfg(test)]
pub mod tests {
    use std::os::unix::fs::symlink;

    use super::super::elf::tests::program;
    use super::*;
    use crate::converge::files::tests::Scratch;

    /// A tree with nothing in it but what says its architecture.
    pub fn bare(name: &str) -> (Scratch, Tree) {
        let (scratch, machine) = Scratch::new(name);
        write(&machine.path("/tree/usr/bin/env"), &program(Architecture::Amd64, "env"));
        let tree = Tree::open(&machine.path("/tree"), None).expect("a tree");
        (scratch, tree)
    }

    /// A file with its folders.
    pub fn write(path: &Path, contents: &[u8]) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, contents).expect("a file");
    }

    #[test]
    fn an_absolute_link_stays_in_the_tree() {
        let (_scratch, tree) = bare("tree-links");
        let link = |target: &str, at: &str| symlink(target, tree.root.join(at)).expect("a link");
        fs::create_dir_all(tree.root.join("data/plugins")).expect("a folder");
        link("/data", "opt");
        link("../../../etc", "data/out");
        link("plugins", "data/here");
        let below = |path: &str| tree.root.join(path);
        assert_eq!(tree.path("/opt/plugins/bridge"), below("data/plugins/bridge"));
        assert_eq!(tree.path("/opt/out/passwd"), below("etc/passwd"));
        assert_eq!(tree.path("/opt/here"), below("data/plugins"));
        assert_eq!(tree.place("/opt/here"), below("data/here"));
        assert_eq!(tree.path("/opt/../../x"), below("x"));
    }

    #[test]
    fn links_in_a_circle_come_to_an_end() {
        let (_scratch, tree) = bare("tree-circle");
        symlink("/b", tree.root.join("a")).expect("a link");
        symlink("/a", tree.root.join("b")).expect("a link");
        assert!(tree.path("/a/x").starts_with(&tree.root));
    }

    #[test]
    fn what_is_no_image_or_one_of_another_architecture_is_said() {
        let (_scratch, tree) = bare("tree-architecture");
        assert_eq!(tree.architecture, Architecture::Amd64);
        let other = Tree::open(&tree.root, Some(Architecture::Arm64)).expect_err("amd64");
        assert!(other.to_string().contains("is an image for amd64, wanted one for arm64"));
        let empty = tree.root.join("usr");
        let none = Tree::open(&empty, None).expect_err("no image");
        assert!(none.to_string().contains("has none of /usr/bin/env, /bin/sh"), "{none}");
        Tree::open(&empty, Some(Architecture::Arm64)).expect("stated");
    }
}
