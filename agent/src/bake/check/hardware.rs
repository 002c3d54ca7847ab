//! What an instance's hardware needs of the image: GPUs the runtime, disks the programs that make them
//! one and give them a file system.

use super::super::gpu;
use super::Examination;
use crate::plan::image::{NVIDIA_FRAGMENT, NVIDIA_RUNTIME};

/// Programs for groups that say something under `[storage]`, each with its package.
const STORAGE: [(&str, &str); 2] = [("blkid", "util-linux"), ("mdadm", "mdadm")];

/// One of them makes file systems; what names them comes with it.
const MKFS: [&str; 2] = ["mkfs.xfs", "mkfs.ext4"];

pub(super) fn check(examination: &mut Examination<'_>) {
    check_gpu(examination);
    for (program, package) in STORAGE {
        if !examination.has_program(program) {
            let what = match program {
                "mdadm" => {
                    "no group can say `storage.instance_store = \"raid0\"` for several disks"
                }
                _ => "no group can say anything under [storage]",
            };
            let message = format!("the program `{program}` is missing: {what}");
            let hint = examination.base.install(package);
            examination.advise(message, hint);
        }
    }
    if !MKFS.iter().any(|program| examination.has_program(program)) {
        let message = "there is neither `mkfs.xfs` nor `mkfs.ext4`: no group can say anything under \
                       [storage]";
        let hint = examination.base.install("e2fsprogs");
        examination.advise(message, hint);
    }
}

fn check_gpu(examination: &mut Examination<'_>) {
    let wanted = gpu::fragment(examination.tree);
    let found = examination.tree.read_text(NVIDIA_FRAGMENT).ok().flatten();
    if found == wanted {
        return;
    }
    let message = match (wanted, found) {
        (Some(_), None) => {
            format!(
                "the image has {NVIDIA_RUNTIME}, and containerd is not told: no {NVIDIA_FRAGMENT}"
            )
        }
        (Some(_), Some(_)) => format!("{NVIDIA_FRAGMENT} is not as it was baked"),
        (None, _) => {
            format!("{NVIDIA_FRAGMENT} tells containerd of {NVIDIA_RUNTIME}, which the image lacks")
        }
    };
    examination
        .problem(message, "bake again, after the package nvidia-container-toolkit is as wanted");
}
