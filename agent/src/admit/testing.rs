//! What unit tests are set up with.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use time::macros::datetime;

use crate::client::ec2::{Instance, Route, RouteTable, State, Target};
use crate::config::{
    Admission, Api, Boot, Cluster, Drain, Hooks, Host, Kubelet, MaxPods, Network, Node, NodeConfig,
    NodeNames, Registry, ReservedFormula, Role, Storage, Watch,
};
use crate::exchange::Request;
use crate::pki::{PrivateKey, Subject};
use crate::policies::CLUSTER_TAG;

/// The running worker `i-…number` at 10.0.0.number of cluster `prod`.
pub fn instance(number: u8) -> Instance {
    let dns = format!("ip-10-0-0-{number}.eu-west-1.compute.internal");
    let address = format!("10.0.0.{number}").parse().expect("an address");
    Instance {
        id: format!("i-{number:017x}").parse().expect("an instance id"),
        state: State::Running,
        launched: datetime!(2026-11-22 11:59 UTC),
        vpc: Some("vpc-a".to_owned()),
        instance_profile: Some("arn:aws:iam::123456789012:instance-profile/workers".to_owned()),
        tags: BTreeMap::from([(CLUSTER_TAG.to_owned(), "prod".to_owned())]),
        zone: "eu-west-1a".to_owned(),
        instance_type: "m5.large".to_owned(),
        network_interface: Some(format!("eni-{number:017x}")),
        source_dest_check: false,
        private_ip: Some(address),
        private_dns: Some(dns.clone()),
        addresses: BTreeSet::from([address]),
        dns_names: BTreeSet::from([dns]),
    }
}

/// A route table with these routes: destination, target.
pub fn table(id: &str, routes: &[(&str, &str)]) -> RouteTable {
    let route = |(destination, target): &(&str, &str)| {
        let target = match *target {
            "local" => Target::Local,
            id if id.starts_with("eni-") => Target::Interface { id: id.to_owned(), instance: None },
            other => Target::Other(other.to_owned()),
        };
        (destination.parse().expect("a CIDR"), Route { target, blackhole: false })
    };
    RouteTable { id: id.to_owned(), routes: routes.iter().map(route).collect() }
}

/// Group `workers` of cluster `prod`.
pub fn config() -> NodeConfig {
    NodeConfig {
        group: "workers".to_owned(),
        cluster: Cluster {
            name: "prod".to_owned(),
            region: "eu-west-1".to_owned(),
            vpc: "vpc-a".to_owned(),
            node_names: NodeNames::InstanceId,
        },
        api: Api {
            endpoint: "https://api.prod.example:6443".to_owned(),
            certificate_authorities: String::new(),
            ca_generation: 1,
        },
        network: Network {
            pods: vec!["10.128.0.0/16".parse().expect("a CIDR")],
            node_mask_ipv4: 24,
            node_mask_ipv6: 64,
            services: vec!["10.96.0.0/16".parse().expect("a CIDR")],
            dns: vec!["10.96.0.10".parse().expect("an address")],
            domain: "cluster.local".to_owned(),
            routes_per_table: 500,
        },
        admission: Admission {
            role_ids: vec!["AROAWORKER".to_owned()],
            instance_profile: "arn:aws:iam::123456789012:instance-profile/workers".to_owned(),
            window: Duration::from_secs(15 * 60),
            certificate_lifetime: Duration::from_secs(24 * 3600),
        },
        node: Node { role: Role::Worker, labels: BTreeMap::new(), taints: Vec::new() },
        host: Host::default(),
        storage: Storage::default(),
        kubelet: Kubelet {
            max_pods: MaxPods::Eks,
            reserved: ReservedFormula::Eks,
            overrides: BTreeMap::new(),
        },
        registry: Registry { mirrors: BTreeMap::new() },
        hooks: Hooks {
            launch: None,
            termination: None,
            termination_timeout: Duration::from_secs(30),
        },
        boot: Boot { deadline: Duration::from_secs(300) },
        drain: Drain::default(),
        watch: Watch::default(),
    }
}

/// What an instance of group `workers` with this key asks.
pub fn request(key: &PrivateKey, subject: &Subject) -> Request {
    Request {
        version: 1,
        group: "workers".to_owned(),
        revision: "0".repeat(64),
        csr: key.request(subject).expect("a signing request"),
        at: datetime!(2026-11-22 12:00 UTC),
    }
}
