//! Whatever a configuration holds, it is the same after it was written and read.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::*;

const CA: &str = include_str!("testdata/ca.crt");

#[test]
fn every_configuration_is_read_as_it_was_written() {
    for seed in 0..500 {
        let config = any_config(&mut Rng::with_seed(seed));
        let text = config.to_toml();
        match NodeConfig::parse(&text) {
            Ok(read) => assert_eq!(read, config, "seed {seed}:\n{text}"),
            Err(problems) => panic!("seed {seed}: {problems}\n{text}"),
        }
    }
}

fn any_config(rng: &mut Rng) -> NodeConfig {
    NodeConfig {
        group: name(rng),
        cluster: Cluster {
            name: name(rng),
            region: pick(rng, &["eu-west-1", "us-gov-east-1", "ap-southeast-3"]),
            vpc: format!("vpc-{:017x}", rng.u64(..1 << 60)),
            node_names: if rng.bool() { NodeNames::InstanceId } else { NodeNames::PrivateDns },
        },
        api: Api {
            endpoint: pick(
                rng,
                &["https://api.example:6443", "https://[fd00::1]:443", "https://x"],
            ),
            certificate_authorities: CA.repeat(rng.usize(1..3)),
            ca_generation: rng.u32(1..),
        },
        network: any_network(rng),
        admission: Admission {
            role_ids: (0..rng.usize(1..4))
                .map(|_| format!("AROA{:016}", rng.u64(..1 << 50)))
                .collect(),
            instance_profile: "arn:aws-cn:iam::123456789012:instance-profile/a/path/NAME".into(),
            window: Duration::from_secs(rng.u64(60..604_800)),
            certificate_lifetime: Duration::from_secs(rng.u64(60..=86_400)),
        },
        node: any_node(rng),
        kubelet: any_kubelet(rng),
        host: any_host(rng),
        storage: any_storage(rng),
        registry: Registry { mirrors: any_mirrors(rng) },
        hooks: Hooks {
            launch: rng.bool().then(|| pick(rng, &["launch", "a-b_c/d"])),
            termination: rng.bool().then(|| "terminate".to_owned()),
            termination_timeout: Duration::from_secs(rng.u64(30..=7200)),
        },
        boot: Boot { deadline: Duration::from_secs(rng.u64(5..7200)) },
        drain: Drain {
            when_refused: if rng.bool() { WhenRefused::Wait } else { WhenRefused::Delete },
            deadline: Duration::from_secs(rng.u64(10..172_800)),
            deregistration_delay: Duration::from_secs(rng.u64(0..3600)),
            on_rebalance: if rng.bool() { OnRebalance::Cordon } else { OnRebalance::Drain },
            bare_pods: if rng.bool() { Treatment::Evict } else { Treatment::Keep },
            local_data: if rng.bool() { Treatment::Evict } else { Treatment::Keep },
        },
        watch: Watch {
            metrics: pick_listen(rng),
            webhook_file: rng.bool().then(|| "/etc/windlass/webhook".to_owned()),
        },
    }
}

fn any_host(rng: &mut Rng) -> Host {
    let settings = [("net.core.somaxconn", "4096"), ("net.ipv4.conf.eth0/1.tag", "a \" b\t")];
    let mut host =
        Host { swap: if rng.bool() { Swap::Off } else { Swap::Limited }, ..Host::default() };
    for (name, value) in settings.into_iter().filter(|_| rng.bool()) {
        host.sysctls.insert(name.to_owned(), value.to_owned());
    }
    host.gpu = if rng.bool() { Gpu::Nvidia } else { Gpu::None };
    for size in [PageSize(2048), PageSize(1 << 20)] {
        host.hugepages.insert(size, rng.u32(..9));
    }
    host
}

fn any_storage(rng: &mut Rng) -> Storage {
    let stores = [InstanceStore::Unused, InstanceStore::Mount, InstanceStore::Raid0];
    let instance_store = stores[rng.usize(..3)];
    Storage { instance_store, volume: instance_store == InstanceStore::Unused && rng.bool() }
}

fn pick_listen(rng: &mut Rng) -> Listen {
    match rng.u8(..3) {
        0 => Listen::Off,
        1 => Listen::Tcp(([127, 0, 0, rng.u8(1..)], rng.u16(1..)).into()),
        _ => Listen::Unix("/run/windlass/metrics.sock".into()),
    }
}

fn any_network(rng: &mut Rng) -> Network {
    let mut network = Network {
        pods: Vec::new(),
        node_mask_ipv4: rng.u8(17..=28),
        node_mask_ipv6: rng.u8(57..=112),
        services: Vec::new(),
        dns: Vec::new(),
        domain: pick(rng, &["cluster.local", "k8s.acme.example"]),
        routes_per_table: rng.u32(1..=1000),
    };
    let families = rng.u8(1..4);
    let parse = |text: &str| text.parse::<IpNet>().expect("a CIDR");
    if families & 1 != 0 {
        network.pods.push(parse(&format!("10.{}.0.0/16", rng.u8(0..128))));
        network.services.push(parse(&format!("10.{}.0.0/16", rng.u8(128..))));
    }
    if families & 2 != 0 {
        network.pods.push(parse(&format!("fd00:{:x}::/56", rng.u16(1..))));
        network.services.push(parse("fd00:0:0:1::/108"));
    }
    let dns: [IpAddr; 2] = ["10.200.0.10".parse().expect("IPv4"), "fd00::a".parse().expect("IPv6")];
    network.dns = dns.into_iter().take(rng.usize(1..=2)).collect();
    network
}

fn any_node(rng: &mut Rng) -> Node {
    let mut labels = BTreeMap::new();
    for _ in 0..rng.usize(..4) {
        labels.insert(
            pick(rng, &["a", "acme.example/Tier", "node-role.kubernetes.io/gpu", "x.y/z_1"]),
            pick(rng, &["", "b", "1.2-3_4"]),
        );
    }
    let taints = (0..rng.usize(..3))
        .map(|index| Taint {
            key: format!("key-{index}"),
            value: pick(rng, &["", "true"]),
            effect: pick(rng, &["NoSchedule", "PreferNoSchedule", "NoExecute"]),
        })
        .collect();
    let role = if rng.bool() { Role::Worker } else { Role::ControlPlane };
    Node { role, labels, taints }
}

fn any_kubelet(rng: &mut Rng) -> Kubelet {
    let values: [Value; 6] = [
        json!(true),
        json!(-7),
        json!(0.25),
        json!("a \"quoted\" line\nand another é"),
        json!([1, "two", [3.0], { "four": [] }]),
        json!({ "memory.available": "100Mi", "nested": { "deep er": [{ "x": 1 }] }, "empty": {} }),
    ];
    let mut overrides = BTreeMap::new();
    for _ in 0..rng.usize(..5) {
        let field =
            pick(rng, &["evictionSoft", "logging", "podsPerCore", "featureGates", "new one"]);
        overrides.insert(field, values[rng.usize(..values.len())].clone());
    }
    let max_pods = match rng.u8(..3) {
        0 => MaxPods::Eks,
        1 => MaxPods::Gke,
        _ => MaxPods::Fixed(rng.u32(1..=1000)),
    };
    let reserved =
        [ReservedFormula::Eks, ReservedFormula::Gke, ReservedFormula::None][rng.usize(..3)];
    Kubelet { max_pods, reserved, overrides }
}

fn any_mirrors(rng: &mut Rng) -> BTreeMap<String, Vec<String>> {
    let mut mirrors = BTreeMap::new();
    for _ in 0..rng.usize(..3) {
        mirrors.insert(
            pick(rng, &["docker.io", "registry.k8s.io", "registry.example:5000", "_default"]),
            vec![pick(rng, &["https://mirror.example:5000/v2/proxy", "http://10.0.0.9:5000"])],
        );
    }
    mirrors
}

fn name(rng: &mut Rng) -> String {
    let first = rng.lowercase();
    let rest = (0..rng.usize(..20)).map(|_| rng.lowercase());
    std::iter::once(first).chain(rest).collect::<String>() + "-1"
}

fn pick(rng: &mut Rng, from: &[&str]) -> String {
    from[rng.usize(..from.len())].to_owned()
}
