//! Packer makes a disk of another by the templates and the script that make AMIs, in an emulated
//! machine; and an instance of the region that has this disk becomes a node.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use integration::lab::artifacts::{self, Artifacts, Cache, file_digest};
use integration::lab::cli::product;
use integration::lab::progress::Progress;
use integration::lab::vm::Base;
use serde_json::Value;

use crate::packer::{Templates, said};
use crate::vm_scene::{Machine, up};

/// What a build leaves in this folder, beside the disk.
const REPORT: &str = "windlass-vm-image.json";
const BILL: &str = "windlass-vm-image.spdx.json";
const MANIFEST: &str = "windlass-manifest.json";

#[test]
#[ignore = "a machine that is provisioned and one that boots in an emulated processor: once a day, `cargo test --workspace --test it -- --ignored packer_build`"]
fn packer_builds_a_disk_whose_machine_becomes_a_node() {
    let cache = Arc::new(Cache::open().unwrap());
    let progress = Progress::new();
    let artifacts = artifacts::ensure(&cache, &progress).unwrap();
    let base = Base::ensure(&cache, &progress).unwrap();
    let program = product::released().unwrap();
    let folder = cache.root().join("tmp/packer-build");
    let _ = fs::remove_dir_all(&folder);
    let templates = Templates::copied(folder).older();

    let began = Instant::now();
    let disk = build(&templates, &artifacts, &base, &program);
    let size = fs::metadata(&disk).unwrap().len();
    eprintln!("built in {} s: {size} bytes", began.elapsed().as_secs());

    let digest = file_digest(&program).unwrap();
    let manifest = json(&templates.folder.join(MANIFEST));
    assert_eq!(manifest["builds"][0]["custom_data"]["program_sha256"], digest.as_str());
    let report = json(&templates.folder.join(REPORT));
    assert_eq!(report["kubelet_version"], artifacts.kubernetes_version.as_str());
    let parts = report["parts"].as_array().unwrap();
    let windlass = parts.iter().find(|part| part["name"] == "windlass").unwrap();
    assert_eq!(windlass["sha256"], digest.as_str());
    assert!(json(&templates.folder.join(BILL))["packages"].is_array());

    let began = Instant::now();
    becomes_a_node(&disk, &report);
    eprintln!("booted, Ready and gone in {} s", began.elapsed().as_secs());
}

/// Returns the disk that it made.
fn build(templates: &Templates, artifacts: &Artifacts, base: &Base, program: &Path) -> PathBuf {
    let beside = templates.folder.join("bake");
    fs::create_dir_all(&beside).unwrap();
    crate::bake_debian::describe(&beside, artifacts);
    let (program_file, digest) = (program.display().to_string(), file_digest(program).unwrap());
    let shown = |path: &Path| path.display().to_string();
    let qemu = shown(&base.programs.join("qemu-system-x86_64"));
    let variables = [
        ("bake", "bake/bake.toml"),
        ("windlass_amd64", &program_file),
        ("windlass_amd64_sha256", &digest),
        ("disk", &shown(&base.disk)),
        ("ssh_key", &shown(&base.key)),
        ("firmware", &shown(&base.firmware)),
        ("qemu", &qemu),
    ];
    let mut packer = templates.packer(&["build", "-only=qemu.vm"], &variables);
    // Packer looks for qemu-img by itself.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(base.programs.clone()).chain(std::env::split_paths(&path));
    packer.env("PATH", std::env::join_paths(path).unwrap());
    packer.env("PACKER_CACHE_DIR", templates.folder.join("cache"));
    let built = packer.output().unwrap();
    let said = said(&built);
    eprintln!("{said}");
    assert!(built.status.success());
    let version = &artifacts.kubernetes_version;
    templates.folder.join("windlass-vm").join(format!("windlass-{version}.qcow2"))
}

/// By firmware, as one of EC2's does; with what `report` says in it.
fn becomes_a_node(disk: &Path, report: &Value) {
    let lab = up("packer", &["--vm-disk", &disk.display().to_string()]);
    let machine = Machine::launch(&lab, &["--firmware"]);
    machine.ready_after(None);
    machine.runs_a_pod();
    let found: Value = serde_json::from_str(&machine.sh("cat /etc/windlass/image.json")).unwrap();
    assert_eq!(&found, report);
    let failed = machine.sh("systemctl list-units --failed --plain --no-legend");
    assert_eq!(failed, "");
    // The builder's ways in are gone, and what it was is not what this machine is.
    assert_eq!(machine.sh("ls /root/.ssh/authorized_keys 2> /dev/null || true"), "");
    let times = "stat --format %Y /etc/windlass/image.json /etc/ssh/ssh_host_ed25519_key";
    let times: Vec<u64> = machine.sh(times).lines().map(|line| line.parse().unwrap()).collect();
    assert!(times[0] < times[1], "its host key is older than its image: {times:?}");
    machine.terminate();
    lab.ok(&["down"]);
    assert_eq!(lab.traces(), Vec::<String>::new());
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}
