//! What must be in the image, since a boot installs nothing: said before kubelet starts, where
//! otherwise pods would wait for ever for a network.

use super::HostPlan;

/// nftables' program.
pub const NFT: &str = "nft";

/// The runtime of NVIDIA's toolkit, and the fragment of containerd's configuration by which a bake tells of it.
pub const NVIDIA_RUNTIME: &str = "nvidia-container-runtime";
pub const NVIDIA_FRAGMENT: &str = "/etc/containerd/conf.d/50-windlass-nvidia.toml";

/// The reference plugins that the CNI configuration names, and nftables' program. kubelet,
/// containerd and systemd fail by themselves, in units of their own.
pub const PROGRAMS: [&str; 4] =
    ["/opt/cni/bin/bridge", "/opt/cni/bin/host-local", "/opt/cni/bin/portmap", NFT];

pub(super) fn plan(plan: &mut HostPlan) {
    plan.programs.extend(PROGRAMS);
}
