//! containerd's base configuration, the same on every node. What a group adds (registry mirrors)
//! comes at boot into folders that containerd looks into by itself.
//!
//! Source: "CRI Plugin Config Guide" (containerd 2), configuration version 3.

use toml::{Table, Value, toml};

use super::description::Containerd;

/// Where containerd looks for it by itself.
pub const PLACE: &str = "/etc/containerd/config.toml";

/// What Kubernetes 1.37 itself would take; pinned, so that no boot pulls another one.
const SANDBOX: &str = "registry.k8s.io/pause:3.10.1";

/// The image of the pods' sandbox.
pub fn sandbox(differences: &Containerd) -> &str {
    differences.sandbox.as_deref().unwrap_or(SANDBOX)
}

/// The contents of [`PLACE`].
pub fn configuration(differences: &Containerd) -> String {
    let sandbox = sandbox(differences);
    let mut configuration = base();
    let images = &mut configuration["plugins"]["io.containerd.cri.v1.images"];
    images["pinned_images"]["sandbox"] = sandbox.into();
    overlay(&mut configuration, differences.overrides.clone());
    configuration.to_string()
}

/// systemd manages the cgroups of a product node, so runc must go through it; kubelet's
/// `cgroupDriver` is planned to agree. Mirrors are read from `certs.d` at each pull, without a
/// restart. A layer that was unpacked is not kept packed as well: a third of an image's disk.
fn base() -> Table {
    toml! {
        version = 3
        imports = ["/etc/containerd/conf.d/*.toml"]

        [plugins."io.containerd.cri.v1.images"]
        discard_unpacked_layers = true

        [plugins."io.containerd.cri.v1.images".registry]
        config_path = "/etc/containerd/certs.d"

        [plugins."io.containerd.cri.v1.images".pinned_images]
        sandbox = ""

        [plugins."io.containerd.cri.v1.runtime".cni]
        bin_dirs = ["/opt/cni/bin"]
        conf_dir = "/etc/cni/net.d"

        [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
        runtime_type = "io.containerd.runc.v2"

        [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        SystemdCgroup = true
    }
}

/// Tables are merged, anything else is replaced.
fn overlay(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_changes_what_it_names_and_nothing_else() {
        let overrides = toml! {
            [plugins."io.containerd.cri.v1.runtime"]
            restrict_oom_score_adj = true
            [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
            SystemdCgroup = false
        };
        let differences = Containerd { sandbox: Some("local.test/pause:1".to_owned()), overrides };
        let found: Table = configuration(&differences).parse().expect("TOML");
        let mut wanted = base();
        let plugins = wanted["plugins"].as_table_mut().expect("a table");
        let runtime = plugins["io.containerd.cri.v1.runtime"].as_table_mut().expect("a table");
        runtime.insert("restrict_oom_score_adj".to_owned(), true.into());
        runtime["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] = false.into();
        plugins["io.containerd.cri.v1.images"]["pinned_images"]["sandbox"] =
            "local.test/pause:1".into();
        assert_eq!(found, wanted);
    }
}
