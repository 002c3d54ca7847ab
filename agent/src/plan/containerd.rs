//! Where containerd finds images: mirrors of registries.
//!
//! containerd reads these files at each pull, so that nothing is restarted.
//! Source: "Registry Configuration - Introduction" (containerd documentation).

use crate::config::NodeConfig;

use super::{HostPlan, Unit};

const REGISTRIES: &str = "/etc/containerd/certs.d";

pub(super) fn plan(plan: &mut HostPlan, config: &NodeConfig) {
    for (registry, mirrors) in &config.registry.mirrors {
        // A colon in a folder's name is what containerd looks for.
        let path = format!("{REGISTRIES}/{registry}/hosts.toml");
        plan.write(path, 0o644, hosts(registry, mirrors));
    }
    let restarted_by = Default::default();
    plan.units.push(Unit { name: "containerd.service".to_owned(), restarted_by });
}

/// The mirrors in their order, then the registry itself.
fn hosts(registry: &str, mirrors: &[String]) -> String {
    let mut text = match registry {
        "_default" => String::new(),
        "docker.io" => "server = \"https://registry-1.docker.io\"\n".to_owned(),
        _ => format!("server = \"https://{registry}\"\n"),
    };
    for mirror in mirrors {
        if !text.is_empty() {
            text.push('\n');
        }
        text += &format!("[host.\"{mirror}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
        // A mirror below a path (a proxy cache of a larger registry) says itself where its API is.
        if has_path(mirror) {
            text += "override_path = true\n";
        }
    }
    text
}

fn has_path(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split_once('/').is_some_and(|(_, path)| !path.is_empty())
}
