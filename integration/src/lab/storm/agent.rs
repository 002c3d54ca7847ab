//! A simulated instance: it makes a key, asks, and looks for its answer until there is one. Looks
//! that would find nothing go past S3's wire: they would be most of the work, and concern nobody.

use std::time::Duration;

use tokio::time::sleep;
use windlass::client::s3::{Condition, Store};
use windlass::exchange::{Denied, Grant, Keys, Request};
use windlass::pki::{PrivateKey, Subject};

use super::scene::{Machine, Scene, WORKERS};

/// Between two looks for an answer.
const LOOK: Duration = Duration::from_millis(300);

/// One instance that asks.
pub struct Agent {
    pub machine: Machine,
    pub request: Request,
    scene: Scene,
    keys: Keys,
    store: Store,
}

impl Agent {
    /// An agent of group `workers` that asks for its own name with `key`.
    pub fn new(scene: &Scene, machine: Machine, key: &PrivateKey) -> Self {
        Self::of_group(WORKERS, scene, machine, key)
    }

    /// An agent of any group.
    pub fn of_group(group: &str, scene: &Scene, machine: Machine, key: &PrivateKey) -> Self {
        let subject = Subject::node(machine.user.instance.as_str());
        let csr = key.request(&subject).expect("a signing request");
        let request = Request {
            version: 1,
            group: group.to_owned(),
            revision: scene.revisions[group].clone(),
            csr,
            at: machine.now(),
        };
        let (keys, store) = (scene.keys.clone(), machine.store());
        Self { scene: scene.clone(), keys, store, machine, request }
    }

    /// Puts the request into the inbox, however often that takes.
    pub async fn ask(&self) {
        let key = self.keys.request(&self.machine.user);
        let bytes = serde_json::to_vec(&self.request).expect("JSON");
        while self.store.put(&key, bytes.clone(), Condition::Absent).await.is_err() {
            sleep(LOOK).await;
        }
    }

    /// Looks until there is a grant that counts.
    pub async fn granted(&self) -> Grant {
        loop {
            if let Some(grant) = self.look().await {
                return grant;
            }
            sleep(LOOK).await;
        }
    }

    /// The grant, if it is there and counts.
    pub async fn look(&self) -> Option<Grant> {
        let grant = self.read::<Grant>(&self.keys.grant(&self.machine.user)).await?;
        (grant.not_after > self.machine.now()).then_some(grant)
    }

    /// Looks until there is a refusal of this request.
    pub async fn denied(&self) -> Denied {
        let key = self.keys.denied(&self.machine.user);
        loop {
            if let Some(denied) = self.read::<Denied>(&key).await
                && denied.at >= self.request.at
            {
                return denied;
            }
            sleep(LOOK).await;
        }
    }

    /// None for whatever reason: a call of a simulated AWS may fail.
    async fn read<T: serde::de::DeserializeOwned>(&self, key: &str) -> Option<T> {
        if !self.scene.has(key) {
            return None;
        }
        let object = self.store.get(key).await.ok()??;
        serde_json::from_slice(&object.bytes).ok()
    }
}
