//! How many pods a node takes, and what is kept from them for the system.

use ipnet::IpNet;

use crate::config::{MaxPods, Network, NodeConfig, Problem, Problems, ReservedFormula};
use crate::facts::Facts;
use crate::facts::instance_types::{self, InstanceType};

/// What kubelet is told about the node's capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capacity {
    pub max_pods: u32,
    pub reserved: Option<Reserved>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reserved {
    pub cpu_millis: u32,
    pub memory_mib: u64,
}

/// The capacity of this instance with pod CIDRs of these sizes.
pub(super) fn of(
    facts: &Facts,
    config: &NodeConfig,
    ranges: &[PodRange],
) -> Result<Capacity, Problems> {
    let known = instance_types::find(&facts.instance.instance_type);
    let wanted = match config.kubelet.max_pods {
        MaxPods::Eks => eks_max_pods(known.ok_or_else(|| unknown_type(facts))?),
        MaxPods::Gke => 110,
        MaxPods::Fixed(number) => number,
    };
    let room = ranges.iter().map(PodRange::pods).min().unwrap_or(u32::MAX);
    let max_pods = wanted.min(room);
    let (cpus, memory_mib) = machine(facts, known);
    let reserved = match config.kubelet.reserved {
        ReservedFormula::None => None,
        ReservedFormula::Eks => {
            let memory_mib = eks_memory_mib(max_pods, memory_mib);
            Some(Reserved { cpu_millis: cpu_millis(cpus), memory_mib })
        }
        ReservedFormula::Gke => {
            let memory_mib = gke_memory_mib(memory_mib);
            Some(Reserved { cpu_millis: cpu_millis(cpus), memory_mib })
        }
    };
    Ok(Capacity { max_pods, reserved })
}

/// CPUs and MiB that pods and system share: what the type has, or less where the machine says so
/// (hyperthreads switched off, memory that firmware keeps). For a type that is not in the table
/// the machine alone is asked.
fn machine(facts: &Facts, known: Option<InstanceType>) -> (u32, u64) {
    let (cpus, memory_mib) = (facts.host.cpus, facts.host.memory_bytes >> 20);
    match known {
        Some(known) => (cpus.min(known.vcpus), memory_mib.min(known.memory_mib)),
        None => (cpus, memory_mib),
    }
}

fn unknown_type(facts: &Facts) -> Problems {
    let name = &facts.instance.instance_type;
    let message = format!(
        "is `eks`, but `{name}` is not in windlass' table of instance types, so its ENIs are not \
         known"
    );
    let nearest = match instance_types::nearest(name)[..] {
        [] => String::new(),
        ref names => format!(" (known are {}, …)", names.join(", ")),
    };
    let hint = format!("set a number, or `gke` for 110{nearest}");
    let mut problems = Problems::of("configuration");
    problems.add(Problem::new("kubelet.max_pods", message).hint(hint));
    problems
}

/// Each ENI gives all its addresses but its own to pods; two pods more use the host's network.
///
/// Source: "Amazon VPC CNI: maximum Pods for each Amazon EC2 instance type" and the limits on it
/// in "Choose an optimal Amazon EC2 node instance type" (Amazon EKS User Guide).
fn eks_max_pods(instance_type: InstanceType) -> u32 {
    let limit = if instance_type.vcpus < 30 { 110 } else { 250 };
    let addresses = instance_type.enis * instance_type.ipv4_per_eni.saturating_sub(1);
    (addresses + 2).min(limit)
}

/// 6 % of the first CPU, 1 % of the second, 0.5 % of the next two, 0.25 % of the others: GKE's
/// formula, which EKS took over.
///
/// Source: "Plan GKE Standard node sizes", memory and CPU reservations (GKE documentation); kubelet
/// configuration of nodeadm (amazon-eks-ami).
fn cpu_millis(cpus: u32) -> u32 {
    let millis = u64::from(cpus) * 1000;
    let of = |part, ten_thousandths| part * ten_thousandths / 10_000;
    let bands = [(1000, 600), (1000, 100), (2000, 50), (u64::MAX, 25)];
    u32::try_from(in_bands(millis, &bands, of)).unwrap_or(u32::MAX)
}

/// 255 MiB and 11 MiB for each pod that the node could take, and at most half of what there is: 110
/// pods are more than a machine of 1 GiB has memory for, and a kubelet that is to reserve more than it
/// has does not start.
///
/// Source: kubelet configuration of nodeadm (amazon-eks-ami), whose numbers of pods fit the types.
fn eks_memory_mib(max_pods: u32, memory_mib: u64) -> u64 {
    (255 + 11 * u64::from(max_pods)).min(memory_mib / 2)
}

/// 255 MiB below 1 GiB; else 25 % of the first 4 GiB, 20 % of the next 4, 10 % of the next 8, 6 %
/// of the next 112 and 2 % of the rest.
///
/// Source: "Plan GKE Standard node sizes", memory and CPU reservations (GKE documentation).
fn gke_memory_mib(memory_mib: u64) -> u64 {
    if memory_mib < 1024 {
        return 255;
    }
    let of = |part, percent| part * percent / 100;
    let bands = [(4 << 10, 25), (4 << 10, 20), (8 << 10, 10), (112 << 10, 6), (u64::MAX, 2)];
    in_bands(memory_mib, &bands, of)
}

/// The sum of what is taken from each band of `total`, from the lowest up.
fn in_bands(total: u64, bands: &[(u64, u64)], of: impl Fn(u64, u64) -> u64) -> u64 {
    let mut left = total;
    let mut sum = 0;
    for &(width, rate) in bands {
        let part = left.min(width);
        sum += of(part, rate);
        left -= part;
    }
    sum
}

/// How large a pod CIDR is: all that counts before one is leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PodRange {
    host_bits: u8,
    broadcast: bool,
}

impl PodRange {
    /// The sizes that the configuration says leases have.
    pub fn configured(network: &Network) -> Vec<Self> {
        let range = |pods: &IpNet| match pods {
            IpNet::V4(_) => Self { host_bits: 32 - network.node_mask_ipv4, broadcast: true },
            IpNet::V6(_) => Self { host_bits: 128 - network.node_mask_ipv6, broadcast: false },
        };
        network.pods.iter().map(range).collect()
    }

    /// The sizes of leases.
    pub fn leased(cidrs: &[IpNet]) -> Vec<Self> {
        let range = |cidr: &IpNet| Self {
            host_bits: cidr.max_prefix_len() - cidr.prefix_len(),
            broadcast: matches!(cidr, IpNet::V4(_)),
        };
        cidrs.iter().map(range).collect()
    }

    /// Addresses for pods: without the network's own, the bridge's, and IPv4's broadcast address.
    fn pods(&self) -> u32 {
        let taken = if self.broadcast { 3 } else { 2 };
        1u32.checked_shl(self.host_bits.into()).map_or(u32::MAX, |all| all.saturating_sub(taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eks(name: &str) -> u32 {
        eks_max_pods(instance_types::find(name).expect("a type of the table"))
    }

    #[test]
    fn max_pods_are_those_that_eks_lists() {
        assert_eq!(eks("t3.nano"), 4);
        assert_eq!(eks("t3.medium"), 17);
        assert_eq!(eks("m5.large"), 29);
        assert_eq!(eks("m5.xlarge"), 58);
        // 234 by its ENIs.
        assert_eq!(eks("m5.4xlarge"), 110);
        assert_eq!(eks("c5.9xlarge"), 234);
        // 737 by its ENIs.
        assert_eq!(eks("m5.24xlarge"), 250);
    }

    #[test]
    fn cpu_is_reserved_in_bands() {
        let wanted = [(1, 60), (2, 70), (4, 80), (8, 90), (16, 110), (96, 310)];
        for (cpus, millis) in wanted {
            assert_eq!(cpu_millis(cpus), millis, "{cpus} CPUs");
        }
    }

    #[test]
    fn memory_is_reserved_as_published() {
        assert_eq!(eks_memory_mib(29, 8192), 574);
        assert_eq!(eks_memory_mib(110, 8192), 1465);
        assert_eq!(eks_memory_mib(110, 1475), 737);
        let gib = |gib: u64| gke_memory_mib(gib << 10);
        assert_eq!(gke_memory_mib(614), 255);
        assert_eq!(gib(1), 256);
        assert_eq!(gib(4), 1024);
        assert_eq!(gib(8), 1843);
        assert_eq!(gib(16), 2662);
        assert_eq!(gib(128), 9543);
        assert_eq!(gib(256), 12164);
    }

    #[test]
    fn a_pod_cidr_bounds_the_pods() {
        let room = |cidr: &str| PodRange::leased(&[cidr.parse().expect("a CIDR")])[0].pods();
        assert_eq!(room("10.64.0.0/24"), 253);
        assert_eq!(room("10.64.0.0/28"), 13);
        assert_eq!(room("fd00::/112"), 65_534);
        assert_eq!(room("fd00::/64"), u32::MAX);
        assert_eq!(room("10.64.0.0/32"), 0);
    }
}
