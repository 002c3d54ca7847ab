//! containerd's second runtime, by which containers see NVIDIA's GPUs: a fragment of its configuration
//! where NVIDIA's toolkit is in the image, and none where it is not.
//!
//! Source: "Installing the NVIDIA Container Toolkit", containerd (NVIDIA); "CRI Plugin Config Guide"
//! (containerd 2).

use toml::{Table, Value, toml};

use super::tree::Tree;
use crate::plan::image::NVIDIA_RUNTIME;

/// Where packages, and parts of bake.toml, put the runtime.
const FOLDERS: [&str; 2] = ["/usr/bin", "/usr/local/bin"];

/// The contents of [`NVIDIA_FRAGMENT`](crate::plan::image::NVIDIA_FRAGMENT) that the image should have; none without the runtime.
pub fn fragment(tree: &Tree) -> Option<String> {
    let places = FOLDERS.map(|folder| format!("{folder}/{NVIDIA_RUNTIME}"));
    let program = places.into_iter().find(|path| tree.path(path).is_file())?;
    let mut fragment = base();
    let runtime = &mut fragment["plugins"]["io.containerd.cri.v1.runtime"];
    runtime["containerd"]["runtimes"]["nvidia"]["options"]["BinaryName"] = Value::String(program);
    Some(format!("# Written by `windlass bake`: the image has NVIDIA's toolkit.\n{fragment}"))
}

/// As the base configuration has `runc`; containerd lays fragments over it, table by table.
fn base() -> Table {
    toml! {
        version = 3

        [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.nvidia]
        runtime_type = "io.containerd.runc.v2"

        [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.nvidia.options]
        BinaryName = ""
        SystemdCgroup = true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::{bare, write};
    use super::*;

    #[test]
    fn the_fragment_names_the_runtime_where_it_is() {
        let (_scratch, tree) = bare("gpu-fragment");
        assert_eq!(fragment(&tree), None);
        write(&tree.root().join("usr/bin/nvidia-container-runtime"), b"a program");
        let text = fragment(&tree).expect("a fragment");
        let read: Table = text.parse().expect("TOML");
        let runtimes = &read["plugins"]["io.containerd.cri.v1.runtime"]["containerd"]["runtimes"];
        let wanted = toml! {
            runtime_type = "io.containerd.runc.v2"
            [options]
            BinaryName = "/usr/bin/nvidia-container-runtime"
            SystemdCgroup = true
        };
        assert_eq!(runtimes["nvidia"], Value::Table(wanted), "{text}");
        assert_eq!(read["version"].as_integer(), Some(3));
    }
}
