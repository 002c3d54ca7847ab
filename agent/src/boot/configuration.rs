//! The configuration revision: one object of S3, believed because it hashes to its name, and kept
//! on disk, so that a reboot without S3 comes up with the last one that was verified.

use std::time::Duration;

use anyhow::{Context, anyhow};
use time::OffsetDateTime;

use super::Done;
use super::identity;
use super::stop::{Stop, persistently_within};
use crate::basis::{REVISIONS, kept_revision, revision_file};
use crate::client::s3::{self, Store};
use crate::config::userdata::Sha256Hex;
use crate::config::{NodeConfig, UserData};
use crate::converge::{ensure_file, ensure_symlink};
use crate::exchange::Keys;
use crate::host::Machine;
use crate::pki::sha256_hex;
use crate::report::Outcome;

/// How long S3 may fail a machine that has a revision: one that was a node an hour ago shall be one
/// again soon, whatever the group wants by now.
const KEPT_SUFFICES: Duration = Duration::from_secs(10);

/// A verified revision.
#[derive(Clone, Debug)]
pub struct Revision {
    pub hash: Sha256Hex,
    pub config: NodeConfig,
    /// Why it is an older one than the group's current one may be.
    pub stale: Option<String>,
}

/// A revision that was found, with what is to be kept of it.
#[derive(Clone, Debug)]
pub struct Found {
    pub revision: Revision,
    text: String,
    detail: String,
}

/// The revision that UserData pins, or else the group's current one; kept on disk from now on.
pub async fn obtain(
    machine: &Machine,
    store: &Store,
    user_data: &UserData,
    now: OffsetDateTime,
) -> Result<Done<Revision>, Stop> {
    let Found { revision, text, detail } = find(machine, store, user_data, now).await?;
    let outcome = keep(machine, &revision.hash, &text)?;
    if let Some(reason) = &revision.stale {
        let hash = short(&revision.hash);
        tracing::warn!("using the last verified configuration, revision {hash}: {reason}");
    }
    Ok(Done { value: revision, outcome, detail })
}

/// As [`obtain`], without a trace.
pub async fn find(
    machine: &Machine,
    store: &Store,
    user_data: &UserData,
    now: OffsetDateTime,
) -> Result<Found, Stop> {
    let keys = Keys::of(&user_data.cluster);
    let kept = kept_last(machine, user_data);
    // Whoever has to be admitted needs S3 all the same.
    let suffices = kept.is_some() && identity::is_current(machine, now);
    let most = if suffices { KEPT_SUFFICES } else { Duration::MAX };
    let current = match &user_data.config {
        Some(pinned) => Ok(pinned.clone()),
        None => pointer(store, &keys, user_data, most).await,
    };
    let found = match current {
        Ok(hash) => verified(machine, store, &keys, &hash, most).await.map(|found| (hash, found)),
        Err(unknown) => Err(unknown),
    };
    let ((hash, (text, how)), stale) = match found {
        Ok(found) => (found, None),
        Err(stop) => match kept {
            Some(kept) => (kept, Some(format!("{:#}", stop.reason))),
            None => return Err(stop),
        },
    };
    let config = NodeConfig::parse(&text)?;
    check(&config, user_data, &hash)?;
    let detail = format!("revision {} of group `{}`, {how}", short(&hash), user_data.group);
    Ok(Found { revision: Revision { hash, config, stale }, text, detail })
}

/// The first digits, as a person compares them.
pub fn short(hash: &Sha256Hex) -> &str {
    &hash.as_str()[..12]
}

async fn pointer(
    store: &Store,
    keys: &Keys,
    user_data: &UserData,
    most: Duration,
) -> Result<Sha256Hex, Stop> {
    let (key, group) = (keys.group(&user_data.group), &user_data.group);
    let object = persistently_within(most, async || store.get(&key).await).await;
    let object =
        object.map_err(|error| explained(error, &format!("is there a group `{group}`?")))?;
    let place = format!("s3://{}/{key}", store.bucket());
    let object = object.ok_or_else(|| {
        Stop::because(anyhow!(
            "there is no group `{group}` in cluster `{}`: `{place}` does not exist\n\
             hint: `windlass cluster show` lists the groups",
            user_data.cluster
        ))
    })?;
    let text = String::from_utf8_lossy(&object.bytes);
    let hash = text.trim().parse().map_err(|error: String| anyhow!(error));
    hash.with_context(|| format!("`{place}` does not name a revision")).map_err(Stop::because)
}

/// The revision's text, from disk where it is, and where it came from.
async fn verified(
    machine: &Machine,
    store: &Store,
    keys: &Keys,
    hash: &Sha256Hex,
    most: Duration,
) -> Result<(String, &'static str), Stop> {
    if let Some(text) = kept_revision(machine, hash) {
        return Ok((text, "kept on disk"));
    }
    let key = keys.config(hash.as_str());
    let object = persistently_within(most, async || store.get(&key).await).await;
    let object = object.map_err(|error| explained(error, "was the revision ever written?"))?;
    let place = format!("s3://{}/{key}", store.bucket());
    let object = object.ok_or_else(|| {
        Stop::because(anyhow!(
            "`{place}` does not exist, although UserData or the group's pointer names it"
        ))
    })?;
    let found = sha256_hex(&object.bytes);
    if found != hash.as_str() {
        return Err(Stop::because(anyhow!(
            "`{place}` has the SHA-256 {found}, wanted the one in its name\n\
             hint: somebody changed an object that is never changed; `windlass cluster apply` writes it again"
        )));
    }
    let text = String::from_utf8(object.bytes).with_context(|| format!("`{place}` is not text"));
    Ok((text.map_err(Stop::because)?, "from S3"))
}

fn check(config: &NodeConfig, user_data: &UserData, hash: &Sha256Hex) -> Result<(), Stop> {
    for (what, found, wanted) in [
        ("cluster", &config.cluster.name, &user_data.cluster),
        ("group", &config.group, &user_data.group),
    ] {
        if found != wanted {
            return Err(Stop::because(anyhow!(
                "revision {} is for the {what} `{found}`, wanted `{wanted}` as UserData says",
                short(hash)
            )));
        }
    }
    Ok(())
}

fn keep(machine: &Machine, hash: &Sha256Hex, text: &str) -> anyhow::Result<Outcome> {
    let file = ensure_file(machine, revision_file(hash), 0o644, text.as_bytes())?;
    let link = ensure_symlink(machine, format!("{REVISIONS}/current"), format!("{hash}.toml"))?;
    Ok(super::outcome(&[file, link]))
}

/// The last revision used, if it is of this group; a pin is not answered with another one.
fn kept_last(
    machine: &Machine,
    user_data: &UserData,
) -> Option<(Sha256Hex, (String, &'static str))> {
    if user_data.config.is_some() {
        return None;
    }
    let link = std::fs::read_link(machine.path(format!("{REVISIONS}/current"))).ok()?;
    let hash: Sha256Hex = link.to_str()?.strip_suffix(".toml")?.parse().ok()?;
    let text = kept_revision(machine, &hash)?;
    let config = NodeConfig::parse(&text).ok()?;
    let same = config.group == user_data.group && config.cluster.name == user_data.cluster;
    same.then_some((hash, (text, "the last verified, since S3 could not be asked")))
}

/// What S3 said, and what a reader can do. `absent` asks what a missing object would mean: S3 tells
/// a caller who may not list neither from the other ("GetObject", Permissions).
pub fn explained(error: s3::Error, absent: &str) -> Stop {
    let hint = match &error {
        s3::Error::NoBucket { bucket } => {
            let reason = format!(
                "{error}\nhint: UserData names `{bucket}`; is it spelt so, and in this partition?"
            );
            return Stop::because(anyhow!(reason));
        }
        s3::Error::Denied { action, bucket, key, .. } => format!(
            "\nhint: {absent} If so, the instance's role needs {action} on arn:aws:s3:::{bucket}/{key}: compare it with `windlass cluster policy worker`"
        ),
        s3::Error::Clock { .. } => {
            "\nhint: is chrony running, and does it reach 169.254.169.123?".to_owned()
        }
        s3::Error::Failed { .. } | s3::Error::TooLarge { .. } => String::new(),
    };
    Stop::from(anyhow!("{error}{hint}"))
}
