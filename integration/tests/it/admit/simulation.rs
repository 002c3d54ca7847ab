//! Three admitters, one of which is killed, honest and dishonest instances, an AWS that fails now
//! and then: whatever the seed, only the right instances get in, each once, and no pod CIDR has two
//! holders. The same seed gives the same trace.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use integration::region::call::Service;
use integration::region::calls::Record;
use integration::region::ec2::Timing;
use integration::region::{Fault, Profile, Rule};
use ipnet::IpNet;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use windlass::admit::audit::{Decision, Entry};
use windlass::admit::lease::Leases;
use windlass::exchange::{Denied, Grant, InstanceId, UserId};
use windlass::pki::{Certificate, PrivateKey, Subject};

use super::agent::Agent;
use super::scene::{CONTROL_PLANE, Launch, Machine, STRANGERS, Scene, WINDOW};

const SEEDS: u64 = 200;

/// After the last answer: what is written after a grant is written.
const SETTLED: Duration = Duration::from_secs(20);

/// By then what terminated instances left is collected, even if the leader was killed: its term
/// runs out, and EC2 must have said twice that an instance is terminated. Most seeds end before.
const COLLECTED: Duration = Duration::from_secs(240);
const COLLECTING_SEEDS: u64 = 4;

/// What an answer may take, faults and a dead leader included.
const PATIENCE: Duration = Duration::from_secs(120);

/// What an instance does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Character {
    Honest,
    /// Asks, is killed, and asks again with the key that it had written down.
    Interrupted,
    /// Is terminated once it was let in.
    ShortLived,
    /// Honest at first; then somebody in it asks again with another key.
    OtherKey,
    OtherName,
    Masters,
    Sans,
    WeakKey,
    RoleNotListed,
    OtherVpc,
    NotTagged,
    Terminated,
    TooLate,
    Gibberish,
    GroupUnknown,
    RevisionUnknown,
}

use Character::*;

/// Those who must be let in.
const RIGHT: [Character; 4] = [Honest, Interrupted, ShortLived, OtherKey];

/// Those who must not, and by which word they are told.
const WRONG: [(Character, &str); 12] = [
    (OtherName, "other-name"),
    (Masters, "other-name"),
    (Sans, "extensions-requested"),
    (WeakKey, "weak-key"),
    (RoleNotListed, "role-not-listed"),
    (OtherVpc, "other-vpc"),
    (NotTagged, "not-tagged"),
    (Terminated, "instance-not-running"),
    (TooLate, "launched-too-long-ago"),
    (Gibberish, "request-malformed"),
    (GroupUnknown, "group-unknown"),
    (RevisionUnknown, "revision-unusable"),
];

/// What became of an instance.
#[derive(Debug)]
struct Fate {
    character: Character,
    user: UserId,
    public_key_sha256: String,
    grant: Option<Grant>,
    denied: Option<Denied>,
}

/// A run's outcome: what became of everybody, and every call in order.
struct Run {
    scene: Scene,
    fates: Vec<Fate>,
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
    for character in characters(&mut chance) {
        let (scene, chance) = (scene.clone(), chance.fork());
        living.spawn(async move { live(scene, character, chance).await });
    }
    let mut fates = Vec::new();
    while let Some(fate) = living.join_next().await {
        fates.push(fate.expect("no instance panics"));
    }
    fates.sort_by(|a, b| (a.character, &a.user).cmp(&(b.character, &b.user)));
    sleep(if collects(seed) { COLLECTED } else { SETTLED }).await;
    killing.await.expect("one was killed").into_iter().for_each(|it| it.abort());
    region.abort();
    let trace = trace(&scene);
    Run { scene, fates, trace }
}

/// Whether a run goes on until everything is collected.
fn collects(seed: u64) -> bool {
    seed.is_multiple_of(COLLECTING_SEEDS)
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
    let rule = Rule::always(stale).on(Service::Ec2, "DescribeInstances");
    scene.region.faults().add(rule.from_call(chance.u64(1..10)).times(chance.u64(1..4)));
}

/// One instance from its launch until it has its answer.
async fn live(scene: Scene, character: Character, mut chance: fastrand::Rng) -> Fate {
    sleep(Duration::from_millis(chance.u64(..8000))).await;
    let instance = scene.launch(Launch {
        role: if character == RoleNotListed { STRANGERS } else { Launch::WORKER.role },
        in_cluster_vpc: character != OtherVpc,
        tagged: character != NotTagged,
    });
    scene.until_running(&instance).await;
    let machine = scene.machine(&instance).await;
    sleep(Duration::from_millis(chance.u64(..3000))).await;
    match character {
        TooLate => sleep(WINDOW + Duration::from_secs(1)).await,
        Terminated => {
            scene.terminate(&instance);
            // Longer than EC2's answers may lag and be remembered.
            sleep(Duration::from_secs(10)).await;
        }
        _ => {}
    }
    let key = PrivateKey::generate().expect("a key");
    let agent = spoiled(character, &scene, machine.clone(), &key);
    agent.ask().await;
    let mut fate = Fate {
        character,
        user: machine.user.clone(),
        public_key_sha256: key.public_key_sha256(),
        grant: None,
        denied: None,
    };
    if WRONG.iter().any(|(wrong, _)| *wrong == character) {
        fate.denied = in_time(agent.denied()).await;
        return fate;
    }
    if character == Interrupted {
        sleep(Duration::from_millis(chance.u64(..500))).await;
        agent.ask().await;
    }
    fate.grant = in_time(agent.granted()).await;
    match character {
        ShortLived => scene.terminate(&instance),
        OtherKey => fate.denied = in_time(ask_with_another_key(&scene, machine)).await,
        _ => {}
    }
    fate
}

/// The answer, unless it takes so long that something is wrong.
async fn in_time<T>(answer: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(PATIENCE, answer).await.ok()
}

/// An agent with what is wrong about the character.
fn spoiled(character: Character, scene: &Scene, machine: Machine, key: &PrivateKey) -> Agent {
    let own = Subject::node(machine.user.instance.as_str());
    let mut agent = Agent::new(scene, machine, key);
    let request = &mut agent.request;
    let csr = |subject: &Subject| key.request(subject).expect("a signing request");
    match character {
        OtherName => request.csr = csr(&Subject::node("i-0123456789abcdef0")),
        Masters => {
            request.csr = csr(&Subject { organization: Some("system:masters".into()), ..own });
        }
        Sans => request.csr = request_with_sans(&own),
        WeakKey => request.csr = include_str!("rsa1024.csr").to_owned(),
        Gibberish => request.version = 9,
        GroupUnknown => request.group = "../../pki".to_owned(),
        RevisionUnknown => request.revision = "0".repeat(64),
        _ => {}
    }
    agent
}

fn request_with_sans(subject: &Subject) -> String {
    let names = vec!["kubernetes.default.svc".to_owned()];
    let mut params = rcgen::CertificateParams::new(names).expect("a name");
    params.distinguished_name = rcgen::DistinguishedName::new();
    let organization = subject.organization.clone().unwrap_or_default();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, organization);
    params.distinguished_name.push(rcgen::DnType::CommonName, subject.common_name.clone());
    let key = rcgen::KeyPair::generate().expect("a key");
    params.serialize_request(&key).expect("a request").pem().expect("PEM")
}

async fn ask_with_another_key(scene: &Scene, machine: Machine) -> Denied {
    let other = PrivateKey::generate().expect("a key");
    let agent = Agent::new(scene, machine, &other);
    loop {
        // The honest request may still be in the inbox: it is answered first.
        agent.ask().await;
        let waited = tokio::time::timeout(Duration::from_secs(5), agent.denied()).await;
        if let Ok(denied) = waited {
            return denied;
        }
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

impl Run {
    fn everybody_has_the_right_answer(&self, seed: u64) {
        for fate in &self.fates {
            let wrong = WRONG.iter().find(|(wrong, _)| *wrong == fate.character);
            let word = wrong.map(|(_, word)| *word);
            let word = word.or((fate.character == OtherKey).then_some("other-key"));
            let denied = fate.denied.as_ref().map(|denied| denied.reason.as_str());
            assert_eq!(denied, word, "seed {seed}: {fate:?}");
            assert_eq!(fate.grant.is_some(), wrong.is_none(), "seed {seed}: {fate:?}");
        }
    }

    /// In every version of the leases that ever was: no overlap, and no CIDR passes from one
    /// instance to another unless the first was terminated.
    fn no_pod_cidr_had_two_holders(&self, seed: u64) {
        let ended: BTreeSet<_> = self.of(&[ShortLived, Terminated]).collect();
        let mut holders: BTreeMap<IpNet, InstanceId> = BTreeMap::new();
        let mut versions = 0;
        for bytes in self.scene.history(&self.scene.keys.leases()).into_iter().flatten() {
            let leases: Leases = serde_json::from_slice(&bytes).expect("leases");
            versions += 1;
            let cidrs: Vec<_> = leases.leases.keys().collect();
            for (index, a) in cidrs.iter().enumerate() {
                for b in &cidrs[index + 1..] {
                    assert!(!a.contains(*b) && !b.contains(*a), "seed {seed}: {a} and {b}");
                }
            }
            for (cidr, lease) in leases.leases {
                let before = holders.insert(cidr, lease.instance.clone());
                if let Some(before) = before.filter(|before| *before != lease.instance) {
                    assert!(ended.contains(&before), "seed {seed}: {cidr} was {before}'s");
                }
            }
        }
        assert!(versions > 0, "seed {seed}: nothing was leased");
    }

    /// Whoever ever had a grant had one only, for its own key, with a certificate that the cluster
    /// trusts and the pod CIDRs that it held.
    fn every_grant_was_for_the_right_key_and_lease(&self, seed: u64) {
        let authority = Certificate::from_pem(self.scene.authority().certificate_pem());
        let authority = authority.expect("a certificate");
        let right: BTreeMap<_, _> = self
            .fates
            .iter()
            .filter(|fate| RIGHT.contains(&fate.character))
            .map(|fate| (self.scene.keys.grant(&fate.user), fate))
            .collect();
        let mut granted = BTreeSet::new();
        for key in self.scene.all_keys().into_iter().filter(|key| key.ends_with("/grant.json")) {
            let written: Vec<_> = self.scene.history(&key).into_iter().flatten().collect();
            let fate = right.get(&key).unwrap_or_else(|| panic!("seed {seed}: {key} has a grant"));
            assert_eq!(written.len(), 1, "seed {seed}: {key} was written again");
            let grant: Grant = serde_json::from_slice(&written[0]).expect("a grant");
            let certificate = Certificate::from_pem(&grant.certificate).expect("a certificate");
            assert!(certificate.is_signed_by(&authority), "seed {seed}: {key}");
            assert!(certificate.client_auth && !certificate.server_auth, "seed {seed}: {key}");
            assert_eq!(certificate.organizations, ["system:nodes"], "seed {seed}: {key}");
            let name = format!("system:node:{}", fate.user.instance);
            assert_eq!(certificate.common_name, name, "seed {seed}: {key}");
            assert_eq!(certificate.public_key_sha256, fate.public_key_sha256, "seed {seed}: {key}");
            assert!(self.ever_held(&fate.user.instance, &grant.pod_cidrs), "seed {seed}: {key}");
            granted.insert(key);
        }
        assert_eq!(granted, right.into_keys().collect(), "seed {seed}: each honest one has one");
    }

    fn ever_held(&self, instance: &InstanceId, cidrs: &[IpNet]) -> bool {
        let leases = self.scene.history(&self.scene.keys.leases()).into_iter().flatten();
        let mut leases = leases.map(|it| serde_json::from_slice::<Leases>(&it).expect("leases"));
        !cidrs.is_empty() && leases.any(|leases| leases.held_by(instance) == cidrs)
    }

    /// The terminated hold nothing any more, everybody else what they were granted, and the audit
    /// trail says why.
    fn what_was_left_is_collected(&self, seed: u64) {
        let leases = self.scene.history(&self.scene.keys.leases()).pop().flatten();
        let leases: Leases = serde_json::from_slice(&leases.expect("leases")).expect("leases");
        for fate in &self.fates {
            let held = leases.held_by(&fate.user.instance);
            let key = self.scene.keys.grant(&fate.user);
            let grant = self.scene.history(&key).pop().flatten();
            match &fate.grant {
                Some(granted) if fate.character != ShortLived => {
                    assert_eq!(held, granted.pod_cidrs, "seed {seed}: {fate:?}");
                    assert!(grant.is_some(), "seed {seed}: {fate:?}");
                }
                Some(_) if collects(seed) => {
                    assert_eq!(held, [], "seed {seed}: {fate:?}");
                    assert_eq!(grant, None, "seed {seed}: {fate:?}");
                    // Two admitters may collect at once: each writes that down.
                    assert!(self.audited(fate, Decision::Collected) > 0, "seed {seed}: {fate:?}");
                }
                Some(_) | None => {}
            }
            if fate.denied.is_some() {
                assert!(self.audited(fate, Decision::Denied) > 0, "seed {seed}: {fate:?}");
            }
            let inbox = self.scene.history(&self.scene.keys.request(&fate.user)).pop().flatten();
            assert_eq!(inbox, None, "seed {seed}: {fate:?} still asks");
        }
    }

    fn audited(&self, fate: &Fate, decision: Decision) -> usize {
        let keys = self.scene.all_keys().into_iter().filter(|key| key.contains("/audit/"));
        let entries = keys.filter_map(|key| self.scene.history(&key).pop().flatten());
        let entries = entries.map(|it| serde_json::from_slice::<Entry>(&it).expect("an entry"));
        entries.filter(|it| it.user == fate.user && it.decision == decision).count()
    }

    fn of(&self, characters: &[Character]) -> impl Iterator<Item = InstanceId> {
        let fates = self.fates.iter().filter(|fate| characters.contains(&fate.character));
        fates.map(|fate| fate.user.instance.clone())
    }
}
