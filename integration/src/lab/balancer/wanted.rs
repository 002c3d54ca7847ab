//! What of a cluster's objects concerns a load balancer. Pure.
//!
//! Sources: the service controller's predicates (k8s.io/cloud-provider, `controllers/service`);
//! "Well-Known Labels, Annotations and Taints" (Kubernetes documentation). Stricter than the former: a
//! Node has to be Ready, and is left out by the label whatever its value, as AWS' own controller does it
//! (the service controller takes one that says `false`).

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use k8s_openapi::api::core::v1::{Node, Service};

use super::ADDRESS;

const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The cluster autoscaler's, on a Node that it is about to delete.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// A Service's first port, as a load balancer serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    pub namespace: String,
    pub name: String,
    pub port: u16,
    pub node_port: u16,
    /// With `externalTrafficPolicy: Local`: where kube-proxy says whether its Node has a ready pod.
    pub health_check_node_port: Option<u16>,
}

impl Front {
    /// Of the oldest Service that wants a load balancer.
    pub fn of<'a>(services: impl IntoIterator<Item = &'a Service>) -> Option<Self> {
        let age = |service: &Service| {
            let metadata = service.metadata.clone();
            (metadata.creation_timestamp, metadata.namespace, metadata.name)
        };
        let fronts = services.into_iter().filter_map(|it| Some((age(it), Self::of_one(it)?)));
        fronts.min_by(|one, other| one.0.cmp(&other.0)).map(|(_, front)| front)
    }

    /// One that goes, or is somebody else's, or has no IPv4, gets none. A port gets its NodePort a moment
    /// after the Service was made.
    fn of_one(service: &Service) -> Option<Self> {
        let (metadata, spec) = (&service.metadata, service.spec.as_ref()?);
        let wants = spec.type_.as_deref() == Some("LoadBalancer")
            && spec.load_balancer_class.is_none()
            && metadata.deletion_timestamp.is_none();
        let ipv4 = spec.ip_families.iter().flatten().any(|family| family == "IPv4");
        let first = spec.ports.as_ref()?.first().filter(|_| wants && ipv4)?;
        let number = |port: i32| u16::try_from(port).ok();
        Some(Self {
            namespace: metadata.namespace.clone()?,
            name: metadata.name.clone()?,
            port: number(first.port)?,
            node_port: number(first.node_port?)?,
            health_check_node_port: spec.health_check_node_port.and_then(number),
        })
    }

    /// Where clients reach it.
    pub fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(ADDRESS, self.port)
    }
}

impl fmt::Display for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}, NodePort {}", self.namespace, self.name, self.node_port)
    }
}

/// Who is to be a target, and where.
pub fn targets<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> BTreeMap<String, Ipv4Addr> {
    let wanted = nodes.into_iter().filter(|node| is_target(node));
    wanted.filter_map(|node| Some((node.metadata.name.clone()?, address(node)?))).collect()
}

fn is_target(node: &Node) -> bool {
    let excluded = node.metadata.labels.as_ref().is_some_and(|it| it.contains_key(EXCLUDED));
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    let goes = node.metadata.deletion_timestamp.is_some()
        || taints.is_some_and(|taints| taints.iter().any(|taint| taint.key == TO_BE_DELETED));
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.is_some_and(|conditions| {
        conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True")
    });
    ready && !excluded && !goes
}

fn address(node: &Node) -> Option<Ipv4Addr> {
    let mut addresses = node.status.as_ref()?.addresses.iter().flatten();
    addresses.find_map(|it| it.address.parse().ok().filter(|_| it.type_ == "InternalIP"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(changes: Value) -> Service {
        let mut service = json!({
            "metadata": { "namespace": "default", "name": "web", "creationTimestamp": "2026-11-23T12:00:00Z" },
            "spec": {
                "type": "LoadBalancer", "ipFamilies": ["IPv4"],
                "ports": [{ "port": 80, "nodePort": 30080 }, { "port": 443, "nodePort": 30443 }],
            },
        });
        merge(&mut service, changes);
        serde_json::from_value(service).unwrap()
    }

    fn node(changes: Value) -> Node {
        let mut node = json!({
            "metadata": { "name": "i-1", "labels": { "a": "b" } },
            "spec": { "unschedulable": true },
            "status": {
                "conditions": [{ "type": "Ready", "status": "True" }],
                "addresses": [
                    { "type": "Hostname", "address": "i-1" },
                    { "type": "InternalIP", "address": "2001:db8::4" },
                    { "type": "InternalIP", "address": "10.0.1.4" },
                ],
            },
        });
        merge(&mut node, changes);
        serde_json::from_value(node).unwrap()
    }

    fn merge(into: &mut Value, changes: Value) {
        match (into, changes) {
            (Value::Object(into), Value::Object(changes)) => {
                for (key, value) in changes {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, changes) => *into = changes,
        }
    }

    #[test]
    fn the_oldest_service_that_wants_a_load_balancer_gets_it_for_its_first_port() {
        let wants = service(json!({}));
        let front = Front {
            namespace: "default".into(),
            name: "web".into(),
            port: 80,
            node_port: 30080,
            health_check_node_port: None,
        };
        let younger = service(
            json!({ "metadata": { "name": "a", "creationTimestamp": "2026-11-23T12:00:01Z" } }),
        );
        assert_eq!(Front::of([&younger, &wants]), Some(front.clone()));
        let local = service(json!({ "spec": { "healthCheckNodePort": 31000 } }));
        assert_eq!(
            Front::of([&local]),
            Some(Front { health_check_node_port: Some(31000), ..front })
        );
    }

    #[test]
    fn others_get_none() {
        for changes in [
            json!({ "spec": { "type": "NodePort" } }),
            json!({ "spec": { "loadBalancerClass": "example.com/other" } }),
            json!({ "spec": { "ipFamilies": ["IPv6"] } }),
            json!({ "spec": { "ports": [{ "port": 80 }] } }),
            json!({ "metadata": { "deletionTimestamp": "2026-11-23T12:00:00Z" } }),
        ] {
            assert_eq!(Front::of([&service(changes.clone())]), None, "{changes}");
        }
    }

    #[test]
    fn a_ready_node_is_a_target_at_its_ipv4_address_cordoned_or_not() {
        let wanted = BTreeMap::from([("i-1".to_owned(), Ipv4Addr::new(10, 0, 1, 4))]);
        assert_eq!(targets([&node(json!({}))]), wanted);
    }

    #[test]
    fn a_node_that_is_labelled_or_goes_or_is_not_ready_is_none() {
        for changes in [
            json!({ "metadata": { "labels": { EXCLUDED: "true" } } }),
            json!({ "metadata": { "labels": { EXCLUDED: "false" } } }),
            json!({ "metadata": { "labels": { EXCLUDED: "" } } }),
            json!({ "metadata": { "deletionTimestamp": "2026-11-23T12:00:00Z" } }),
            json!({ "spec": { "taints": [{ "key": TO_BE_DELETED, "effect": "NoSchedule" }] } }),
            json!({ "status": { "conditions": [{ "type": "Ready", "status": "Unknown" }] } }),
            json!({ "status": { "conditions": [] } }),
            json!({ "status": { "addresses": [] } }),
        ] {
            assert_eq!(targets([&node(changes.clone())]), BTreeMap::new(), "{changes}");
        }
    }
}
