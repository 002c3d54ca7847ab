//! Programs: there, the ones that were baked, and for this machine.

use super::super::digest;
use super::super::elf::Program;
use super::super::places::{PLUGINS, PROGRAMS};
use super::super::plan::{MODE, is_program};
use super::Examination;
use crate::plan::image::NFT;

/// What units of ours start, or what those start.
const OURS: [&str; 5] = ["windlass", "kubelet", "containerd", "containerd-shim-runc-v2", "runc"];

/// The plugins that the planned CNI configuration names.
const CNI: [&str; 4] = ["bridge", "host-local", "loopback", "portmap"];

/// Programs of the base that kubelet, its volumes and kube-proxy call, each with its package on
/// Debian and on Amazon Linux.
const BASE: [(&str, &str); 5] = [
    (NFT, "nftables"),
    ("mount", "mount"),
    ("findmnt", "util-linux"),
    ("modprobe", "kmod"),
    ("conntrack", "conntrack"),
];

pub(super) fn check(examination: &mut Examination<'_>) {
    let ours = OURS.iter().map(|name| format!("{PROGRAMS}/{name}"));
    let plugins = CNI.iter().map(|name| format!("{PLUGINS}/{name}"));
    for path in ours.chain(plugins) {
        if !examination.exists(&path) {
            let hint = "name it in bake.toml, as a [[binary]] or as part of an [[archive]]";
            examination.problem(format!("{path} is missing"), hint);
        }
    }
    for (program, package) in BASE {
        if !examination.has_program(program) {
            let package = match program {
                "conntrack" if examination.base == super::Base::AmazonLinux2023 => {
                    "conntrack-tools"
                }
                _ => package,
            };
            let hint = examination.base.install(package);
            examination.problem(format!("the program `{program}` is missing"), hint);
        }
    }
    let architecture = examination.tree.architecture;
    let folders = [PROGRAMS, PLUGINS, crate::plan::CREDENTIAL_PROVIDER_DIR];
    for folder in folders {
        for name in examination.tree.list(folder) {
            let path = format!("{folder}/{name}");
            let found = Program::of(&examination.tree.path(&path));
            if let Ok(found @ (Program::Native(_) | Program::Foreign(_))) = found
                && !found.runs_on(architecture)
            {
                let message = format!("{path} is {found}, wanted one for {architecture}");
                examination.problem(message, "take its release for the image's architecture");
            }
        }
    }
    check_digests(examination);
    check_pause(examination);
}

/// A program that somebody replaced after the bake is not what image.json and the SBOM say.
fn check_digests(examination: &mut Examination<'_>) {
    let Some(inventory) = examination.inventory.clone() else { return };
    for (path, wanted) in inventory.files() {
        let found = digest::of_file(&examination.tree.path(path));
        let message = match found {
            Ok(found) if found.sha256 == *wanted && is_program(examination.tree, path) => continue,
            Ok(found) if found.sha256 == *wanted => {
                format!("{} is no file of the mode {MODE:o}, as it was baked", path.display())
            }
            Ok(_) => format!("{} is not what was baked", path.display()),
            Err(error) => format!("{} cannot be read: {error}", path.display()),
        };
        examination.problem(message, "bake again, so that image.json says what is there");
    }
    if inventory.architecture != examination.tree.architecture.to_string() {
        let message = format!(
            "image.json says {}, the programs are for {}",
            inventory.architecture, examination.tree.architecture
        );
        examination.problem(message, "bake again");
    }
}

/// Without the sandbox's image in the store every boot waits for a registry.
fn check_pause(examination: &mut Examination<'_>) {
    let text = examination.text(super::super::containerd::PLACE);
    // What is wrong with the file itself is found with the other settings.
    let Ok(configuration) = text.parse::<toml::Table>() else { return };
    let pinned = |table: &toml::Table| {
        let images = table.get("plugins")?.get("io.containerd.cri.v1.images")?;
        Some(images.get("pinned_images")?.get("sandbox")?.as_str()?.to_owned())
    };
    let Some(sandbox) = pinned(&configuration) else { return };
    let Some(inventory) = &examination.inventory else { return };
    let digest = inventory.images.get(&sandbox);
    if !digest.is_some_and(|digest| super::super::store::has(examination.tree, digest)) {
        let message = format!("the pods' sandbox image `{sandbox}` is not in containerd's store");
        let hint = "every first pod would pull it: add its archive as an [[image]]";
        examination.problem(message, hint);
    }
}
