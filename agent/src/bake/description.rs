//! `bake.toml`: what goes into an image.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::reading;
use crate::config::raw;
use crate::config::userdata::Sha256Hex;
use crate::config::{Problem, Problems};

/// What the file is called in messages.
const DOCUMENT: &str = "bake.toml";

/// The whole file.
#[derive(Clone, Debug)]
pub struct Description {
    /// The version of the kubelet in the image, `v1.37.2`.
    pub kubernetes: String,
    pub containerd: Containerd,
    pub binaries: Vec<Binary>,
    pub archives: Vec<Archive>,
    pub images: Vec<Image>,
}

/// How containerd's configuration differs from what it would be.
#[derive(Clone, Debug, Default)]
pub struct Containerd {
    /// The image of the pods' sandbox; it must be in the image, or every boot pulls it.
    pub sandbox: Option<String>,
    /// Laid over the configuration, table by table.
    pub overrides: toml::Table,
}

/// Something to be had from somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub from: Origin,
    /// What the contents must hash to; always there for a URL.
    pub sha256: Option<Sha256Hex>,
    /// How long the contents must be; always there for a URL.
    pub size_bytes: Option<u64>,
    pub version: Option<String>,
    /// An SPDX licence expression.
    pub licence: Option<String>,
}

/// Where contents come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File(PathBuf),
    /// `https://…` or `http://…`: the digest makes the contents trustworthy, not the way.
    Url(String),
}

/// One program.
#[derive(Clone, Debug)]
pub struct Binary {
    pub part: Part,
    /// Where it goes.
    pub to: PathBuf,
}

/// A tar archive, gzipped or not, of which programs are taken.
#[derive(Clone, Debug)]
pub struct Archive {
    pub part: Part,
    pub members: Members,
}

/// What is taken out of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Members {
    /// Each file whose name everybody knows, to its conventional place.
    Known,
    /// Those named, each to where it is said to go.
    Listed(BTreeMap<String, PathBuf>),
}

impl Members {
    /// Those named, if any are.
    pub fn listed(&self) -> Option<&BTreeMap<String, PathBuf>> {
        match self {
            Self::Known => None,
            Self::Listed(members) => Some(members),
        }
    }
}

/// An archive of container images, as `ctr images import` reads it.
#[derive(Clone, Debug)]
pub struct Image {
    pub part: Part,
}

impl Description {
    /// Reads the file; relative paths in it count from its folder.
    ///
    /// # Errors
    ///
    /// [`Problems`], all of them, when it is not as wanted.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self::parse(&text, path.parent().unwrap_or(Path::new("")))?)
    }

    /// Reads the text; relative paths in it count from `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Problems> {
        let description =
            raw::document(DOCUMENT, text, |section| reading::description(section, folder))?;
        let mut problems = Problems::of(DOCUMENT);
        description.contradictions().into_iter().for_each(|problem| problems.add(problem));
        problems.unless_any(Some(description))
    }

    /// All that is to be had, whatever it is.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        let binaries = self.binaries.iter().map(|binary| &binary.part);
        let archives = self.archives.iter().map(|archive| &archive.part);
        binaries.chain(archives).chain(self.images.iter().map(|image| &image.part))
    }

    fn contradictions(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut taken: HashMap<&Path, &str> = HashMap::new();
        let listed = self.archives.iter().filter_map(|archive| match &archive.members {
            Members::Listed(members) => Some((archive, members)),
            Members::Known => None,
        });
        let members = listed
            .flat_map(|(archive, members)| members.values().map(|to| (&archive.part.name, to)));
        let binaries = self.binaries.iter().map(|binary| (&binary.part.name, &binary.to));
        for (name, to) in binaries.chain(members) {
            if let Some(first) = taken.insert(to, name) {
                problems.push(two_versions(to, first, name));
            }
        }
        let kubelet = self.binaries.iter().find(|binary| binary.part.name == "kubelet");
        if let Some(version) = kubelet.and_then(|binary| binary.part.version.as_ref())
            && *version != self.kubernetes
        {
            let message =
                format!("is `{}`, but the kubelet is said to be `{version}`", self.kubernetes);
            problems.push(Problem::new("kubernetes", message));
        }
        problems
    }
}

/// What is wrong when a path would be two parts'.
fn two_versions(to: &Path, first: &str, second: &str) -> Problem {
    let message = format!("would be `{first}` and `{second}`: two versions of one program");
    Problem::new(to.display().to_string(), message).hint("leave one out, or give it another `to`")
}

// === impl Origin ===

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        Description::parse(text, Path::new("/build")).expect_err("problems").to_string()
    }

    #[test]
    fn what_is_not_said_is_conventional() {
        let text = "kubernetes = \"v1.37.2\"\n[[binary]]\nname = \"kubelet\"\nfrom = \"kubelet\"\n";
        let description = Description::parse(text, Path::new("/build")).expect("right");
        let [binary] = &description.binaries[..] else { panic!("{description:?}") };
        assert_eq!(binary.to, Path::new("/usr/local/bin/kubelet"));
        assert_eq!(binary.part.from, Origin::File("/build/kubelet".into()));
        assert_eq!(binary.part.version.as_deref(), Some("v1.37.2"));
    }

    /// The example of the documentation is one that works.
    #[test]
    fn the_documented_description_is_right() {
        let page = include_str!("../../../docs/image.md");
        let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
        let example = example.expect("an example");
        let description = Description::parse(example, Path::new("/build")).expect("right");
        let names: Vec<_> = description.parts().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["kubelet", "runc", "containerd", "cni-plugins", "pause"]);
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once_with_its_line() {
        let text = "kubernets = \"v1.37.2\"\n\
                    [[binary]]\n\
                    name = \"kublet\"\n\
                    from = \"kubelet\"\n\
                    [[archive]]\n\
                    name = \"cni\"\n\
                    from = \"https://cni.example/cni.tgz\"\n\
                    size = 12\n\
                    members = { \"bridge\" = \"opt/cni/bin/bridge\" }\n\
                    [[image]]\n\
                    name = \"pause\"\n\
                    from = \"pause.tar\"\n\
                    sha256 = \"abc\"\n\
                    licence = \"Apache 2.0; or so\"\n";
        assert_eq!(
            problems(text),
            "bake.toml, line 1: `kubernets` is not a known key\n  hint: did you mean `kubernetes`?\n\
             bake.toml, line 3: `binary[0].name` is `kublet`, which has no conventional place\n  \
             hint: say where it goes: to = \"/usr/local/bin/kublet\"\n\
             bake.toml, line 7: `archive[0].from` is https://cni.example/cni.tgz, a URL without a `sha256`\n  \
             hint: an image must not depend on what a server says that day\n\
             bake.toml, line 9: `archive[0].members.bridge` is `opt/cni/bin/bridge`, wanted an absolute path without `..`\n\
             bake.toml, line 13: `image[0].sha256` is `abc`, wanted a SHA-256, 64 lowercase hexadecimal digits\n\
             bake.toml, line 14: `image[0].licence` is `Apache 2.0; or so`, wanted an SPDX licence expression, such as \"Apache-2.0\""
        );
    }

    #[test]
    fn two_versions_of_one_program_are_refused() {
        let text = "kubernetes = \"v1.37.2\"\n\
                    [[binary]]\nname = \"runc\"\nfrom = \"runc-1.4\"\n\
                    [[binary]]\nname = \"runc-new\"\nfrom = \"runc-1.5\"\nto = \"/usr/local/bin/runc\"\n\
                    [[binary]]\nname = \"kubelet\"\nfrom = \"kubelet\"\nversion = \"v1.36.0\"\n";
        assert_eq!(
            problems(text),
            "bake.toml: `/usr/local/bin/runc` would be `runc` and `runc-new`: two versions of one program\n  \
             hint: leave one out, or give it another `to`\n\
             bake.toml: `kubernetes` is `v1.37.2`, but the kubelet is said to be `v1.36.0`"
        );
    }

    #[test]
    fn overrides_of_containerd_are_tables_as_they_are_written() {
        let text =
            "kubernetes = \"v1.37.2\"\n[containerd.overrides.debug]\nlevel = \"debug\"\nuid = 7\n";
        let description = Description::parse(text, Path::new("")).expect("right");
        let debug = &description.containerd.overrides["debug"];
        assert_eq!((debug["level"].as_str(), debug["uid"].as_integer()), (Some("debug"), Some(7)));
    }

    #[test]
    fn a_path_or_a_scheme_that_could_mean_something_else_is_refused() {
        for to in ["/usr/../etc/passwd", "bin/runc", "/usr//bin/runc", "/usr/bin/"] {
            let text = format!(
                "kubernetes = \"v1\"\n[[binary]]\nname = \"a\"\nfrom = \"a\"\nto = \"{to}\"\n"
            );
            assert!(problems(&text).contains("wanted an absolute path without `..`"), "{to}");
        }
        let text = "kubernetes = \"v1\"\n[[binary]]\nname = \"runc\"\nfrom = \"ftp://a/runc\"\n";
        assert!(problems(text).contains("is a URL of `ftp`, wanted https or http"));
    }
}
