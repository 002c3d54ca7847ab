//! Takes out of an image what must not be in one, by the [rules](super::rules). A bake does it last,
//! `bake --check` looks by the same rules.

use std::fs::{self, Metadata};
use std::io::ErrorKind::{NotADirectory, NotFound};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::rules::What::{Empty, Files, FilesBelow, Gone, Holding};
use super::rules::{RULES, Rule};
use super::tree::Tree;
use crate::converge::Changes;

/// What holds a secret is shorter.
const LIMIT_BYTES: u64 = 64 * 1024;

/// What a file has that holds one: a key of any kind in PEM, of AWS, of a kubeconfig.
const SECRETS: [&[u8]; 3] = [b"PRIVATE KEY-----", b"aws_secret_access_key", b"client-key-data"];

/// What an image has that a rule says it must not have: paths of the image.
///
/// # Errors
///
/// A folder or a file cannot be read: what is in it may be just that.
pub fn left(tree: &Tree, rule: &Rule) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    match rule.what {
        Gone(patterns) => {
            for pattern in patterns {
                found.extend(matching(tree, pattern)?);
            }
        }
        Empty(paths) => {
            let full = |path: &&str| {
                let metadata = fs::metadata(tree.path(path));
                metadata.is_ok_and(|metadata| metadata.len() > 0)
            };
            found.extend(paths.iter().filter(|path| full(path)).map(PathBuf::from));
        }
        FilesBelow(folders) => {
            for folder in folders {
                files_below(tree, Path::new(folder), &mut found)?;
            }
        }
        Holding(patterns) => {
            for pattern in patterns {
                for path in matching(tree, pattern)? {
                    if holds_secret(tree, &path)? {
                        found.push(path);
                    }
                }
            }
        }
        Files(paths) => {
            let is_file = |path: &PathBuf| {
                fs::symlink_metadata(tree.place(path)).is_ok_and(|metadata| metadata.is_file())
            };
            found.extend(paths.iter().map(PathBuf::from).filter(is_file));
        }
    }
    Ok(found)
}

/// Whether a file of the image, and no link, has a key in it.
pub fn holds_secret(tree: &Tree, path: &Path) -> anyhow::Result<bool> {
    let place = tree.place(path);
    let small = fs::symlink_metadata(&place)
        .is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LIMIT_BYTES);
    if !small {
        return Ok(false);
    }
    let contents = fs::read(&place).with_context(|| format!("reading {}", place.display()))?;
    let has = |words: &[u8]| contents.windows(words.len()).any(|window| window == words);
    Ok(SECRETS.into_iter().any(has))
}

/// # Errors
///
/// A file system is mounted at or below what would be removed: the volumes of pods that run here. Or it
/// cannot be told what would be.
pub fn ensure_possible(tree: &Tree) -> anyhow::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo");
    let mounts = mounts.context("what is mounted is not known\nhint: mount /proc")?;
    // proc(5): the fifth field is the mount point.
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let points: Vec<&Path> = points.map(Path::new).collect();
    for rule in &RULES {
        for path in left(tree, rule)? {
            let place = tree.place(&path);
            if let Some(point) = points.iter().find(|point| point.starts_with(&place)) {
                bail!(
                    "{} would be removed, and {} is mounted there\nhint: is this machine a node in \
                     use? `--keep-identity` removes nothing",
                    place.display(),
                    point.display()
                );
            }
        }
    }
    Ok(())
}

/// Applies all rules.
pub fn seal(tree: &Tree) -> anyhow::Result<Changes> {
    let mut changes = Changes::default();
    for rule in &RULES {
        if let Empty(paths) = rule.what {
            for path in paths.iter().filter(|path| !tree.path(path).exists()) {
                let place = tree.path(path);
                fs::write(&place, "").with_context(|| format!("making {}", place.display()))?;
                changes.0.push(format!("made {path}, empty"));
            }
        }
        for path in left(tree, rule)? {
            let place = tree.place(&path);
            let done = match rule.what {
                // Whoever looks whether this is a first boot wants it there.
                Empty(_) => fs::write(tree.path(&path), ""),
                _ if place.is_dir() && !place.is_symlink() => fs::remove_dir_all(&place),
                _ => fs::remove_file(&place),
            };
            done.with_context(|| format!("removing {}, since {}", place.display(), rule.why))?;
            changes.0.push(format!("removed {}", path.display()));
        }
    }
    Ok(changes)
}

/// Paths of the image that a pattern stands for.
fn matching(tree: &Tree, pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::from("/")];
    for wanted in pattern.split('/').skip(1) {
        let mut deeper = Vec::new();
        for folder in found {
            match wanted.split_once('*') {
                None => deeper.push(folder.join(wanted)),
                Some((before, after)) => {
                    let fits = |name: &String| {
                        name.len() >= before.len() + after.len()
                            && name.starts_with(before)
                            && name.ends_with(after)
                    };
                    let names = tree.names(&folder)?.into_iter().filter(fits);
                    deeper.extend(names.map(|name| folder.join(name)));
                }
            }
        }
        found = deeper;
    }
    let mut there = Vec::new();
    for path in found {
        if metadata(tree, &path)?.is_some() {
            there.push(path);
        }
    }
    Ok(there)
}

/// Every file and link below a folder of the image; links are not followed.
fn files_below(tree: &Tree, folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if tree.place(folder).is_symlink() {
        return Ok(());
    }
    for name in tree.names(folder)? {
        let path = folder.join(name);
        match metadata(tree, &path)? {
            Some(metadata) if metadata.is_dir() => files_below(tree, &path, found)?,
            Some(_) => found.push(path),
            None => {}
        }
    }
    Ok(())
}

/// Of a file, or of a link itself; none where nothing is. What cannot be looked at is not taken for absent.
pub(super) fn metadata(tree: &Tree, path: &Path) -> anyhow::Result<Option<Metadata>> {
    match fs::symlink_metadata(tree.place(path)) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if [NotFound, NotADirectory].contains(&error.kind()) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("looking at {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::tree::tests::{bare, write};
    use super::*;

    /// One file that each rule is about, as Debian, Ubuntu and Amazon Linux have them.
    const LEFT: [&str; 30] = [
        "/etc/ssh/ssh_host_ed25519_key",
        "/etc/ssh/ssh_host_ed25519_key.pub",
        "/root/.ssh/authorized_keys",
        "/home/ec2-user/.ssh/authorized_keys",
        "/home/ubuntu/.ssh/id_ed25519",
        "/root/.aws/credentials",
        "/home/ubuntu/.docker/config.json",
        "/home/ubuntu/.netrc",
        "/root/.git-credentials",
        "/home/admin/.kube/config",
        "/home/admin/.ssh/deploy",
        "/etc/kubernetes/super-admin.conf",
        "/etc/kubernetes/other.conf",
        "/var/lib/dbus/machine-id",
        "/var/lib/windlass/node.key",
        "/var/lib/kubelet/pki/kubelet-client-current.pem",
        "/etc/kubernetes/kubelet.kubeconfig",
        "/etc/machine-id",
        "/var/lib/systemd/random-seed",
        "/var/lib/systemd/credential.secret",
        "/var/lib/cloud/instances/i-1/user-data.txt",
        "/var/lib/dhcp/dhclient.ens5.leases",
        "/var/lib/NetworkManager/internal-1-ens5.lease",
        "/var/log/journal/0123456789abcdef/system.journal",
        "/var/log/cloud-init.log",
        "/var/log/apt/history.log",
        "/root/.bash_history",
        "/home/admin/.python_history",
        "/var/lib/apt/lists/deb.debian.org_dists_bookworm_InRelease",
        "/var/cache/dnf/amazonlinux-1/repodata.xml",
    ];

    #[test]
    fn what_must_not_be_in_an_image_is_gone_and_all_else_stays() {
        let (_scratch, tree) = bare("seal");
        for path in LEFT {
            let contents: &[u8] = match path {
                "/home/admin/.ssh/deploy" => b"-----BEGIN OPENSSH PRIVATE KEY-----\n",
                "/etc/kubernetes/other.conf" => b"users:\n- user:\n    client-key-data: LS0=\n",
                _ => b"left",
            };
            write(&tree.root().join(&path[1..]), contents);
        }
        let stay = [
            "/etc/ssh/sshd_config",
            "/etc/kubernetes/manifests/extra.yaml",
            "/root/.bashrc",
            "/home/admin/.ssh/config",
            "/home/admin/.kube/cache",
            "/etc/kubernetes/resolv.conf",
            "/var/lib/systemd/timers",
        ];
        for path in stay {
            write(&tree.root().join(&path[1..]), b"stays");
        }
        let every = RULES.iter().filter(|rule| left(&tree, rule).expect("read").is_empty());
        let unused: Vec<_> = every.map(|rule| rule.why).collect();
        assert_eq!(unused, ["what containerd calls this machine"], "rules without a file here");

        seal(&tree).expect("sealed");
        for path in LEFT {
            let there = tree.place(path);
            assert_eq!(there.exists(), path == "/etc/machine-id", "{path}");
        }
        assert_eq!(fs::read(tree.path("/etc/machine-id")).expect("there"), b"");
        for path in stay {
            assert_eq!(fs::read(tree.path(path)).expect("there"), b"stays");
        }
        for folder in ["/var/log/apt", "/var/log/journal", "/var/lib/apt/lists", "/var/lib/cloud"] {
            assert!(tree.path(folder).is_dir(), "{folder} itself stays");
        }
        assert!(seal(&tree).expect("sealed").is_empty());
    }

    #[test]
    fn a_link_is_removed_and_not_what_it_leads_to() {
        let (_scratch, tree) = bare("seal-links");
        write(&tree.root().join("etc/machine-id"), b"");
        write(&tree.root().join("data/keys"), b"keys");
        write(&tree.root().join("data/log"), b"log");
        fs::create_dir_all(tree.root().join("root/.ssh")).expect("a folder");
        fs::create_dir_all(tree.root().join("var/log")).expect("a folder");
        let link = |target: &str, at: &str| symlink(target, tree.root().join(at)).expect("a link");
        link("/data/keys", "root/.ssh/authorized_keys");
        link("/data", "var/log/elsewhere");
        fs::create_dir_all(tree.root().join("var/lib/dbus")).expect("a folder");
        link("/etc/machine-id", "var/lib/dbus/machine-id");
        seal(&tree).expect("sealed");
        assert!(!tree.place("/root/.ssh/authorized_keys").is_symlink());
        assert!(!tree.place("/var/log/elsewhere").is_symlink());
        assert!(tree.place("/var/lib/dbus/machine-id").is_symlink());
        assert_eq!(fs::read(tree.path("/data/keys")).expect("there"), b"keys");
        assert_eq!(fs::read(tree.path("/data/log")).expect("there"), b"log");
    }

    #[test]
    fn a_folder_that_cannot_be_read_may_hold_anything() {
        let (_scratch, tree) = bare("seal-unread");
        // A link to itself: nobody gets to the end of it.
        symlink("home", tree.root().join("home")).expect("a link");
        let error = ensure_possible(&tree).expect_err("unread");
        assert!(format!("{error:#}").contains("home: Too many levels of"), "{error:#}");
        seal(&tree).expect_err("unread");
    }
}
