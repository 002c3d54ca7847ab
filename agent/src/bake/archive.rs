//! Takes programs out of a tar archive, gzipped or not, into the staging folder.
//!
//! Only what is taken is written, and under names of our own, so no member can write anywhere. An
//! archive that tries is refused all the same, whole: it is not what it says it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail, ensure};
use flate2::read::MultiGzDecoder;
use tar::{Entry, EntryType};

use super::description::Members;
use super::digest::Digested;
use super::elf::Program;
use super::places;
use super::staging::Staging;

/// A member that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Where it goes in the image.
    pub to: PathBuf,
    pub digested: Digested,
}

/// Stages the wanted members of the archive `path`, which is called `name` in messages.
pub fn unpack(
    staging: &Staging,
    name: &str,
    path: &Path,
    members: &Members,
) -> anyhow::Result<Vec<Taken>> {
    let file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
    let file = BufReader::new(file);
    let reader: Box<dyn Read> = match Program::of(path)? {
        Program::Gzip => Box::new(MultiGzDecoder::new(file)),
        Program::Packed(packer) => bail!(
            "the archive `{name}` is packed by {packer}, wanted a tar archive, gzipped or not\n\
             hint: `{packer} -dc ARCHIVE | gzip` makes one, with a digest of its own"
        ),
        _ => Box::new(file),
    };
    let taken = read(staging, name, reader, members);
    let taken = taken.with_context(|| format!("the archive `{name}`"))?;
    ensure_complete(name, &taken, members)?;
    Ok(taken)
}

fn read(
    staging: &Staging,
    name: &str,
    reader: Box<dyn Read>,
    members: &Members,
) -> anyhow::Result<Vec<Taken>> {
    let mut taken: BTreeMap<PathBuf, (String, Digested)> = BTreeMap::new();
    let mut archive = tar::Archive::new(reader);
    let entries = archive.entries().context("is no tar archive")?;
    for entry in entries {
        let mut entry = entry.context("is no tar archive, or a broken one")?;
        let member = harmless(&entry)?;
        let Some(to) = place(&entry, &member, members)? else { continue };
        let staged = staging.take(&format!("member-{name}"), &mut entry)?;
        if let Some((first, _)) = taken.insert(to.clone(), (member.clone(), staged)) {
            bail!("has `{first}` and `{member}` for {}: two versions of one program", to.display());
        }
    }
    Ok(taken.into_iter().map(|(to, (_, digested))| Taken { to, digested }).collect())
}

/// The member's name, without `./` before it.
///
/// # Errors
///
/// The member, or what it links to, lies outside of the folder that the archive is unpacked in, or
/// it is something that no release of a program has.
fn harmless<R: Read>(entry: &Entry<'_, R>) -> anyhow::Result<String> {
    let path = entry.path().context("a member without a name")?.into_owned();
    let shown = path.display();
    let Some(inside) = inside(Path::new(""), &path) else {
        bail!("has the member `{shown}`, which leads out of it");
    };
    let link = entry.link_name().with_context(|| format!("the link `{shown}`"))?;
    match (entry.header().entry_type(), link) {
        (EntryType::Block | EntryType::Char | EntryType::Fifo, _) => {
            bail!("has the member `{shown}`, which is a device")
        }
        (kind @ (EntryType::Symlink | EntryType::Link), Some(target)) => {
            // A hard link names a member, a symbolic one counts from its own folder.
            let from = match kind {
                EntryType::Symlink => inside.parent().unwrap_or(Path::new("")),
                _ => Path::new(""),
            };
            ensure!(
                self::inside(from, &target).is_some(),
                "has the link `{shown}` to `{}`, which leads out of it",
                target.display()
            );
        }
        _ => {}
    }
    Ok(inside.to_string_lossy().into_owned())
}

/// Where a path from the folder `from` leads, if it stays inside.
fn inside(from: &Path, path: &Path) -> Option<PathBuf> {
    let mut at = from.to_owned();
    for component in path.components() {
        match component {
            Component::Normal(name) => at.push(name),
            Component::CurDir => {}
            // Below the top one may go up, but no release's own names do.
            Component::ParentDir if at.pop() => {}
            _ => return None,
        }
    }
    Some(at)
}

/// Where the member goes, if it is wanted.
fn place<R: Read>(
    entry: &Entry<'_, R>,
    member: &str,
    members: &Members,
) -> anyhow::Result<Option<PathBuf>> {
    let kind = entry.header().entry_type();
    let is_file = kind.is_file() || kind == EntryType::Continuous;
    match members {
        Members::Known if !is_file => Ok(None),
        Members::Known => {
            let name = Path::new(member).file_name().unwrap_or_default();
            Ok(places::of(&name.to_string_lossy()))
        }
        Members::Listed(listed) => {
            let to = listed.iter().find(|(wanted, _)| wanted.trim_start_matches("./") == member);
            ensure!(is_file || to.is_none(), "has the member `{member}`, which is no file");
            Ok(to.map(|(_, to)| to.clone()))
        }
    }
}

fn ensure_complete(name: &str, taken: &[Taken], members: &Members) -> anyhow::Result<()> {
    match members {
        Members::Known => ensure!(
            !taken.is_empty(),
            "the archive `{name}` has no program that has a conventional place\nhint: say what to \
             take: members = {{ \"MEMBER\" = \"/usr/local/bin/PROGRAM\" }}"
        ),
        Members::Listed(listed) => {
            let there: BTreeSet<&PathBuf> = taken.iter().map(|taken| &taken.to).collect();
            let missing: Vec<_> = listed.iter().filter(|(_, to)| !there.contains(to)).collect();
            if let Some((member, _)) = missing.first() {
                bail!(
                    "the archive `{name}` has no member `{member}`\nhint: look with `tar --list`"
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, Header};

    use super::super::tree::tests::bare;
    use super::*;

    fn header(name: &str, kind: EntryType, link: Option<&str>, size: u64) -> Header {
        let mut header = Header::new_gnu();
        // Not `set_path`, which refuses what these tests are about.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o755);
        if let Some(link) = link {
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_cksum();
        header
    }

    fn tar(members: &[(&str, EntryType, Option<&str>, &str)]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (name, kind, link, contents) in members {
            let header = header(name, *kind, *link, contents.len() as u64);
            builder.append(&header, contents.as_bytes()).expect("appended");
        }
        builder.into_inner().expect("a tar")
    }

    fn file<'a>(
        name: &'a str,
        contents: &'a str,
    ) -> (&'a str, EntryType, Option<&'a str>, &'a str) {
        (name, EntryType::Regular, None, contents)
    }

    fn unpacked(name: &str, tar: &[u8], members: &Members) -> anyhow::Result<Vec<Taken>> {
        let (_scratch, tree) = bare(name);
        let staging = Staging::open(&tree).expect("ours");
        let path = staging.path("archive");
        std::fs::write(&path, tar).expect("written");
        unpack(&staging, "cni", &path, members)
    }

    fn paths(taken: Vec<Taken>) -> Vec<(String, u64)> {
        taken.iter().map(|one| (one.to.display().to_string(), one.digested.bytes)).collect()
    }

    #[test]
    fn programs_that_everybody_knows_are_taken_and_the_rest_is_left() {
        let archive = tar(&[
            ("./", EntryType::Directory, None, ""),
            file("./bridge", "a bridge"),
            file("./LICENSE", "words"),
            file("deep/down/host-local", "addresses"),
            ("portmap", EntryType::Symlink, Some("bridge"), ""),
        ]);
        let wanted =
            [("/opt/cni/bin/bridge".to_owned(), 8), ("/opt/cni/bin/host-local".to_owned(), 9)];
        assert_eq!(paths(unpacked("tar-known", &archive, &Members::Known).expect("good")), wanted);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&archive).expect("packed");
        let gzip = gzip.finish().expect("packed");
        assert_eq!(paths(unpacked("tar-gz", &gzip, &Members::Known).expect("good")), wanted);
        let cut = unpacked("tar-cut", &gzip[..gzip.len() / 2], &Members::Known);
        cut.expect_err("a broken archive");
    }

    #[test]
    fn an_archive_that_leads_out_is_refused_whole() {
        let evil = [
            (file("../bridge", "x"), "has the member `../bridge`, which leads out of it"),
            (file("a/../../bridge", "x"), "has the member `a/../../bridge`, which leads out of it"),
            (file("/etc/passwd", "x"), "has the member `/etc/passwd`, which leads out of it"),
            (
                ("bin", EntryType::Symlink, Some("/etc"), ""),
                "has the link `bin` to `/etc`, which leads out of it",
            ),
            (
                ("a/bin", EntryType::Symlink, Some("../../etc"), ""),
                "has the link `a/bin` to `../../etc`, which leads out of it",
            ),
            (
                ("passwd", EntryType::Link, Some("../etc/passwd"), ""),
                "has the link `passwd` to `../etc/passwd`, which leads out of it",
            ),
            (("sda", EntryType::Block, None, ""), "has the member `sda`, which is a device"),
        ];
        for (member, said) in evil {
            // What is good about it does not help.
            let archive = tar(&[file("bridge", "a bridge"), member]);
            let error = unpacked("tar-evil", &archive, &Members::Known).expect_err("evil");
            assert_eq!(format!("{error:#}"), format!("the archive `cni`: {said}"));
        }
    }

    #[test]
    fn what_is_listed_must_be_there_as_a_file() {
        let listed = |member: &str| {
            Members::Listed([(member.to_owned(), PathBuf::from("/usr/local/bin/x"))].into())
        };
        let archive = tar(&[
            file("./bin/tool", "a tool"),
            ("link", EntryType::Symlink, Some("bin/tool"), ""),
        ]);
        let taken = unpacked("tar-listed", &archive, &listed("bin/tool")).expect("there");
        assert_eq!(paths(taken), [("/usr/local/bin/x".to_owned(), 6)]);
        let missing = unpacked("tar-missing", &archive, &listed("bin/toll")).expect_err("missing");
        assert!(missing.to_string().starts_with("the archive `cni` has no member `bin/toll`"));
        let link = unpacked("tar-link", &archive, &listed("link")).expect_err("a link");
        assert_eq!(
            format!("{link:#}"),
            "the archive `cni`: has the member `link`, which is no file"
        );
    }

    #[test]
    fn two_members_for_one_place_and_what_is_no_archive_are_refused() {
        let twice = tar(&[file("a/bridge", "one"), file("b/bridge", "two")]);
        let error = unpacked("tar-twice", &twice, &Members::Known).expect_err("two");
        assert!(format!("{error:#}").contains(
            "has `a/bridge` and `b/bridge` for /opt/cni/bin/bridge: two versions of one program"
        ));
        let page = b"<html>not found</html>".repeat(100);
        let error = unpacked("tar-page", &page, &Members::Known).expect_err("no tar");
        assert!(format!("{error:#}").contains("is no tar archive"), "{error:#}");
        let packed = b"\x28\xb5\x2f\xfd\x04\x00".repeat(100);
        let error = unpacked("tar-zstd", &packed, &Members::Known).expect_err("zstd");
        assert_eq!(
            error.to_string(),
            "the archive `cni` is packed by zstd, wanted a tar archive, gzipped or not\nhint: `zstd \
             -dc ARCHIVE | gzip` makes one, with a digest of its own"
        );
        let none = tar(&[file("README", "words")]);
        let error = unpacked("tar-none", &none, &Members::Known).expect_err("nothing");
        assert!(error.to_string().contains("has no program that has a conventional place"));
    }
}
