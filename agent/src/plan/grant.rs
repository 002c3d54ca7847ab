//! Whether a grant says what this node's configuration allows. Its certificate and key are looked
//! at where they are installed.

use crate::config::{NodeConfig, Problem, Problems};
use crate::exchange::Grant;

use super::PlannedNode;

pub(super) fn fits(grant: &Grant, node: &PlannedNode, config: &NodeConfig) -> Result<(), Problems> {
    let mut problems = Problems::of("grant");
    let mut wrong = |key: &str, message| problems.add(Problem::new(key, message));
    if grant.node != node.name {
        wrong("node", format!("is `{}`, wanted `{}`", grant.node, node.name));
    }
    if grant.group != config.group {
        wrong("group", format!("is `{}`, wanted `{}`", grant.group, config.group));
    }
    for pods in &config.network.pods {
        let same_family = |cidr: &&_| ipnet::IpNet::max_prefix_len(cidr) == pods.max_prefix_len();
        let leased: Vec<_> = grant.pod_cidrs.iter().filter(same_family).collect();
        match leased[..] {
            [cidr] if pods.contains(cidr) && cidr.trunc() == *cidr => {}
            [cidr] => wrong("pod_cidrs", format!("has `{cidr}`, wanted a part of `{pods}`")),
            _ => {
                let count = leased.len();
                wrong(
                    "pod_cidrs",
                    format!("has {count} CIDRs, wanted one that is part of `{pods}`"),
                );
            }
        }
    }
    if grant.pod_cidrs.len() > config.network.pods.len() {
        let found = grant.pod_cidrs.len();
        let wanted = config.network.pods.len();
        wrong("pod_cidrs", format!("has {found} CIDRs, wanted {wanted}"));
    }
    problems.unless_any(Some(()))
}
