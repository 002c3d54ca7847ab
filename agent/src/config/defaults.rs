//! What holds where the operator says nothing: all of it, in one place.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::{
    Boot, Drain, Kubelet, MaxPods, NodeNames, OnRebalance, ReservedFormula, Role, Treatment,
    WhenRefused,
};

pub(super) const NODE_NAMES: NodeNames = NodeNames::InstanceId;

/// As kube-controller-manager's `--node-cidr-mask-size-ipv4`.
pub(super) const NODE_MASK_IPV4: u8 = 24;

/// As kube-controller-manager's `--node-cidr-mask-size-ipv6`.
pub(super) const NODE_MASK_IPV6: u8 = 64;

pub(super) const DOMAIN: &str = "cluster.local";

/// The tenth address of each service CIDR, where kubeadm and kops put the DNS service.
pub(super) fn dns(services: &[IpNet]) -> Vec<IpAddr> {
    services.iter().filter_map(|cidr| cidr.hosts().nth(tenth(cidr))).collect()
}

/// `hosts()` leaves out the network's own address of IPv4, but not of IPv6.
fn tenth(cidr: &IpNet) -> usize {
    match cidr {
        IpNet::V4(_) => 9,
        IpNet::V6(_) => 10,
    }
}

/// Source: "Amazon VPC quotas", "Routes per route table".
pub(super) const ROUTES_PER_TABLE: u32 = 500;

pub(super) const ADMISSION_WINDOW: Duration = Duration::from_secs(15 * 60);

pub(super) const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(24 * 3600);

pub(super) const ROLE: Role = Role::Worker;

impl Default for Kubelet {
    /// 110 pods, since Windlass' pod network takes no addresses from ENIs; EKS' formula reserves
    /// less memory than GKE's and follows the number of pods.
    fn default() -> Self {
        let reserved = ReservedFormula::Eks;
        Self { max_pods: MaxPods::Gke, reserved, overrides: BTreeMap::new() }
    }
}

impl Default for Boot {
    /// A node is Ready within seconds; ten minutes later it never will be.
    fn default() -> Self {
        Self { deadline: Duration::from_secs(600) }
    }
}

/// The least that Auto Scaling takes for a hook: heartbeats that keep such a hook keep any.
pub(super) const TERMINATION_TIMEOUT: Duration = Duration::from_secs(30);

impl Default for Drain {
    /// A disruption budget is somebody's promise: it is broken only where the operator says so. A
    /// quarter of an hour is what kops gives a node. Load balancers of AWS stop sending within
    /// seconds of a deregistration, and a controller must hear of the label first.
    fn default() -> Self {
        Self {
            when_refused: WhenRefused::Wait,
            deadline: Duration::from_secs(15 * 60),
            deregistration_delay: Duration::from_secs(30),
            on_rebalance: OnRebalance::Cordon,
            bare_pods: Treatment::Evict,
            local_data: Treatment::Evict,
        }
    }
}
