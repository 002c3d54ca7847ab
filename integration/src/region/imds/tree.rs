//! The metadata as a tree: Amazon EC2 User Guide, "Instance metadata categories". Leaves are
//! texts by path; a folder lists what begins with its path.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use bytes::Bytes;
use serde_json::json;
use time::OffsetDateTime;

use super::announced::announced;
use super::role::{pretty, seconds, texts};
use super::{Interface, Machine};
use crate::region::state::State;

/// Texts by path, below the version.
#[derive(Debug, Default)]
pub struct Tree(BTreeMap<String, Bytes>);

/// All that this instance may read now.
pub fn tree(
    state: &mut State,
    machine: &Machine,
    now: OffsetDateTime,
    client_now: OffsetDateTime,
) -> Tree {
    let mut tree = Tree::default();
    instance(&mut tree, machine);
    placement(&mut tree, machine, &state.settings.name);
    for interface in &machine.interfaces {
        network_interface(&mut tree, interface);
    }
    if machine.options.instance_tags_enabled {
        machine
            .tags
            .iter()
            .for_each(|(key, value)| tree.meta(&format!("tags/instance/{key}"), value));
    }
    if let Some(role) = texts(state, machine, now, client_now) {
        tree.meta("iam/info", role.info);
        tree.meta(&format!("iam/security-credentials/{}", role.name), role.credentials);
    }
    let as_of = now - state.imds.lag;
    if let Some(target) = state.autoscaling.target_shown(&machine.instance_id, as_of) {
        tree.meta("autoscaling/target-lifecycle-state", target);
    }
    announced(&mut tree, &machine.announced, as_of);
    tree.put(
        "dynamic/instance-identity/document",
        identity_document(machine, &state.settings.name, &state.settings.account),
    );
    if let Some(user_data) = &machine.user_data {
        tree.0.insert("user-data".into(), user_data.clone());
    }
    tree
}

impl Tree {
    /// A leaf's text, or a folder's list. A trailing slash asks for a folder.
    pub fn read(&self, path: &str) -> Option<Bytes> {
        if let Some(leaf) = self.0.get(path) {
            return Some(leaf.clone());
        }
        let folder = path.trim_end_matches('/');
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let below = self.0.keys().filter_map(|leaf| leaf.strip_prefix(&prefix));
        let entries: BTreeSet<String> = below.map(entry).collect();
        if entries.is_empty() {
            return None;
        }
        Some(entries.into_iter().collect::<Vec<_>>().join("\n").into())
    }

    fn put(&mut self, path: &str, text: impl Display) {
        self.0.insert(path.to_owned(), text.to_string().into());
    }

    pub(super) fn meta(&mut self, path: &str, text: impl Display) {
        self.put(&format!("meta-data/{path}"), text);
    }

    /// One item a line; absent when there is none.
    fn lines<T: Display>(&mut self, path: &str, items: impl IntoIterator<Item = T>) {
        let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
        if !items.is_empty() {
            self.put(path, items.join("\n"));
        }
    }
}

/// The first part of a path, with a slash where there is more behind it.
fn entry(path: &str) -> String {
    match path.split_once('/') {
        Some((first, _)) => format!("{first}/"),
        None => path.to_owned(),
    }
}

fn instance(tree: &mut Tree, machine: &Machine) {
    tree.meta("ami-id", &machine.ami_id);
    tree.meta("ami-launch-index", machine.ami_launch_index);
    tree.meta("ami-manifest-path", "(unknown)");
    tree.meta("block-device-mapping/ami", "/dev/xvda");
    tree.meta("block-device-mapping/root", "/dev/xvda");
    tree.meta("hostname", &machine.private_dns_name);
    tree.meta("instance-action", "none");
    tree.meta("instance-id", &machine.instance_id);
    tree.meta("instance-life-cycle", &machine.life_cycle);
    tree.meta("instance-type", &machine.instance_type);
    tree.meta("local-hostname", &machine.private_dns_name);
    tree.meta("profile", "default-hvm");
    tree.meta("reservation-id", &machine.reservation_id);
    tree.meta("services/domain", "amazonaws.com");
    tree.meta("services/partition", "aws");
    tree.meta("system", "nitro");
    if let Some(name) = &machine.public_dns_name {
        tree.meta("public-hostname", name);
    }
    let Some(primary) = machine.interfaces.first() else { return };
    tree.meta("mac", &primary.mac);
    tree.lines("meta-data/local-ipv4", primary.private_ipv4s.first());
    tree.lines("meta-data/public-ipv4", primary.public_ipv4s.first());
    tree.lines("meta-data/ipv6", primary.ipv6s.first());
    tree.lines(
        "meta-data/security-groups",
        primary.security_groups.iter().map(|group| &group.name),
    );
}

fn placement(tree: &mut Tree, machine: &Machine, region: &str) {
    tree.meta("placement/availability-zone", &machine.availability_zone);
    tree.meta("placement/availability-zone-id", &machine.availability_zone_id);
    tree.meta("placement/region", region);
}

fn network_interface(tree: &mut Tree, interface: &Interface) {
    let at = |name: &str| format!("meta-data/network/interfaces/macs/{}/{name}", interface.mac);
    tree.put(&at("device-number"), interface.device_number);
    tree.put(&at("interface-id"), &interface.id);
    tree.put(&at("local-hostname"), &interface.private_dns_name);
    tree.lines(&at("local-ipv4s"), &interface.private_ipv4s);
    tree.put(&at("mac"), &interface.mac);
    tree.put(&at("owner-id"), &interface.owner_id);
    tree.lines(&at("public-ipv4s"), &interface.public_ipv4s);
    tree.lines(&at("ipv6s"), &interface.ipv6s);
    tree.lines(&at("security-group-ids"), interface.security_groups.iter().map(|group| &group.id));
    tree.lines(&at("security-groups"), interface.security_groups.iter().map(|group| &group.name));
    tree.put(&at("subnet-id"), &interface.subnet_id);
    tree.put(&at("subnet-ipv4-cidr-block"), interface.subnet_ipv4_cidr);
    tree.lines(&at("subnet-ipv6-cidr-blocks"), &interface.subnet_ipv6_cidrs);
    tree.put(&at("vpc-id"), &interface.vpc_id);
    tree.lines(&at("vpc-ipv4-cidr-block"), interface.vpc_ipv4_cidrs.first());
    tree.lines(&at("vpc-ipv4-cidr-blocks"), &interface.vpc_ipv4_cidrs);
    tree.lines(&at("vpc-ipv6-cidr-blocks"), &interface.vpc_ipv6_cidrs);
}

/// Amazon EC2 User Guide, "Instance identity documents".
fn identity_document(machine: &Machine, region: &str, account: &str) -> String {
    let address = machine.interfaces.first().and_then(|primary| primary.private_ipv4s.first());
    pretty(&json!({
        "accountId": account,
        "architecture": architecture(&machine.instance_type),
        "availabilityZone": machine.availability_zone,
        "billingProducts": null,
        "devpayProductCodes": null,
        "marketplaceProductCodes": null,
        "imageId": machine.ami_id,
        "instanceId": machine.instance_id,
        "instanceType": machine.instance_type,
        "kernelId": null,
        "pendingTime": seconds(machine.launched_at),
        "privateIp": address.map(ToString::to_string),
        "ramdiskId": null,
        "region": region,
        "version": "2017-09-30",
    }))
}

/// Graviton types have a `g` behind the generation: `m7g`, `c6gn`; and there is `a1`.
fn architecture(instance_type: &str) -> &'static str {
    let family = instance_type.split('.').next().unwrap_or_default();
    let attributes = family
        .trim_start_matches(|c: char| c.is_ascii_alphabetic())
        .trim_start_matches(|c: char| c.is_ascii_digit());
    if attributes.starts_with('g') || family == "a1" { "arm64" } else { "x86_64" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graviton_types_are_told_by_their_name() {
        for arm in [
            "m7g.large",
            "c6gn.xlarge",
            "t4g.nano",
            "g5g.2xlarge",
            "a1.medium",
            "x2gd.large",
            "im4gn.large",
        ] {
            assert_eq!(architecture(arm), "arm64", "{arm}");
        }
        for intel in ["m7i.large", "g5.xlarge", "t3.micro", "m7i-flex.large", "c6in.large"] {
            assert_eq!(architecture(intel), "x86_64", "{intel}");
        }
    }

    #[test]
    fn folders_list_their_entries_and_a_leaf_is_no_folder() {
        let mut tree = Tree::default();
        tree.meta("mac", "02:00");
        tree.meta("placement/region", "eu-west-1");
        tree.put("user-data", "x");
        let read =
            |path: &str| tree.read(path).map(|text| String::from_utf8_lossy(&text).into_owned());
        assert_eq!(read("").as_deref(), Some("meta-data/\nuser-data"));
        assert_eq!(read("meta-data/").as_deref(), Some("mac\nplacement/"));
        assert_eq!(read("meta-data/placement").as_deref(), Some("region"));
        assert_eq!(read("meta-data/mac/"), None);
        assert_eq!(read("meta-data/nothing"), None);
    }
}
