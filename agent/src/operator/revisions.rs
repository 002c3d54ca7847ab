//! Group pointers and the revisions that they name: what there is, what would change, and the
//! change itself.

use std::collections::BTreeMap;

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::{Cluster, Hinted, authority, when};
use crate::client::s3::{Condition, Written};
use crate::config::{CaBundle, ClusterFile};

/// How many objects are read at a time.
const PARALLEL: usize = 16;
/// The note beside a pointer that says who moved it: an ARN.
const MOVED_BY: &str = "moved-by";

/// A group's current revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pointer {
    /// 64 hexadecimal digits.
    pub revision: String,
    /// Who moved it here, as an ARN.
    pub moved_by: Option<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub moved_at: Option<OffsetDateTime>,
    #[serde(skip)]
    etag: String,
}

/// What `apply` would do with one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub group: String,
    pub from: Option<Pointer>,
    /// The current revision's text; none for a new group, or where the revision cannot be read.
    pub before: Option<String>,
    /// The wanted revision's hash.
    pub to: String,
    pub after: String,
}

/// Everything that `apply` would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// One a wanted group, whether it changes or not.
    pub changes: Vec<Change>,
    /// Groups that nobody wants. They keep their revisions: instances of them may be running.
    pub others: Vec<String>,
}

/// What a revision is named by: the hash of its bytes, 64 hexadecimal digits.
pub fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every group's pointer.
pub async fn pointers(cluster: &Cluster) -> anyhow::Result<BTreeMap<String, Pointer>> {
    let prefix = cluster.keys.groups();
    let listed = cluster.store.list(&prefix).await.map_err(|error| cluster.explain(error))?;
    let groups: Vec<String> =
        listed.iter().filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned).collect();
    let read = groups.into_iter().map(async |group| {
        let pointer = pointer(cluster, &group).await?;
        anyhow::Ok(pointer.map(|pointer| (group, pointer)))
    });
    stream::iter(read)
        .buffered(PARALLEL)
        .try_filter_map(async |found| Ok(found))
        .try_collect()
        .await
}

/// One group's pointer, which is expected to be there.
async fn pointer(cluster: &Cluster, group: &str) -> anyhow::Result<Option<Pointer>> {
    let key = cluster.keys.group(group);
    let object = cluster.store.get(&key).await.map_err(|error| cluster.explain(error))?;
    let Some(object) = object else { return Ok(None) };
    let line = String::from_utf8_lossy(&object.bytes);
    let revision = line.trim().trim_start_matches("sha256:").to_owned();
    Ok(Some(Pointer {
        revision,
        moved_by: object.notes.get(MOVED_BY).cloned(),
        moved_at: object.modified,
        etag: object.etag,
    }))
}

/// The text of a group's current revision.
pub async fn current(cluster: &Cluster, group: &str) -> anyhow::Result<String> {
    let pointers = pointers(cluster).await?;
    let Some(pointer) = pointers.get(group) else {
        let known: Vec<String> = pointers.keys().map(|name| format!("`{name}`")).collect();
        let message = format!("{} has no group `{group}`", cluster.address());
        let hint = match known.is_empty() {
            true => "no group is described yet: `windlass cluster apply cluster.toml`".to_owned(),
            false => format!("it has {}", known.join(", ")),
        };
        return Err(Hinted::new(message, hint).into());
    };
    text(cluster, &pointer.revision).await
}

/// The text of a revision, checked against its name.
pub async fn text(cluster: &Cluster, revision: &str) -> anyhow::Result<String> {
    let key = cluster.keys.config(revision);
    let object = cluster.store.get(&key).await.map_err(|error| cluster.explain(error))?;
    let object = object.with_context(|| format!("there is no `{key}`"))?;
    let text = String::from_utf8(object.bytes).with_context(|| format!("`{key}` is not text"))?;
    let found = hash(&text);
    anyhow::ensure!(found == revision, "`{key}` has the hash {found}: it was tampered with");
    Ok(text)
}

/// Group → the text of its revision.
pub async fn wanted(
    cluster: &Cluster,
    file: &ClusterFile,
) -> anyhow::Result<BTreeMap<String, String>> {
    let Some(found) = authority::read(cluster).await? else {
        return Err(Hinted::new(
            format!(
                "{} has no authority yet, whose certificate every node needs",
                cluster.address()
            ),
            "windlass cluster init --file cluster.toml",
        )
        .into());
    };
    let (generation, _) = found.newest();
    let bundle = CaBundle { certificate_authorities: found.bundle(), generation };
    let revisions = file.revisions(&bundle);
    Ok(revisions.into_iter().map(|(group, config)| (group, config.to_toml())).collect())
}

/// Compares the `wanted` revisions (group → text) with what the groups have now.
pub async fn compare(
    cluster: &Cluster,
    wanted: &BTreeMap<String, String>,
) -> anyhow::Result<Comparison> {
    let mut pointers = pointers(cluster).await?;
    let mut changes = Vec::new();
    for (group, after) in wanted {
        let (from, to) = (pointers.remove(group), hash(after));
        let before = match &from {
            Some(pointer) if pointer.revision == to => Some(after.clone()),
            Some(pointer) => text(cluster, &pointer.revision).await.ok(),
            None => None,
        };
        changes.push(Change { group: group.clone(), from, before, to, after: after.clone() });
    }
    Ok(Comparison { changes, others: pointers.into_keys().collect() })
}

/// Writes the revisions, then moves the pointers. A group that somebody else moved since
/// [`compare`] read it is an error, and is left as it is; so are the groups after it.
pub async fn apply(cluster: &Cluster, changes: &[Change], caller: &str) -> anyhow::Result<()> {
    let changes: Vec<&Change> = changes.iter().filter(|change| !change.is_none()).collect();
    for change in &changes {
        let key = cluster.keys.config(&change.to);
        let bytes = change.after.clone().into_bytes();
        // Lost is as good: the name is the content's hash.
        let written = cluster.store.put(&key, bytes, Condition::Absent).await;
        written.map_err(|error| cluster.explain(error))?;
    }
    for (done, change) in changes.iter().enumerate() {
        let moved = move_pointer(cluster, change, caller).await;
        moved.with_context(|| format!("{done} of {} groups were moved", changes.len()))?;
    }
    Ok(())
}

async fn move_pointer(cluster: &Cluster, change: &Change, caller: &str) -> anyhow::Result<()> {
    // S3 may also answer 409: another write is under way, ask again.
    const ATTEMPTS: u32 = 3;
    let key = cluster.keys.group(&change.group);
    for _ in 0..ATTEMPTS {
        let condition = match &change.from {
            Some(pointer) => Condition::Unchanged { etag: pointer.etag.clone() },
            None => Condition::Absent,
        };
        let notes = BTreeMap::from([(MOVED_BY.to_owned(), caller.to_owned())]);
        let line = format!("{}\n", change.to).into_bytes();
        let written = cluster.store.put_noted(&key, line, condition, notes).await;
        if let Written::Now { .. } = written.map_err(|error| cluster.explain(error))? {
            return Ok(());
        }
        match pointers(cluster).await?.remove(&change.group) {
            // A write of ours that S3 took although its answer was lost, or the same by another.
            Some(now) if now.revision == change.to => return Ok(()),
            now if now == change.from => {}
            now => return Err(overtaken(change, now).into()),
        }
    }
    anyhow::bail!("S3 refused to move group `{}`, although nobody else moved it", change.group)
}

fn overtaken(change: &Change, now: Option<Pointer>) -> Hinted {
    let group = &change.group;
    let from = change.from.as_ref().map_or("none", |pointer| short(&pointer.revision));
    let message = match now {
        None => format!("group `{group}` was removed while it was compared with {from}"),
        Some(now) => format!(
            "group `{group}` was moved from {from} to {} by {} at {} while it was compared; wanted {}",
            short(&now.revision),
            now.moved_by.as_deref().unwrap_or("somebody who left no name"),
            now.moved_at.map_or("a time that S3 did not say".to_owned(), when),
            short(&change.to),
        ),
    };
    Hinted::new(message, "look at it with `windlass cluster show`, then apply again")
}

/// As much of a hash as a person compares.
pub fn short(revision: &str) -> &str {
    revision.get(..12).unwrap_or(revision)
}

impl Change {
    /// Whether the group already has the wanted revision.
    pub fn is_none(&self) -> bool {
        self.from.as_ref().is_some_and(|pointer| pointer.revision == self.to)
    }
}
