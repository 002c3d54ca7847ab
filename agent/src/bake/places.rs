//! Where programs go that everybody knows by their names.

use std::path::{Path, PathBuf};

use crate::plan::CREDENTIAL_PROVIDER_DIR;

/// Where `containerd.service` and `kubelet.service` start theirs from.
pub const PROGRAMS: &str = "/usr/local/bin";

/// Where containerd's base configuration looks for plugins.
pub const PLUGINS: &str = "/opt/cni/bin";

/// The conventional place of a program, if it has one.
pub fn of(name: &str) -> Option<PathBuf> {
    let folder = match name {
        "kubelet"
        | "kubectl"
        | "containerd"
        | "ctr"
        | "containerd-shim-runc-v2"
        | "runc"
        | "crictl"
        | "windlass" => PROGRAMS,
        "bandwidth" | "bridge" | "dhcp" | "dummy" | "firewall" | "host-device" | "host-local"
        | "ipvlan" | "loopback" | "macvlan" | "portmap" | "ptp" | "sbr" | "static" | "tap"
        | "tuning" | "vlan" | "vrf" => PLUGINS,
        "ecr-credential-provider" => CREDENTIAL_PROVIDER_DIR,
        _ => return None,
    };
    Some(Path::new(folder).join(name))
}

/// Whether a file lies where programs conventionally go.
pub fn is_in_one(path: &Path) -> bool {
    let folders = [PROGRAMS, PLUGINS, CREDENTIAL_PROVIDER_DIR].map(Path::new);
    path.parent().is_some_and(|parent| folders.contains(&parent))
}
