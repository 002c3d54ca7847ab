//! The storm itself, from a settled cluster to the last grant.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::{join, join_all};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use windlass::admit::lease::Leases;
use windlass::exchange::InstanceId;
use windlass::pki::PrivateKey;

use super::agent::Agent;
use super::outcome::{Life, Outcome, Tally};
use super::scene::{CONTROL_PLANE, Launch, Scene, Setting};
use super::{Storm, watch};
use crate::region::Profile;
use crate::region::ec2::Timing;

/// The product's default, and the certificates' usual life.
const WINDOW: Duration = Duration::from_secs(15 * 60);
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// From being called running to asking: kernel, systemd, `windlass boot`.
const BOOT_MS: std::ops::Range<u64> = 1000..4000;

/// Between two looks for the grant, as `windlass boot` makes them once it has waited for long, in
/// milliseconds.
const LOOK_MS: std::ops::Range<u64> = 800..1200;

/// Before the storm: until nobody is expected and every bucket is full again.
const QUIET: Duration = Duration::from_secs(60);

/// After the last grant: what is written after a grant is written.
const SETTLED: Duration = Duration::from_secs(2);

/// What was killed, and when.
#[derive(Clone, Debug, Serialize)]
pub struct Killed {
    /// The admitter that `leader` in the bucket named.
    pub leader: InstanceId,
    /// Since the launch.
    pub at_seconds: f64,
}

/// Carries the storm out. Fails if some instance has no grant long after all could have one.
pub fn run(storm: Storm) -> Result<Outcome> {
    // The SDK's and the product's jitter.
    fastrand::seed(storm.seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .context("no runtime")?;
    runtime.block_on(storm.rage())
}

impl Storm {
    async fn rage(self) -> Result<Outcome> {
        let scene = self.scene();
        let region = tokio::spawn(scene.region.clone().run());
        let mut admitters = self.admitters(&scene).await;
        let own: Vec<_> = admitters.keys().cloned().collect();
        scene.region.calls().reset();

        let (began, launched) = (Instant::now(), scene.region.clock().now());
        let nodes: Vec<_> = (0..self.nodes).map(|_| scene.launch(Launch::WORKER)).collect();
        let (floor, mut killed) = (Duration::from_secs_f64(self.floor_seconds()), None);
        let killing = async {
            if self.admitters > 1 {
                sleep(floor / 2).await;
                killed = Some(kill_the_leader(&scene, &mut admitters, began));
            }
            std::future::pending::<()>().await;
        };
        let living = join(
            watch::routed(&scene, &nodes, began),
            join_all(nodes.iter().map(|node| live(&scene, node, began))),
        );
        let (routed, granted) = tokio::select! {
            biased;
            lived = timeout(2 * floor + WINDOW, living) => {
                lived.with_context(|| format!("not all {} nodes were let in", self.nodes))?
            }
            () = killing => unreachable!("it waits to be ended"),
        };
        sleep(SETTLED).await;
        let tally = Tally::of(&scene.region.calls().records(), &own);
        admitters.into_values().chain([region]).for_each(|task| task.abort());

        let leased = leased(&scene);
        let lives = granted.into_iter().map(|Granted { instance, running, asked, granted }| {
            let since = leased.get(&instance).copied().context("a grant without a lease")?;
            let leased = (since - launched).try_into().unwrap_or_default();
            let watch::Routed { first, real } = routed[&instance];
            Ok(Life { instance, running, leased, asked, first_route: first, routed: real, granted })
        });
        Ok(Outcome::new(self, lives.collect::<Result<_>>()?, tally, killed))
    }

    /// A cluster that has room for everybody: the quota of routes is raised, as an operator would
    /// have it raised.
    fn scene(&self) -> Scene {
        let setting = Setting {
            pods: "10.128.0.0/9",
            window: WINDOW,
            lifetime: LIFETIME,
            routes_per_table: (self.nodes + self.admitters + 10).max(1000) as usize,
            ..Setting::usual(self.seed, Profile::Aws)
        };
        let scene = Scene::with(&setting);
        scene.region.with(|state, _| state.ec2.timing = Timing::lifelike());
        scene.add_route_tables(self.tables.saturating_sub(1) as usize);
        scene
    }

    /// Admitters at work, on control-plane nodes that have let themselves in.
    async fn admitters(&self, scene: &Scene) -> BTreeMap<InstanceId, JoinHandle<()>> {
        let mut admitters = BTreeMap::new();
        for _ in 0..self.admitters {
            let own = scene.launch(Launch { role: CONTROL_PLANE, ..Launch::WORKER });
            scene.until_running(&own).await;
            let machine = scene.machine(&own).await;
            let key = PrivateKey::generate().expect("a key");
            let agent = Agent::of_group(CONTROL_PLANE, scene, machine.clone(), &key);
            let itself = scene.idle_admitter(&machine);
            let grant = itself.admit_self(&machine.user, &agent.request).await;
            grant.expect("a control-plane node lets itself in");
            admitters.insert(own, tokio::spawn(scene.admitter(&machine)));
        }
        sleep(QUIET).await;
        admitters
    }
}

/// What a node saw, since the launch.
struct Granted {
    instance: InstanceId,
    running: Duration,
    asked: Duration,
    granted: Duration,
}

/// One instance from its launch until it has its grant.
async fn live(scene: &Scene, instance: &InstanceId, began: Instant) -> Granted {
    scene.until_running(instance).await;
    let running = began.elapsed();
    sleep(Duration::from_millis(fastrand::u64(BOOT_MS))).await;
    let machine = scene.machine(instance).await;
    let agent = Agent::new(scene, machine, &PrivateKey::generate().expect("a key"));
    agent.ask().await;
    let asked = began.elapsed();
    while agent.look().await.is_none() {
        sleep(Duration::from_millis(fastrand::u64(LOOK_MS))).await;
    }
    Granted { instance: instance.clone(), running, asked, granted: began.elapsed() }
}

/// As a crash would: it says nothing any more, and resigns from nothing.
fn kill_the_leader(
    scene: &Scene,
    admitters: &mut BTreeMap<InstanceId, JoinHandle<()>>,
    began: Instant,
) -> Killed {
    let said = scene.history(&scene.keys.leader()).pop().flatten().expect("somebody leads");
    let said: serde_json::Value = serde_json::from_slice(&said).expect("JSON");
    let leader = said["instance"].as_str().expect("an instance").parse().expect("an id");
    admitters.remove(&leader).expect("the leader is one of them").abort();
    Killed { leader, at_seconds: began.elapsed().as_secs_f64() }
}

/// When each instance was leased its pod CIDR, by the region's clock.
fn leased(scene: &Scene) -> BTreeMap<InstanceId, OffsetDateTime> {
    let leases = scene.history(&scene.keys.leases()).pop().flatten().expect("leases");
    let leases: Leases = serde_json::from_slice(&leases).expect("leases");
    leases.leases.into_values().map(|lease| (lease.instance, lease.since)).collect()
}
