//! kube-proxy on every node, in nftables mode, the way an image that leaves Services to it would
//! bring it: a unit that is wanted by kubelet's and speaks with kubelet's credential.
//!
//! It begins when `windlass boot` has ended, so that it takes nothing from a boot's time.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

pub const UNIT: &str = "[Unit]
Description=Service proxy
After=windlass-boot.service

[Service]
EnvironmentFile=/etc/kubernetes/kubelet.env
ExecStart=/bin/sh -c 'name=$${KUBELET_ARGS#*--hostname-override=}; \\
  exec /usr/local/bin/kube-proxy --config=/etc/kubernetes/proxy.json --hostname-override=$${name%%%% *}'
Restart=always
RestartSec=1s
";

/// Writes unit and configuration below `root`.
pub fn install(root: &Path) -> Result<()> {
    let units = root.join("etc/systemd/system");
    let wants = units.join("kubelet.service.wants");
    fs::create_dir_all(&wants)?;
    fs::write(units.join("kube-proxy.service"), UNIT)?;
    symlink("../kube-proxy.service", wants.join("kube-proxy.service"))?;
    fs::create_dir_all(root.join("etc/kubernetes"))?;
    let configuration = format!("{:#}\n", configuration());
    Ok(fs::write(root.join("etc/kubernetes/proxy.json"), configuration)?)
}

/// Source: "kube-proxy Configuration (v1alpha1)" (Kubernetes documentation).
pub fn configuration() -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": "/etc/kubernetes/kubelet.kubeconfig"},
        // What comes from this node's pods comes from their bridge.
        "detectLocalMode": "BridgeInterface",
        "detectLocal": {"bridgeInterface": "cni0"},
        // The host's settings are the host's: a container node may not write them.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    })
}

/// What lets kubelets' credential read Services: kube-proxy has none of its own here.
pub fn permission() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "lab:node-proxier"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:node-proxier",
        },
        "subjects": [{
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Group",
            "name": "system:nodes",
        }],
    })
}
