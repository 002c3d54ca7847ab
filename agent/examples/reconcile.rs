//! What it costs an admitter to see that the VPC's routes are as they should be, for more and more
//! nodes: CPU time and allocations of one comparison that finds nothing to do.
//!
//! `cargo lab storm --reconcile` runs it, built as the product is released.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use ipnet::IpNet;
use nix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;
use windlass::admit::lease::{Lease, Leases};
use windlass::admit::routes::{Desired, Diff};
use windlass::client::ec2::{Instance, Route, RouteTable, State, Target};
use windlass::exchange::InstanceId;

const NODES: [u32; 4] = [250, 500, 1000, 2000];
const TABLES: u32 = 3;
/// The median of so many is told.
const TIMES: usize = 201;
const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn main() {
    println!(
        "{:>5}  {:>6}  {:>7}  {:>8}  {:>11}  {:>8}",
        "nodes", "tables", "µs", "µs/node", "allocations", "KiB"
    );
    for nodes in NODES {
        let cluster = Cluster::of(nodes);
        let mut times: Vec<f64> = (0..TIMES).map(|_| cluster.compare_us()).collect();
        times.sort_by(f64::total_cmp);
        let us = times[TIMES / 2];
        let (allocations, bytes) = cluster.compare_allocations();
        println!(
            "{nodes:>5}  {TABLES:>6}  {us:>7.0}  {:>8.2}  {allocations:>11}  {:>8}",
            us / f64::from(nodes),
            bytes / 1024
        );
    }
}

/// A cluster in which everything is as it should be.
struct Cluster {
    leases: Leases,
    instances: Vec<Instance>,
    tables: Vec<RouteTable>,
}

impl Cluster {
    fn of(nodes: u32) -> Self {
        let leases = (0..nodes).map(|node| {
            let network_interface = Some(interface(node));
            (cidr(node), Lease { instance: id(node), network_interface, since: NOW })
        });
        let route = |node| {
            let target = Target::Interface { id: interface(node), instance: Some(id(node)) };
            (cidr(node), Route { target, blackhole: false })
        };
        let table = |table| RouteTable {
            id: format!("rtb-{table:017x}"),
            routes: (0..nodes).map(route).collect(),
        };
        Self {
            leases: Leases { leases: leases.collect(), ..Leases::default() },
            instances: (0..nodes).map(instance).collect(),
            tables: (0..TABLES).map(table).collect(),
        }
    }

    /// What a round of the admitter's does with what it knows.
    fn compare(&self) {
        let desired = Desired::of(black_box(&self.leases), black_box(&self.instances), NOW);
        let diff = Diff::between(black_box(&self.tables), &desired);
        assert_eq!(diff, Diff::default(), "there is nothing to do");
    }

    fn compare_us(&self) -> f64 {
        let began = cpu_us();
        self.compare();
        cpu_us() - began
    }

    fn compare_allocations(&self) -> (u64, u64) {
        let counts = || (ALLOCATIONS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
        let before = counts();
        self.compare();
        let after = counts();
        (after.0 - before.0, after.1 - before.1)
    }
}

fn cidr(node: u32) -> IpNet {
    format!("10.{}.{}.0/24", 128 + node / 256, node % 256).parse().expect("a CIDR")
}

fn id(node: u32) -> InstanceId {
    format!("i-{node:017x}").parse().expect("an instance id")
}

fn interface(node: u32) -> String {
    format!("eni-{node:017x}")
}

fn instance(node: u32) -> Instance {
    Instance {
        id: id(node),
        state: State::Running,
        launched: NOW,
        vpc: Some("vpc-0123456789abcdef0".to_owned()),
        instance_profile: Some("arn:aws:iam::123456789012:instance-profile/workers".to_owned()),
        tags: BTreeMap::new(),
        zone: "eu-west-1a".to_owned(),
        instance_type: "m7g.large".to_owned(),
        network_interface: Some(interface(node)),
        source_dest_check: false,
        private_ip: None,
        private_dns: None,
        addresses: BTreeSet::new(),
        dns_names: BTreeSet::new(),
    }
}

/// Of this process; others on the machine do not count.
fn cpu_us() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("a clock");
    time.tv_sec() as f64 * 1e6 + time.tv_nsec() as f64 / 1e3
}

/// The system's allocator, counted.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one hands everything on")]
// SAFETY: the system's allocator keeps the trait's contract, and gets every call as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}
