//! What a group wants of its machines: kernel settings, huge pages, swap, GPUs; and what kubelet remembers
//! of an earlier policy.

use std::path::PathBuf;

use serde_json::Value;

use crate::config::{Gpu, NodeConfig, Swap};
use crate::facts::Facts;

use super::HostPlan;
use super::image::{NVIDIA_FRAGMENT, NVIDIA_RUNTIME};

/// Where kubelet keeps what it assigned by a policy, and the field of its configuration that names the
/// policy ("Changing the CPU Manager Policy", "Memory Manager" in the Kubernetes documentation).
const STATES: [(&str, &str); 2] = [
    ("/var/lib/kubelet/cpu_manager_state", "cpuManagerPolicy"),
    ("/var/lib/kubelet/memory_manager_state", "memoryManagerPolicy"),
];

pub(super) fn plan(plan: &mut HostPlan, facts: &Facts, config: &NodeConfig) {
    let host = &config.host;
    // A container has its own network, but its host's kernel for the rest.
    let own = |name: &str| !facts.host.container || name.starts_with("net.");
    let settings = host.sysctls.iter().filter(|(name, _)| own(name));
    plan.sysctls.extend(settings.map(|(name, value)| (name.clone(), value.clone())));
    if !facts.host.container {
        plan.hugepages.extend(&host.hugepages);
        let overrides = &config.kubelet.overrides;
        let kubelet_takes_it = overrides.get("failSwapOn") == Some(&Value::Bool(false));
        plan.swap_off = host.swap == Swap::Off && !kubelet_takes_it;
    }
    if host.gpu == Gpu::Nvidia {
        plan.programs.extend([NVIDIA_RUNTIME, NVIDIA_FRAGMENT]);
    }
    for (file, field) in STATES {
        let policy = config.kubelet.overrides.get(field).and_then(Value::as_str);
        plan.kubelet_states.insert(PathBuf::from(file), policy.map(str::to_owned));
    }
}
