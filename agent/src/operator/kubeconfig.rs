//! Merging one context into a kubeconfig that holds others, and writing it so that nothing is ever
//! lost: kubectl's own lock, a backup, an atomic rename.
//!
//! Source: "Organizing Cluster Access Using kubeconfig Files" (Kubernetes documentation) and
//! client-go's `clientcmd` for the lock file.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::Hinted;
use crate::client::apiserver::Identity;

/// What is merged in: cluster, user and context of one name.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What the context is called.
    pub name: String,
    /// `https://HOST[:PORT]`
    pub server: String,
    /// PEM.
    pub certificate_authorities: String,
    pub identity: Identity,
}

/// Whether the merged context becomes the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Current {
    /// Only where there is none yet.
    Keep,
    Switch,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    pub file: PathBuf,
    /// What was there before; none for a new file.
    pub backup: Option<PathBuf>,
    /// The context that is current now.
    pub current: String,
}

/// The kubeconfig of `KUBECONFIG` (`paths`, separated by `:`) that already has the context `name`,
/// else the first one; without the variable `~/.kube/config`.
pub fn file_for(paths: Option<&str>, home: Option<&Path>, name: &str) -> anyhow::Result<PathBuf> {
    let named: Vec<PathBuf> =
        paths.unwrap_or_default().split(':').filter(|p| !p.is_empty()).map(PathBuf::from).collect();
    let has_context = |file: &&PathBuf| fs::read_to_string(file).is_ok_and(|text| has(&text, name));
    if let Some(file) = named.iter().find(has_context).or(named.first()) {
        return Ok(file.clone());
    }
    let home = home.context("neither KUBECONFIG nor HOME says where the kubeconfig is")?;
    Ok(home.join(".kube/config"))
}

/// Merges `entry` into `file` and leaves what was there beside it, with `.bak` after its name.
pub fn merge_file(file: &Path, entry: &Entry, current: Current) -> anyhow::Result<Merged> {
    // The link stays a link: what it points to is replaced.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = file.parent().context("a kubeconfig is in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let _lock = Lock::take(&file)?;
    let before = match fs::read_to_string(&file) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
    };
    let merged = merge(before.as_deref().unwrap_or_default(), entry, current);
    let merged = merged.with_context(|| format!("merging into {}", file.display()))?;
    let backup = match before {
        Some(text) => {
            let backup = with_suffix(&file, ".bak");
            replace(&backup, &text)?;
            Some(backup)
        }
        None => None,
    };
    replace(&file, &merged.text)?;
    Ok(Merged { file, backup, current: merged.current })
}

/// A kubeconfig of this context and nothing else.
pub fn alone(entry: &Entry) -> anyhow::Result<String> {
    Ok(merge("", entry, Current::Switch)?.text)
}

struct Text {
    text: String,
    current: String,
}

/// Pure: everything that `existing` says is kept, but for the entries of the same name.
fn merge(existing: &str, entry: &Entry, current: Current) -> anyhow::Result<Text> {
    let mut config = parse(existing)?;
    let encoded = |pem: &str| STANDARD.encode(pem);
    let cluster = json!({
        "certificate-authority-data": encoded(&entry.certificate_authorities),
        "server": entry.server,
    });
    let user = json!({
        "client-certificate-data": encoded(&entry.identity.certificate),
        "client-key-data": encoded(&entry.identity.private_key),
    });
    let context = json!({ "cluster": entry.name, "user": entry.name });
    put(&mut config, "clusters", "cluster", &entry.name, cluster)?;
    put(&mut config, "users", "user", &entry.name, user)?;
    // A namespace that somebody chose for the context stays.
    put(&mut config, "contexts", "context", &entry.name, context)?;
    let chosen = config.get("current-context").and_then(Value::as_str).unwrap_or_default();
    let chosen = match current {
        Current::Keep if !chosen.is_empty() => chosen.to_owned(),
        _ => entry.name.clone(),
    };
    config.insert("current-context".to_owned(), Value::String(chosen.clone()));
    config.entry("apiVersion").or_insert_with(|| json!("v1"));
    config.entry("kind").or_insert_with(|| json!("Config"));
    Ok(Text { text: to_yaml(&config)?, current: chosen })
}

/// A certificate stays on one line, as kubectl writes it.
fn to_yaml(config: &Map<String, Value>) -> anyhow::Result<String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let mut text = String::new();
    serde_saphyr::to_fmt_writer_with_options(&mut text, config, options)
        .context("writing the kubeconfig as YAML")?;
    Ok(text)
}

fn parse(text: &str) -> anyhow::Result<Map<String, Value>> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_saphyr::from_str(text).context("it is not YAML")? {
        Value::Null => Ok(Map::new()),
        Value::Object(config) => Ok(config),
        _ => bail!("it is not a kubeconfig: wanted a mapping at the top"),
    }
}

/// Lays `wanted` over the entry `name` of the list `kind`, or adds one. What Windlass gives
/// replaces all that is of a user or cluster; a context keeps what it says beside.
fn put(
    config: &mut Map<String, Value>,
    kind: &str,
    inner: &str,
    name: &str,
    wanted: Value,
) -> anyhow::Result<()> {
    let list = config.entry(kind).or_insert(Value::Null);
    if list.is_null() {
        *list = json!([]);
    }
    let list = list.as_array_mut().with_context(|| format!("`{kind}` is not a list"))?;
    let found = list.iter_mut().find(|item| item["name"] == name);
    match found {
        Some(item) if inner == "context" && item[inner].is_object() => {
            item[inner]["cluster"] = wanted["cluster"].clone();
            item[inner]["user"] = wanted["user"].clone();
        }
        Some(item) => item[inner] = wanted,
        None => list.push(json!({ "name": name, inner: wanted })),
    }
    Ok(())
}

fn has(text: &str, name: &str) -> bool {
    let config = parse(text).unwrap_or_default();
    let contexts = config.get("contexts").and_then(Value::as_array);
    contexts.into_iter().flatten().any(|context| context["name"] == name)
}

/// Written whole or not at all, readable by its owner only.
fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    let temporary = with_suffix(file, &format!(".{}.new", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        let mut open =
            options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        open.write_all(text.as_bytes())?;
        open.sync_all()?;
        fs::rename(&temporary, file)?;
        File::open(file.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    let written = write();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.with_context(|| format!("writing {}", file.display()))
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The lock that kubectl takes to change a kubeconfig: a file that only one can make.
struct Lock(PathBuf);

impl Lock {
    fn take(file: &Path) -> anyhow::Result<Self> {
        let lock = with_suffix(file, ".lock");
        match OpenOptions::new().write(true).create_new(true).open(&lock) {
            Ok(_) => Ok(Self(lock)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Hinted::new(
                format!("somebody else changes {}: {} exists", file.display(), lock.display()),
                "if no kubectl is running, an earlier one was killed: remove the lock",
            )
            .into()),
            Err(error) => Err(error).with_context(|| format!("locking {}", file.display())),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Whoever finds it is told what to do.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn entry() -> Entry {
        Entry {
            name: "prod".into(),
            server: "https://api.prod.example.com:6443".into(),
            certificate_authorities: "authority\n".into(),
            identity: Identity { certificate: "certificate\n".into(), private_key: "key\n".into() },
        }
    }

    fn merged(existing: &str, current: Current) -> String {
        merge(existing, &entry(), current).expect("merged").text
    }

    /// A folder of this test alone, gone with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("windlass-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).expect("a folder");
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn merging_keeps_every_other_context_and_the_current_one() {
        let existing = include_str!("testdata/kubeconfig.yaml");
        assert_eq!(
            merged(existing, Current::Keep),
            include_str!("testdata/kubeconfig-merged.yaml")
        );
    }

    #[test]
    fn a_long_certificate_stays_on_one_line() {
        let identity = Identity { certificate: "c".repeat(900), private_key: "k".repeat(900) };
        let long = Entry { identity, ..entry() };
        let text = merge("", &long, Current::Keep).expect("merged").text;
        let line = format!("    client-key-data: {}\n", STANDARD.encode("k".repeat(900)));
        assert!(text.contains(&line), "{text}");
    }

    #[test]
    fn merging_twice_is_merging_once() {
        let once = merged(include_str!("testdata/kubeconfig.yaml"), Current::Keep);
        assert_eq!(merged(&once, Current::Keep), once);
    }

    #[test]
    fn the_current_context_changes_when_told_or_when_there_is_none() {
        let existing = include_str!("testdata/kubeconfig.yaml");
        assert!(merged(existing, Current::Keep).contains("current-context: minikube\n"));
        assert!(merged(existing, Current::Switch).contains("current-context: prod\n"));
        assert!(merged("", Current::Keep).contains("current-context: prod\n"));
    }

    #[test]
    fn a_namespace_of_the_context_stays_and_an_old_certificate_goes() {
        let mut config = parse(&merged("", Current::Keep)).expect("a kubeconfig");
        config["contexts"][0]["context"]["namespace"] = json!("team-a");
        config["users"][0]["user"] = json!({ "token": "old" });
        let again = merged(&serde_saphyr::to_string(&config).expect("YAML"), Current::Keep);
        let config = parse(&again).expect("a kubeconfig");
        assert_eq!(config["contexts"][0]["context"]["namespace"], "team-a");
        assert_eq!(config["users"][0]["user"].get("token"), None);
        assert_eq!(config["users"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn what_is_no_kubeconfig_is_left_alone() {
        let folder = Folder::new("no-kubeconfig");
        let file = folder.0.join("config");
        fs::write(&file, "- a list\n").expect("written");
        let error = merge_file(&file, &entry(), Current::Keep).expect_err("no kubeconfig");
        let said = format!("{error:#}").replace(&folder.0.display().to_string(), "~");
        assert_eq!(
            said,
            "merging into ~/config: it is not a kubeconfig: wanted a mapping at the top"
        );
        assert_eq!(fs::read_to_string(&file).expect("read"), "- a list\n");
        assert_eq!(fs::read_dir(&folder.0).expect("read").count(), 1);
    }

    #[test]
    fn a_file_is_replaced_with_a_backup_and_readable_by_its_owner_only() {
        let folder = Folder::new("kubeconfig-file");
        let (target, file) = (folder.0.join("real"), folder.0.join("config"));
        let existing = include_str!("testdata/kubeconfig.yaml");
        fs::write(&target, existing).expect("written");
        std::os::unix::fs::symlink(&target, &file).expect("linked");
        let merged = merge_file(&file, &entry(), Current::Keep).expect("merged");
        assert!(fs::symlink_metadata(&file).expect("a link").is_symlink());
        let backup = merged.backup.expect("a backup");
        assert_eq!(fs::read_to_string(backup).expect("a backup"), existing);
        assert_eq!(fs::metadata(&target).expect("a file").permissions().mode() & 0o777, 0o600);
        let mut left: Vec<_> = fs::read_dir(&folder.0)
            .expect("read")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["config", "real", "real.bak"]);
    }

    #[test]
    fn a_lock_of_kubectl_is_honoured() {
        let folder = Folder::new("kubeconfig-lock");
        let file = folder.0.join("config");
        fs::write(folder.0.join("config.lock"), "").expect("written");
        let error = merge_file(&file, &entry(), Current::Keep).expect_err("locked").to_string();
        assert_eq!(
            error.replace(&folder.0.display().to_string(), "~"),
            "somebody else changes ~/config: ~/config.lock exists\n  hint: if no kubectl is running, \
             an earlier one was killed: remove the lock"
        );
        assert!(!file.exists());
    }

    #[test]
    fn the_file_that_has_the_context_is_chosen() {
        let folder = Folder::new("kubeconfig-choice");
        let (one, two) = (folder.0.join("one"), folder.0.join("two"));
        fs::write(&two, merged("", Current::Keep)).expect("written");
        let paths = format!("{}:{}", one.display(), two.display());
        assert_eq!(file_for(Some(&paths), None, "prod").expect("a file"), two);
        assert_eq!(file_for(Some(&paths), None, "test").expect("a file"), one);
        let home = file_for(None, Some(Path::new("/home/ann")), "prod").expect("a file");
        assert_eq!(home, Path::new("/home/ann/.kube/config"));
    }
}
