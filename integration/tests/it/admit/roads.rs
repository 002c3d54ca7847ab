//! The VPC's routes in a simulation: what must hold of them at every moment, and those who meddle
//! with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use integration::region::State;
use integration::region::ec2::{NewInterface, RouteState, Target, Towards};
use ipnet::IpNet;
use tokio::time::sleep;
use windlass::exchange::{Grant, InstanceId};
use windlass::policies::CLUSTER_TAG;

use super::scene::{Launch, Scene};

/// Somebody else's route in the middle of the pod network.
const FOREIGN: &str = "10.128.1.128/25";
/// A route of the pod network that leads nowhere and that no lease accounts for.
const STRAY: &str = "10.128.200.0/24";

/// The roads of one run. Clones share what they saw.
#[derive(Clone)]
pub struct Roads {
    scene: Scene,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Who has a grant and lives.
    holders: BTreeMap<InstanceId, Vec<IpNet>>,
    /// What somebody took away by hand.
    taken: BTreeSet<(String, IpNet)>,
    violations: Vec<String>,
}

impl Roads {
    /// Roads with two tables more, a foreign route and a stray one.
    pub async fn new(scene: &Scene) -> Self {
        scene.add_route_tables(2);
        let stranger = scene.launch(Launch { tagged: false, ..Launch::WORKER });
        scene.until_running(&stranger).await;
        sleep(Duration::from_secs(5)).await;
        scene.region.with(|state, now| {
            let State { ec2, ids, .. } = state;
            let instance = ec2.instance(stranger.as_str()).expect("an instance");
            let theirs = Towards::Interface(instance.interfaces[0].clone());
            let subnet =
                ec2.interface(&instance.interfaces[0]).expect("an interface").subnet.clone();
            let alone = NewInterface { subnet, ..NewInterface::default() };
            let alone =
                Towards::Interface(ec2.create_interface(ids, &alone).expect("an interface"));
            let table = tables(ec2).remove(0);
            for (destination, towards) in [(FOREIGN, theirs), (STRAY, alone)] {
                let destination = destination.parse().expect("a CIDR");
                ec2.create_route(&table, destination, &towards, now).expect("a route");
            }
        });
        Self { scene: scene.clone(), seen: Arc::default() }
    }

    /// From now on packets for its pods must find their way.
    pub fn granted(&self, grant: &Grant) {
        let mut seen = self.seen.lock().expect("seen");
        seen.holders.insert(grant.instance.clone(), grant.pod_cidrs.clone());
        seen.check(&self.scene, "with the grant");
    }

    /// From now on they need not.
    pub fn ends(&self, instance: &InstanceId) {
        self.seen.lock().expect("seen").holders.remove(instance);
    }

    /// Checks after each change of EC2's network. Never ends.
    pub async fn watch(self) {
        let mut changes = self.scene.region.network_changes();
        while changes.changed().await.is_ok() {
            self.seen.lock().expect("seen").check(&self.scene, "after a change");
        }
    }

    /// Takes a holder's route away by hand, now and then. Never ends.
    pub async fn meddle(self, mut chance: fastrand::Rng) {
        loop {
            sleep(Duration::from_millis(chance.u64(5_000..40_000))).await;
            let mut seen = self.seen.lock().expect("seen");
            let holders: Vec<_> = seen.holders.values().cloned().collect();
            let Some(cidr) = chance.choice(&holders).map(|cidrs| cidrs[0]) else { continue };
            self.scene.region.with(|state, _| {
                let table = chance.choice(tables(&state.ec2)).expect("a table");
                if state.ec2.delete_route(&table, cidr).is_ok() {
                    seen.taken.insert((table, cidr));
                }
            });
        }
    }

    /// At no moment a road was missing that nobody had taken away.
    pub fn none_was_missing(&self, seed: u64) {
        let seen = self.seen.lock().expect("seen");
        assert_eq!(seen.violations, Vec::<String>::new(), "seed {seed}");
    }

    /// Everything is as it should be, and what was nobody's is gone.
    pub fn all_is_put_right(&self, seed: u64) {
        let mut seen = self.seen.lock().expect("seen");
        seen.taken.clear();
        seen.check(&self.scene, "in the end");
        assert_eq!(seen.violations, Vec::<String>::new(), "seed {seed}");
        let held: BTreeSet<IpNet> = seen.holders.values().flatten().copied().collect();
        let pods: IpNet = "10.128.0.0/16".parse().expect("a CIDR");
        let foreign: IpNet = FOREIGN.parse().expect("a CIDR");
        self.scene.region.with(|state, _| {
            let routes: Vec<_> = state.ec2.route_tables().flat_map(|table| &table.routes).collect();
            let blackholes = routes.iter().filter(|route| {
                pods.contains(&route.destination)
                    && state.ec2.state_of_route(route) == RouteState::Blackhole
            });
            assert_eq!(blackholes.count(), 0, "seed {seed}: {STRAY} and those of the terminated");
            assert!(held.iter().all(|cidr| !cidr.contains(&foreign)), "seed {seed}: {held:?}");
            let theirs = routes.iter().filter(|route| route.destination == foreign);
            assert_eq!(theirs.count(), 1, "seed {seed}: somebody else's is left alone");
        });
    }
}

impl Seen {
    fn check(&mut self, scene: &Scene, when: &str) {
        scene.region.with(|state, now| {
            for (instance, cidrs) in &self.holders {
                let found = state.ec2.instance(instance.as_str()).expect("an instance");
                let own = &found.interfaces[0];
                let leads = Target::Interface(own.clone());
                for table in
                    state.ec2.route_tables().filter(|table| is_tagged(&state.ec2, &table.id))
                {
                    for cidr in cidrs {
                        let key = (table.id.clone(), *cidr);
                        if table.route_to(*cidr).is_some_and(|route| route.target == leads) {
                            self.taken.remove(&key);
                        } else if !self.taken.contains(&key) {
                            self.violations.push(format!(
                                "{now} {when}: {cidr} of {instance} in {}",
                                table.id
                            ));
                        }
                    }
                }
                if state.ec2.interface(own).expect("an interface").source_dest_check {
                    self.violations.push(format!("{now} {when}: {own} of {instance} is checked"));
                }
            }
        });
    }
}

fn tables(ec2: &integration::region::ec2::Ec2) -> Vec<String> {
    let tables = ec2.route_tables().map(|table| table.id.clone());
    tables.filter(|id| is_tagged(ec2, id)).collect()
}

fn is_tagged(ec2: &integration::region::ec2::Ec2, table: &str) -> bool {
    ec2.tags_of(table).contains_key(CLUSTER_TAG)
}
