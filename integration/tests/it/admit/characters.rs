//! What the simulation's instances are like: the right ones, the wrong ones, and how each asks.

use std::future::Future;
use std::time::Duration;

use tokio::time::sleep;
use windlass::exchange::{Denied, Grant, UserId};
use windlass::pki::{PrivateKey, Subject};

use super::agent::Agent;
use super::roads::Roads;
use super::scene::{Launch, Machine, STRANGERS, Scene, WINDOW};

/// What an answer may take, faults and a dead leader included.
const PATIENCE: Duration = Duration::from_secs(120);

/// What an instance does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Character {
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
pub const RIGHT: [Character; 4] = [Honest, Interrupted, ShortLived, OtherKey];

/// Those who must not, and by which word they are told.
pub const WRONG: [(Character, &str); 12] = [
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
pub struct Fate {
    pub character: Character,
    pub user: UserId,
    pub public_key_sha256: String,
    pub grant: Option<Grant>,
    pub denied: Option<Denied>,
}

/// One instance from its launch until it has its answer.
pub async fn live(
    scene: Scene,
    roads: Roads,
    character: Character,
    mut chance: fastrand::Rng,
) -> Fate {
    sleep(Duration::from_millis(chance.u64(..8000))).await;
    let instance = scene.launch(Launch {
        role: if character == RoleNotListed { STRANGERS } else { Launch::WORKER.role },
        in_cluster_vpc: character != OtherVpc,
        tagged: character != NotTagged,
        ..Launch::WORKER
    });
    scene.until_running(&instance).await;
    let machine = scene.machine(&instance).await;
    sleep(Duration::from_millis(chance.u64(..3000))).await;
    match character {
        TooLate => sleep(WINDOW + Duration::from_secs(1)).await,
        Terminated => {
            scene.terminate(&instance);
            // Longer than EC2's answers may lag and be remembered.
            sleep(Duration::from_secs(15)).await;
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
    fate.grant.iter().for_each(|grant| roads.granted(grant));
    match character {
        ShortLived => {
            sleep(Duration::from_millis(chance.u64(..10_000))).await;
            roads.ends(&instance);
            scene.terminate(&instance);
        }
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
