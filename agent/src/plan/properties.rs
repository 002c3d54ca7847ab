//! What holds for every plan, whatever the input, and what is refused.

use fastrand::Rng;
use serde_json::Value;

use crate::config::{CaBundle, ClusterFile, MaxPods, NodeConfig, NodeNames, ReservedFormula, Role};
use crate::exchange::Grant;
use crate::facts::{CgroupVersion, Facts};

use super::network::Way;
use super::{HostPlan, after_grant, before_grant, node};

fn config() -> NodeConfig {
    let file = ClusterFile::parse(include_str!("../config/testdata/cluster.toml")).expect("good");
    let authorities = include_str!("../config/testdata/ca.crt").to_owned();
    let ca = CaBundle { certificate_authorities: authorities, generation: 1 };
    file.revisions(&ca).remove("workers").expect("the group")
}

fn facts() -> Facts {
    let text = include_str!("../../tests/golden/dual-stack/facts.json");
    serde_json::from_str(text).expect("facts")
}

fn grant() -> Grant {
    let text = include_str!("../../tests/golden/worker-ipv4/grant.json");
    serde_json::from_str(text).expect("a grant")
}

/// Any facts, configuration and the grant that fits them.
fn any(rng: &mut Rng) -> (Facts, NodeConfig, Grant) {
    let (mut facts, mut config, mut grant) = (facts(), config(), grant());
    let types = ["t3.nano", "m5.large", "m5.24xlarge", "p4d.24xlarge"];
    facts.instance.instance_type = types[rng.usize(..types.len())].to_owned();
    facts.host.cpus = rng.u32(1..200);
    facts.host.memory_bytes = rng.u64(1 << 28..1 << 42);
    facts.host.container = rng.bool();
    facts.host.cgroup = if rng.bool() { CgroupVersion::V1 } else { CgroupVersion::V2 };
    facts.image.credential_provider = rng.bool();
    facts.host.mtu = [1500, 9001][rng.usize(..2)];
    facts.host.other_interfaces =
        ["ens6", "ens7"].map(str::to_owned)[..rng.usize(..3)].iter().cloned().collect();
    facts.host.ipv6_router = rng.bool().then(|| "fe80::1".parse().expect("an address"));
    config.cluster.node_names =
        if rng.bool() { NodeNames::InstanceId } else { NodeNames::PrivateDns };
    config.node.role = if rng.bool() { Role::Worker } else { Role::ControlPlane };
    config.kubelet.max_pods =
        [MaxPods::Eks, MaxPods::Gke, MaxPods::Fixed(rng.u32(1..=1000))][rng.usize(..3)];
    config.kubelet.reserved =
        [ReservedFormula::Eks, ReservedFormula::Gke, ReservedFormula::None][rng.usize(..3)];
    config.network.node_mask_ipv4 = rng.u8(20..=28);
    let mask = config.network.node_mask_ipv4;
    grant.pod_cidrs = vec![format!("10.66.0.0/{mask}").parse().expect("a CIDR")];
    if rng.bool() {
        config.network.pods.push("fd00:64::/56".parse().expect("a CIDR"));
        grant.pod_cidrs.push("fd00:64:0:9::/64".parse().expect("a CIDR"));
    }
    grant.node = node::name(facts.instance.launched(), config.cluster.node_names);
    (facts, config, grant)
}

fn field(plan: &HostPlan, path: &str, pointer: &str) -> Value {
    let contents = &plan.file(path).unwrap_or_else(|| panic!("no {path}")).contents;
    let json: Value = serde_json::from_str(contents).expect("JSON");
    json.pointer(pointer).cloned().unwrap_or(Value::Null)
}

const KUBELET: &str = "/etc/kubernetes/kubelet.yaml";

#[test]
fn the_same_input_gives_the_same_plan_and_laying_it_over_itself_changes_nothing() {
    for seed in 0..200 {
        let (facts, config, grant) = any(&mut Rng::with_seed(seed));
        let whole = || {
            let before = before_grant(&facts, &config).expect("a plan");
            before.then(after_grant(&facts, &config, &grant).expect("a plan"))
        };
        let plan = whole();
        assert_eq!(plan, whole(), "seed {seed}");
        assert_eq!(plan.clone().then(plan.clone()), plan, "seed {seed}");
    }
}

#[test]
fn a_grant_of_the_configured_size_changes_nothing_that_was_prepared() {
    for seed in 0..200 {
        let (facts, config, grant) = any(&mut Rng::with_seed(seed));
        let before = before_grant(&facts, &config).expect("a plan");
        let after = after_grant(&facts, &config, &grant).expect("a plan");
        for file in &before.files {
            assert!(
                after.file(&file.path).is_none_or(|later| later == file),
                "seed {seed}: {file:?}"
            );
        }
    }
}

#[test]
fn every_plan_can_be_carried_out() {
    for seed in 0..200 {
        let (facts, config, grant) = any(&mut Rng::with_seed(seed));
        let before = before_grant(&facts, &config).expect("a plan");
        let plan = before.then(after_grant(&facts, &config, &grant).expect("a plan"));
        let paths: Vec<_> = plan.files.iter().map(|file| &file.path).collect();
        assert!(paths.is_sorted_by(|a, b| a < b), "seed {seed}: {paths:?}");
        assert!(plan.files.iter().all(|file| file.path.is_absolute() && file.mode & 0o022 == 0));
        assert!(plan.files.iter().all(|file| file.contents.ends_with('\n')), "seed {seed}");
        let max_pods = field(&plan, KUBELET, "/maxPods").as_u64().expect("a number");
        let room = (1u64 << (32 - grant.pod_cidrs[0].prefix_len())) - 3;
        assert!((1..=room).contains(&max_pods), "seed {seed}: {max_pods} of {room}");
        for unit in &plan.units {
            assert!(unit.restarted_by.iter().all(|path| plan.file(path).is_some()), "seed {seed}");
        }
    }
}

#[test]
fn a_smaller_lease_than_configured_takes_fewer_pods() {
    let mut grant = grant();
    grant.pod_cidrs = vec!["10.64.3.16/28".parse().expect("a CIDR")];
    let before = before_grant(&facts(), &config()).expect("a plan");
    assert_eq!(field(&before, KUBELET, "/maxPods"), 58);
    let plan = before.then(after_grant(&facts(), &config(), &grant).expect("a plan"));
    assert_eq!(field(&plan, KUBELET, "/maxPods"), 13);
    assert_eq!(field(&plan, KUBELET, "/kubeReserved/memory"), "398Mi");
}

#[test]
fn an_unknown_type_is_refused_only_where_its_enis_must_be_known() {
    let (mut facts, mut config) = (facts(), config());
    facts.instance.instance_type = "m5.lagre".to_owned();
    before_grant(&facts, &config).expect("a plan without ENIs");
    config.kubelet.max_pods = MaxPods::Eks;
    assert_eq!(
        before_grant(&facts, &config).expect_err("unknown ENIs").to_string(),
        "configuration: `kubelet.max_pods` is `eks`, but `m5.lagre` is not in windlass' table of \
         instance types, so its ENIs are not known\n  hint: set a number, or `gke` for 110 (known \
         are m5.large, m5.xlarge, m5d.large, …)"
    );
}

#[test]
fn a_configuration_for_another_network_is_refused_with_all_that_does_not_fit() {
    let (mut facts, mut config) = (facts(), config());
    facts.instance.region = "eu-central-1".to_owned();
    facts.instance.vpc_cidrs.push("10.65.0.0/16".parse().expect("a CIDR"));
    facts.instance.ipv6 = None;
    config.network.pods.push("fd00:64::/56".parse().expect("a CIDR"));
    assert_eq!(
        before_grant(&facts, &config).expect_err("another network").to_string(),
        "configuration: `cluster.region` is `eu-west-1`, but this instance is in `eu-central-1`\n\
         configuration: `network.pods` has `10.64.0.0/14`, which overlaps the VPC's `10.65.0.0/16`\n  \
         hint: a VPC routes its own CIDRs by itself; take others\n\
         configuration: `network.pods` has `fd00:64::/56`, but this instance has no IPv6 address\n  \
         hint: assign IPv6 addresses in the subnet or the launch template"
    );
}

#[test]
fn a_grant_that_is_not_for_this_node_is_refused_with_all_that_does_not_fit() {
    let mut grant = grant();
    grant.node = "i-0aaaaaaaaaaaaaaaa".to_owned();
    grant.group = "control-plane".to_owned();
    grant.pod_cidrs =
        vec!["10.70.0.0/24".parse().expect("a CIDR"), "fd00::/64".parse().expect("a CIDR")];
    assert_eq!(
        after_grant(&facts(), &config(), &grant).expect_err("another's").to_string(),
        "grant: `node` is `i-0aaaaaaaaaaaaaaaa`, wanted `i-0123456789abcdef0`\n\
         grant: `group` is `control-plane`, wanted `workers`\n\
         grant: `pod_cidrs` has `10.70.0.0/24`, wanted a part of `10.64.0.0/14`\n\
         grant: `pod_cidrs` has 2 CIDRs, wanted 1"
    );
}

#[test]
fn every_way_to_pods_fits_the_node() {
    for seed in 0..500 {
        let (facts, config, grant) = any(&mut Rng::with_seed(seed));
        let plan = after_grant(&facts, &config, &grant).expect("a plan");
        let network = plan.network.expect("a network");
        for route in &network.routes {
            let contending = network.routes.iter().filter(|other| {
                (other.destination, other.table) == (route.destination, route.table)
            });
            assert_eq!(contending.count(), 1, "seed {seed}: {route}");
            let Way::Out { interface, gateway, source, mtu_bytes } = &route.way else {
                assert!(grant.pod_cidrs.contains(&route.destination), "seed {seed}: {route}");
                continue;
            };
            assert_eq!(*interface, facts.host.interface, "seed {seed}");
            let addresses = gateway.iter().chain(source);
            let ipv4 = route.destination.addr().is_ipv4();
            assert!(addresses.into_iter().all(|it| it.is_ipv4() == ipv4), "seed {seed}: {route}");
            assert_eq!(gateway.map(|_| facts.host.mtu), *mtu_bytes, "seed {seed}: {route}");
        }
        let blackholes = network.routes.iter().filter(|route| route.way == Way::Blackhole);
        assert_eq!(blackholes.count(), grant.pod_cidrs.len(), "seed {seed}");
        assert_eq!(facts.host.other_interfaces.is_empty(), network.rules.is_empty());
        let strict = plan.sysctls.keys().filter(|name| name.ends_with("rp_filter")).count();
        assert_eq!(strict, 0, "the settings need no grant");
    }
}

#[test]
fn the_packet_filter_masquerades_what_leaves_the_vpc_and_the_pod_network_only() {
    for seed in 0..200 {
        let (mut facts, config, _) = any(&mut Rng::with_seed(seed));
        facts.instance.vpc_cidrs.push("100.64.0.0/16".parse().expect("a CIDR"));
        facts.instance.vpc_ipv6_cidrs = vec!["2001:db8::/56".parse().expect("a CIDR")];
        let plan = before_grant(&facts, &config).expect("a plan");
        let filter = plan.packet_filter.expect("a packet filter");
        let own: std::collections::BTreeSet<_> =
            facts.instance.vpc_cidrs().chain(&config.network.pods).copied().collect();
        assert_eq!(filter.direct.iter().copied().collect::<std::collections::BTreeSet<_>>(), own);
        assert_eq!(filter.masqueraded, config.network.pods, "seed {seed}");
        let said = filter.to_string();
        for closed in ["ip daddr 169.254.169.254", "ip6 daddr fd00:ec2::254"] {
            assert!(said.contains(&format!("iifname \"cni0\" {closed} counter drop")), "{said}");
        }
    }
}
