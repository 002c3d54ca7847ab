//! The operator's decisions as an admitter reads them: a group's pointer is believed for a few
//! seconds, a revision for ever, since its name is its hash.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::client::s3::{Error, Store};
use crate::config::NodeConfig;
use crate::exchange::Keys;

/// How long a change of a group's pointer may go unnoticed.
const POINTER_TTL: Duration = Duration::from_secs(5);

/// Groups and revisions of one cluster. Who asks for one holds its lock while S3 is asked, so that
/// fifty requests that come at once cost one GET.
#[derive(Debug)]
pub struct Configs {
    store: Store,
    keys: Keys,
    pointers: Mutex<BTreeMap<String, (String, Instant)>>,
    revisions: Mutex<BTreeMap<String, Arc<NodeConfig>>>,
    /// Every group's revision, as of the latest [`Configs::refresh`].
    all: std::sync::Mutex<Vec<Arc<NodeConfig>>>,
}

/// Why a revision cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("there is no such object under `config/`")]
    Absent,
    #[error("`{found}` is not 64 hexadecimal digits")]
    NoHash { found: String },
    #[error("its bytes hash to `{found}`")]
    OtherHash { found: String },
    #[error("{0}")]
    Invalid(String),
    #[error("it is of group `{found}`")]
    OtherGroup { found: String },
    /// S3 did not answer: nobody's fault, to be tried again.
    #[error(transparent)]
    Unread(#[from] Error),
}

impl Configs {
    /// Those that lie under `keys`.
    pub fn new(store: Store, keys: Keys) -> Self {
        Self {
            store,
            keys,
            pointers: Default::default(),
            revisions: Default::default(),
            all: Default::default(),
        }
    }

    /// Reads every group's pointer and revision, so that a request that comes soon waits for none.
    pub async fn refresh(&self) -> Result<(), Unusable> {
        let prefix = self.keys.groups();
        let listed = self.store.list(&prefix).await?;
        let groups = listed.iter().filter_map(|key| key.strip_prefix(&prefix));
        let read = groups.map(async |group| {
            let Some(hash) = self.read_pointer(group).await? else { return Ok(None) };
            let read = (hash.clone(), Instant::now());
            self.pointers.lock().await.insert(group.to_owned(), read);
            self.revision(group, &hash).await.map(Some)
        });
        // One group that cannot be read keeps no other from being known.
        let (mut all, mut failed) = (Vec::new(), Ok(()));
        for read in join_all(read).await {
            match read {
                Ok(config) => all.extend(config),
                Err(error) => failed = Err(error),
            }
        }
        *self.all.lock().expect("all groups") = all;
        failed
    }

    /// Every group's revision, as of the latest [`Configs::refresh`].
    pub fn all(&self) -> Vec<Arc<NodeConfig>> {
        self.all.lock().expect("all groups").clone()
    }

    /// The current revision of `group`; none, if there is no such group.
    pub async fn current(&self, group: &str) -> Result<Option<Arc<NodeConfig>>, Unusable> {
        match self.pointer(group).await? {
            Some(hash) => self.revision(group, &hash).await.map(Some),
            None => Ok(None),
        }
    }

    /// The revision `hash`, which must be of `group`.
    pub async fn revision(&self, group: &str, hash: &str) -> Result<Arc<NodeConfig>, Unusable> {
        let hexadecimal = hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !hexadecimal || hash.len() != 64 {
            return Err(Unusable::NoHash { found: hash.to_owned() });
        }
        let mut revisions = self.revisions.lock().await;
        let config = match revisions.get(hash) {
            Some(config) => config.clone(),
            None => {
                let config = Arc::new(self.fetch(hash).await?);
                revisions.insert(hash.to_owned(), config.clone());
                config
            }
        };
        if config.group != group {
            return Err(Unusable::OtherGroup { found: config.group.clone() });
        }
        Ok(config)
    }

    async fn pointer(&self, group: &str) -> Result<Option<String>, Error> {
        // The name comes from a request: it must not lead out of `groups/`.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if group.is_empty() || group.len() > 128 || !group.bytes().all(plain) {
            return Ok(None);
        }
        let mut pointers = self.pointers.lock().await;
        if let Some((hash, read)) = pointers.get(group)
            && read.elapsed() < POINTER_TTL
        {
            return Ok(Some(hash.clone()));
        }
        let hash = self.read_pointer(group).await?;
        match &hash {
            Some(hash) => pointers.insert(group.to_owned(), (hash.clone(), Instant::now())),
            None => pointers.remove(group),
        };
        Ok(hash)
    }

    async fn read_pointer(&self, group: &str) -> Result<Option<String>, Error> {
        let Some(bytes) = self.get(&self.keys.group(group)).await? else { return Ok(None) };
        let line = String::from_utf8_lossy(&bytes).trim().to_owned();
        Ok(Some(line.strip_prefix("sha256:").unwrap_or(&line).to_owned()))
    }

    async fn fetch(&self, hash: &str) -> Result<NodeConfig, Unusable> {
        let bytes = self.get(&self.keys.config(hash)).await?.ok_or(Unusable::Absent)?;
        let found: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        if found != hash {
            return Err(Unusable::OtherHash { found });
        }
        let text = String::from_utf8_lossy(&bytes);
        NodeConfig::parse(&text).map_err(|problems| Unusable::Invalid(problems.to_string()))
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.store.find(key).await?.map(|object| object.bytes))
    }
}
