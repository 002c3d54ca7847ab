//! systemd and what it makes of control groups; nftables' program.

use super::{Examination, Version};

/// The first that delegates the cpuset controller: "cgroup v2" in runc's documentation.
const SYSTEMD: u32 = 244;

/// The first that lists a table as windlass compares it, and that kube-proxy's nftables mode takes.
const NFT: Version = Version(1, 0, 0);

/// Where the kernel's command line is written down, before a boot.
const COMMAND_LINES: [&str; 4] =
    ["/etc/default/grub", "/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/etc/kernel/cmdline"];

pub(super) fn check(examination: &mut Examination<'_>) {
    match systemd(examination) {
        None => examination.problem(
            "which systemd the image has cannot be told: it has no libsystemd-shared",
            "windlass' services need systemd as the image's init",
        ),
        Some(version) if version < SYSTEMD => examination.problem(
            format!("systemd is {version}, wanted at least {SYSTEMD}"),
            "take a later release of the distribution",
        ),
        Some(_) => {}
    }
    check_cgroups(examination);
    check_nft(examination);
}

/// By the name of its library, which is the same in every distribution:
/// `libsystemd-shared-252.so`, `libsystemd-shared-252.16-1.amzn2023.so`.
fn systemd(examination: &Examination<'_>) -> Option<u32> {
    let tree = examination.tree;
    let mut folders = vec!["/usr/lib/systemd".to_owned(), "/usr/lib64/systemd".to_owned()];
    let multiarch = tree.list("/usr/lib").into_iter().filter(|name| name.ends_with("-linux-gnu"));
    folders.extend(multiarch.map(|name| format!("/usr/lib/{name}/systemd")));
    let names = folders.iter().flat_map(|folder| tree.list(folder));
    let versions = names.filter_map(|name| {
        let rest = name.strip_prefix("libsystemd-shared-")?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse::<u32>().ok()
    });
    versions.max()
}

/// kubelet no longer starts on control groups of version 1, unless it is told to.
fn check_cgroups(examination: &mut Examination<'_>) {
    let entries = examination.tree.list("/boot/loader/entries").into_iter();
    let entries = entries.map(|name| format!("/boot/loader/entries/{name}"));
    let places: Vec<_> = COMMAND_LINES.map(str::to_owned).into_iter().chain(entries).collect();
    for place in places {
        let text = examination.text(&place);
        let mut lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let old = ["systemd.unified_cgroup_hierarchy=0", "systemd.unified_cgroup_hierarchy=false"];
        if lines.any(|line| old.iter().any(|old| line.contains(old))) {
            let message = format!("{place} asks for control groups of version 1");
            examination.problem(message, "take systemd.unified_cgroup_hierarchy out of it");
        }
    }
}

fn check_nft(examination: &mut Examination<'_>) {
    match nft(examination) {
        Some(version) if version < NFT => {
            let message = format!("nftables is {version}, wanted at least {NFT}");
            examination.problem(message, "take a later release of the distribution");
        }
        Some(_) => {}
        None if !examination.has_program("nft") => {}
        None => examination.advise(
            "which nftables the image has cannot be told",
            format!("wanted at least {NFT}: look with `nft --version` in the image"),
        ),
    }
}

/// By dpkg's database. rpm's is no text: there the program is asked, on the machine itself only,
/// since a check runs nothing out of a tree that somebody mounted.
fn nft(examination: &Examination<'_>) -> Option<Version> {
    let status = examination.text("/var/lib/dpkg/status");
    let packages = status.split("\n\n");
    let ours = packages.filter(|package| package.lines().next() == Some("Package: nftables"));
    let version = ours.flat_map(str::lines).find_map(|line| line.strip_prefix("Version: "));
    // An epoch, as in `1:1.0.6-2`, is no part of it.
    let version = version.map(|version| version.split_once(':').map_or(version, |(_, rest)| rest));
    if let Some(version) = version {
        return version.parse().ok();
    }
    if !examination.tree.is_this_machine() {
        return None;
    }
    let output = std::process::Command::new("nft").arg("--version").output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| said.split_whitespace().find_map(|word| word.parse().ok()))?
}
