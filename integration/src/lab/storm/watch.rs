//! When each node's routes became real: EC2's network is looked at after each of its changes.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use windlass::exchange::InstanceId;
use windlass::policies::CLUSTER_TAG;

use super::scene::Scene;
use crate::region::ec2::{Ec2, Target};

/// Since the launch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Routed {
    /// In the first table.
    pub first: Duration,
    /// In every table, and the interface lets pods' packets through.
    pub real: Duration,
}

/// A node whose routes are not real yet.
struct Waiting {
    instance: InstanceId,
    first: Option<Duration>,
}

/// Waits until each of `instances` is routed.
pub async fn routed(
    scene: &Scene,
    instances: &[InstanceId],
    began: Instant,
) -> BTreeMap<InstanceId, Routed> {
    let mut waiting = by_interface(scene, instances);
    let mut done = BTreeMap::new();
    let mut changes = scene.region.network_changes();
    loop {
        let now = began.elapsed();
        scene.region.with(|state, _| {
            let tables = tagged(&state.ec2);
            let routes = routes_by_interface(&state.ec2, &tables);
            waiting.retain(|interface, node| {
                let made = routes.get(interface).copied().unwrap_or_default();
                let first = (made > 0).then(|| *node.first.get_or_insert(now));
                let checked = |id| state.ec2.interface(id).is_ok_and(|it| it.source_dest_check);
                match first {
                    Some(first) if made == tables.len() && !checked(interface) => {
                        done.insert(node.instance.clone(), Routed { first, real: now });
                        false
                    }
                    _ => true,
                }
            });
        });
        if waiting.is_empty() || changes.changed().await.is_err() {
            return done;
        }
    }
}

fn by_interface(scene: &Scene, instances: &[InstanceId]) -> BTreeMap<String, Waiting> {
    scene.region.with(|state, _| {
        let each = instances.iter().map(|id| {
            let instance = state.ec2.instance(id.as_str()).expect("an instance");
            (instance.interfaces[0].clone(), Waiting { instance: id.clone(), first: None })
        });
        each.collect()
    })
}

fn tagged(ec2: &Ec2) -> Vec<String> {
    let tables = ec2.route_tables().map(|table| table.id.clone());
    tables.filter(|id| ec2.tags_of(id).contains_key(CLUSTER_TAG)).collect()
}

fn routes_by_interface(ec2: &Ec2, tables: &[String]) -> BTreeMap<String, usize> {
    let mut routes = BTreeMap::new();
    let tables = ec2.route_tables().filter(|table| tables.contains(&table.id));
    for route in tables.flat_map(|table| &table.routes) {
        if let Target::Interface(id) = &route.target {
            *routes.entry(id.clone()).or_default() += 1;
        }
    }
    routes
}
