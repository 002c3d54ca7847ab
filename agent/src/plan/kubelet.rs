//! kubelet: its configuration, what has no field there, how it reaches the API server.
//!
//! Source: "Kubelet Configuration (v1beta1)", "kubelet" (Kubernetes reference). What is left out
//! here is as kubelet has it by itself.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::config::{self, NodeConfig, Problems, Role, Swap};
use crate::facts::{CgroupVersion, Facts};

use super::capacity::{self, Capacity, PodRange};
use super::{CLIENT_CERTIFICATE, CREDENTIAL_PROVIDER_DIR, HostPlan, PlannedNode, Unit, pretty};

const CONFIGURATION: &str = "/etc/kubernetes/kubelet.yaml";
const ENVIRONMENT: &str = "/etc/kubernetes/kubelet.env";
const KUBECONFIG: &str = "/etc/kubernetes/kubelet.kubeconfig";
const AUTHORITIES: &str = "/etc/kubernetes/pki/ca.crt";
const CREDENTIAL_PROVIDERS: &str = "/etc/kubernetes/credential-providers.yaml";
const STATIC_PODS: &str = "/etc/kubernetes/manifests";
/// Where systemd-resolved lists the servers that it asks itself; with its own address a pod (CoreDNS
/// first of all) would ask itself.
const REAL_RESOLVERS: &str = "/run/systemd/resolve/resolv.conf";

/// All that kubelet reads when it starts, for pod CIDRs of these sizes.
pub(super) fn plan(
    plan: &mut HostPlan,
    facts: &Facts,
    config: &NodeConfig,
    node: &PlannedNode,
    ranges: &[PodRange],
) -> Result<(), Problems> {
    let capacity = capacity::of(facts, config, ranges)?;
    let mut configuration = configuration(facts, config, node, capacity);
    let overrides = config.kubelet.overrides.clone().into_iter().collect();
    config::merge(&mut configuration, Value::Object(overrides));
    plan.write(CONFIGURATION, 0o644, pretty(&configuration));
    plan.write(ENVIRONMENT, 0o644, environment(facts, config, node));
    plan.write(KUBECONFIG, 0o600, pretty(&kubeconfig(config, node)));
    plan.write(AUTHORITIES, 0o644, config.api.certificate_authorities.clone());
    if facts.image.credential_provider {
        plan.write(CREDENTIAL_PROVIDERS, 0o644, pretty(&credential_providers()));
    }
    Ok(())
}

/// The units that may start when there is a grant.
pub(super) fn start(plan: &mut HostPlan, config: &NodeConfig) {
    let read_at_start = [CONFIGURATION, ENVIRONMENT, KUBECONFIG, AUTHORITIES, CREDENTIAL_PROVIDERS];
    let restarted_by: BTreeSet<_> = read_at_start
        .into_iter()
        .map(PathBuf::from)
        .filter(|path| plan.file(path).is_some())
        .collect();
    plan.units.push(Unit { name: "kubelet.service".to_owned(), restarted_by });
    if config.node.role == Role::ControlPlane {
        plan.start("windlass-admit.service");
    }
}

fn configuration(
    facts: &Facts,
    config: &NodeConfig,
    node: &PlannedNode,
    capacity: Capacity,
) -> Value {
    let mut configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "providerID": node.provider_id,
        "clusterDNS": config.network.dns,
        "clusterDomain": config.network.domain,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": cgroup_driver(facts),
        "maxPods": capacity.max_pods,
        // Several images at once: one that is large does not hold up the others.
        "serializeImagePulls": false,
        // The sysctls that kubelet needs are planned; one that is missing is said, not overwritten.
        "protectKernelDefaults": true,
        "rotateCertificates": true,
        "serverTLSBootstrap": true,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": AUTHORITIES },
        },
        "authorization": { "mode": "Webhook" },
        // systemd holds a shutdown back for so long; what drained before needs none of it.
        "shutdownGracePeriod": "30s",
        "shutdownGracePeriodCriticalPods": "10s",
    });
    for (field, value) in eviction() {
        configuration[field] = value;
    }
    if let Some(reserved) = capacity.reserved {
        configuration["kubeReserved"] = json!({
            "cpu": format!("{}m", reserved.cpu_millis),
            "memory": format!("{}Mi", reserved.memory_mib),
            "ephemeral-storage": "1Gi",
        });
    }
    if !node.taints.is_empty() {
        configuration["registerWithTaints"] = json!(node.taints);
    }
    if config.host.swap == Swap::Limited {
        // "Swap memory management" (Kubernetes).
        configuration["failSwapOn"] = json!(false);
        configuration["memorySwap"] = json!({ "swapBehavior": "LimitedSwap" });
    }
    if config.node.role == Role::ControlPlane {
        configuration["staticPodPath"] = json!(STATIC_PODS);
    }
    if facts.host.stub_resolver {
        configuration["resolvConf"] = json!(REAL_RESOLVERS);
    }
    if node_ips(facts, config).first().is_some_and(IpAddr::is_ipv6) {
        configuration["address"] = json!("::");
    }
    configuration
}

/// The hard thresholds are kubelet's own, written down because naming one drops the others. The
/// soft ones come before them and leave pods the time to end.
fn eviction() -> [(&'static str, Value); 4] {
    let hard = json!({
        "memory.available": "100Mi",
        "nodefs.available": "10%",
        "nodefs.inodesFree": "5%",
        "imagefs.available": "15%",
        "imagefs.inodesFree": "5%",
    });
    [
        ("evictionHard", hard),
        ("evictionSoft", json!({ "memory.available": "200Mi", "nodefs.available": "12%" })),
        ("evictionSoftGracePeriod", json!({ "memory.available": "90s", "nodefs.available": "2m" })),
        ("evictionMaxPodGracePeriod", json!(60)),
    ]
}

/// On cgroup v2 systemd owns the tree and two owners would fight; container hosts with v1 are those
/// where systemd does not.
fn cgroup_driver(facts: &Facts) -> &'static str {
    match facts.host.cgroup {
        CgroupVersion::V2 => "systemd",
        CgroupVersion::V1 => "cgroupfs",
    }
}

/// Flags that have no field in the configuration.
fn environment(facts: &Facts, config: &NodeConfig, node: &PlannedNode) -> String {
    let addresses: Vec<_> =
        node_ips(facts, config).iter().map(|address| address.to_string()).collect();
    let labels: Vec<_> = node.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut flags = vec![
        format!("--hostname-override={}", node.name),
        format!("--node-ip={}", addresses.join(",")),
        format!("--node-labels={}", labels.join(",")),
    ];
    if facts.image.credential_provider {
        flags.push(format!("--image-credential-provider-bin-dir={CREDENTIAL_PROVIDER_DIR}"));
        flags.push(format!("--image-credential-provider-config={CREDENTIAL_PROVIDERS}"));
    }
    format!("KUBELET_ARGS=\"{}\"\n", flags.join(" "))
}

/// The node's addresses of the pods' families, in the pods' order.
fn node_ips(facts: &Facts, config: &NodeConfig) -> Vec<IpAddr> {
    let instance = &facts.instance;
    let address = |pods: &IpNet| match pods {
        IpNet::V4(_) => Some(instance.private_ip),
        IpNet::V6(_) => instance.ipv6.map(IpAddr::from),
    };
    config.network.pods.iter().filter_map(address).collect()
}

fn kubeconfig(config: &NodeConfig, node: &PlannedNode) -> Value {
    let (cluster, user) = (&config.cluster.name, format!("system:node:{}", node.name));
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": cluster,
            "cluster": { "server": config.api.endpoint, "certificate-authority": AUTHORITIES },
        }],
        "users": [{
            "name": user,
            "user": {
                "client-certificate": CLIENT_CERTIFICATE,
                "client-key": CLIENT_CERTIFICATE,
            },
        }],
        "contexts": [{ "name": cluster, "context": { "cluster": cluster, "user": user } }],
        "current-context": cluster,
    })
}

/// ECR's registries in every partition. Source: "Private registry authentication" and "Making
/// requests over IPv6" (Amazon ECR User Guide); "Configure a kubelet image credential provider".
fn credential_providers() -> Value {
    let registries = [
        "*.dkr.ecr.*.amazonaws.com",
        "*.dkr.ecr.*.amazonaws.com.cn",
        "*.dkr.ecr.*.amazonaws.eu",
        "*.dkr.ecr.*.c2s.ic.gov",
        "*.dkr.ecr.*.cloud.adc-e.uk",
        "*.dkr.ecr.*.sc2s.sgov.gov",
        "*.dkr.ecr-fips.*.amazonaws.com",
        "*.dkr-ecr.*.on.amazonwebservices.com.cn",
        "*.dkr-ecr.*.on.aws",
        "*.dkr-ecr-fips.*.on.aws",
    ];
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1",
        "kind": "CredentialProviderConfig",
        "providers": [{
            "name": "ecr-credential-provider",
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "matchImages": registries,
            // A token of ECR's lives so long.
            "defaultCacheDuration": "12h",
        }],
    })
}
