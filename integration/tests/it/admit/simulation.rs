//! Three admitters, one of which is killed, honest and dishonest instances, an AWS that fails now
//! and then, somebody who takes routes away: whatever the seed, only the right instances get in, each
//! once, no pod CIDR has two holders, and whoever has a grant is routed. The same seed gives the same
//! trace.

use std::time::Duration;

use integration::region::call::Service;
use integration::region::calls::Record;
use integration::region::ec2::Timing;
use integration::region::{Fault, Profile, Rule};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::characters::Character::{self, Honest, TooLate};
use super::characters::{Fate, RIGHT, WRONG, live};
use super::roads::Roads;
use super::scene::{CONTROL_PLANE, Launch, Scene};

const SEEDS: u64 = 200;

/// After the last answer: what is written after a grant is written.
const SETTLED: Duration = Duration::from_secs(20);

/// By then what terminated instances left is collected, even if the leader was killed: its term
/// runs out, and EC2 must have said twice that an instance is terminated. Every fourth seed lives so
/// long, and has somebody who asks when the window is over; the others end before.
const COLLECTED: Duration = Duration::from_secs(240);
const LONG_SEEDS: u64 = 4;

/// A run's outcome: what became of everybody, and every call in order.
pub struct Run {
    pub scene: Scene,
    pub fates: Vec<Fate>,
    roads: Roads,
    trace: Vec<String>,
}

#[test]
fn only_the_right_ones_get_in_whatever_happens() {
    in_parallel(SEEDS, |seed| {
        let run = simulate(seed);
        run.everybody_has_the_right_answer(seed);
        run.no_pod_cidr_had_two_holders(seed);
        run.every_grant_was_for_the_right_key_and_lease(seed);
        run.what_was_left_is_collected(seed);
        run.roads.none_was_missing(seed);
        if is_long(seed) {
            run.roads.all_is_put_right(seed);
        }
    });
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    in_parallel(6, |seed| {
        let (one, two) = (simulate(seed).trace, simulate(seed).trace);
        let differs = one.iter().zip(&two).position(|(a, b)| a != b);
        if let Some(at) = differs {
            panic!("seed {seed}: call {at} was `{}` and then `{}`", one[at], two[at]);
        }
        assert_eq!(one.len(), two.len(), "seed {seed}");
    });
    assert_ne!(simulate(1).trace, simulate(2).trace);
}

/// A thread a CPU: each seed has a runtime, a clock and chance of its own.
fn in_parallel(seeds: u64, check: impl Fn(u64) + Sync) {
    let next = std::sync::atomic::AtomicU64::new(0);
    let work = || {
        loop {
            let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            check(seed);
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
}

fn simulate(seed: u64) -> Run {
    // The SDK's and our own jitter.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(run(seed))
}

async fn run(seed: u64) -> Run {
    let mut chance = fastrand::Rng::with_seed(seed);
    let scene = Scene::new(seed, Profile::Aws);
    scene.region.with(|state, _| state.ec2.timing = Timing::lifelike());
    let region = tokio::spawn(scene.region.clone().run());
    let roads = Roads::new(&scene).await;
    let watching = tokio::spawn(roads.clone().watch());
    let meddling = tokio::spawn(roads.clone().meddle(chance.fork()));

    let mut admitters = Vec::new();
    for _ in 0..3 {
        let own = scene.launch(Launch { role: CONTROL_PLANE, ..Launch::WORKER });
        scene.until_running(&own).await;
        let machine = scene.machine(&own).await;
        admitters.push(tokio::spawn(scene.admitter(&machine)));
    }
    add_faults(&scene, &mut chance);
    let killing = tokio::spawn(kill_one(admitters, chance.usize(..3), chance.u64(..20_000)));

    let mut living = JoinSet::new();
    for character in
        characters(&mut chance).into_iter().filter(|it| is_long(seed) || *it != TooLate)
    {
        let (scene, roads, chance) = (scene.clone(), roads.clone(), chance.fork());
        living.spawn(live(scene, roads, character, chance));
    }
    let mut fates = Vec::new();
    while let Some(fate) = living.join_next().await {
        fates.push(fate.expect("no instance panics"));
    }
    fates.sort_by(|a, b| (a.character, &a.user).cmp(&(b.character, &b.user)));
    meddling.abort();
    sleep(if is_long(seed) { COLLECTED } else { SETTLED }).await;
    watching.abort();
    killing.await.expect("one was killed").into_iter().for_each(|it| it.abort());
    region.abort();
    let trace = trace(&scene);
    Run { scene, fates, roads, trace }
}

/// Whether a run goes on until everything is collected.
pub fn is_long(seed: u64) -> bool {
    seed.is_multiple_of(LONG_SEEDS)
}

/// One of each wrong kind and some of each right one, in any order.
fn characters(chance: &mut fastrand::Rng) -> Vec<Character> {
    let wrong = WRONG.map(|(character, _)| character);
    let mut all: Vec<_> = RIGHT.into_iter().chain(wrong).collect();
    all.extend((0..chance.usize(1..4)).map(|_| Honest));
    chance.shuffle(&mut all);
    all
}

async fn kill_one(
    mut admitters: Vec<JoinHandle<()>>,
    which: usize,
    after_ms: u64,
) -> Vec<JoinHandle<()>> {
    sleep(Duration::from_millis(after_ms)).await;
    admitters.remove(which).abort();
    admitters
}

/// Some calls of everybody fail, each in one of the ways that AWS has.
fn add_faults(scene: &Scene, chance: &mut fastrand::Rng) {
    for _ in 0..chance.usize(2..8) {
        let (service, action) = *chance
            .choice(&[
                (Service::S3, "PutObject"),
                (Service::S3, "GetObject"),
                (Service::S3, "DeleteObject"),
                (Service::S3, "List*"),
                (Service::Ec2, "DescribeInstances"),
                (Service::Ec2, "DescribeRouteTables"),
                (Service::Ec2, "CreateRoute"),
                (Service::Ec2, "DeleteRoute"),
                (Service::Ec2, "Modify*"),
            ])
            .expect("a choice");
        let fault = match chance.u32(..7) {
            0 => Fault::Throttle,
            1 => Fault::InternalError,
            2 => Fault::Unavailable,
            3 => Fault::Timeout,
            4 => Fault::Lost,
            5 => Fault::Cut,
            _ => Fault::Slow(Duration::from_millis(chance.u64(200..3000))),
        };
        let rule = Rule::always(fault).on(service, action);
        scene.region.faults().add(rule.from_call(chance.u64(1..60)).times(chance.u64(1..5)));
    }
    let stale = Fault::Stale(Duration::from_millis(chance.u64(500..3000)));
    for action in ["DescribeInstances", "DescribeRouteTables"] {
        let rule = Rule::always(stale.clone()).on(Service::Ec2, action);
        scene.region.faults().add(rule.from_call(chance.u64(1..10)).times(chance.u64(1..4)));
    }
}

/// Every call: when, whose, what, about what, how it ended. Not sizes and ETags: signatures differ.
fn trace(scene: &Scene) -> Vec<String> {
    let records = scene.region.calls().records();
    let line = |it: Record| {
        let fault = it.fault.unwrap_or_default();
        let code = it.code.unwrap_or_default();
        // Named by a hash over the authority's certificate, whose signature differs each time.
        let revision = it.resource.contains("/config/");
        let resource = if revision { "a revision" } else { &it.resource };
        let action = format!("{}:{} {resource}", it.service, it.action);
        format!("{} {} {action} {} {code} {fault}", it.at, it.caller, it.status)
    };
    records.into_iter().map(line).collect()
}
