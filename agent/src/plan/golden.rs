//! Whole inputs in, whole plans out, as folders that a person can read and compare:
//! `agent/tests/golden/CASE/` has what an operator wrote (`cluster.toml`), what an instance was
//! told (`userdata.toml`), saw (`facts.json`) and got (`grant.json`); `out/` is what is planned.
//!
//! `WINDLASS_BLESS=1 cargo test golden` writes `out/` anew; the difference is for a reviewer.
#![allow(clippy::disallowed_methods, reason = "test data lies in files")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config::{CaBundle, ClusterFile, NodeConfig, UserData};
use crate::exchange::Grant;
use crate::facts::Facts;

use super::{HostPlan, PlannedNode, after_grant, before_grant, node};

/// Files by their path below `out/`.
type Out = BTreeMap<PathBuf, String>;

#[test]
fn plans_are_as_the_golden_folders_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<_> = fs::read_dir(&root)
        .expect("the golden folder")
        .map(|entry| entry.expect("an entry of the golden folder").path())
        .collect();
    cases.sort();
    assert!(cases.len() >= 5, "{} cases in {}", cases.len(), root.display());
    let differing: Vec<_> = cases.iter().filter_map(|case| compare(case)).collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// What differs, for a reader.
fn compare(case: &Path) -> Option<String> {
    let planned = planned(case);
    let out = case.join("out");
    if std::env::var_os("WINDLASS_BLESS").is_some() {
        bless(&out, &planned);
    }
    let mut kept = Out::new();
    collect(&out, &out, &mut kept);
    let mut text = String::new();
    let paths: std::collections::BTreeSet<_> = planned.keys().chain(kept.keys()).collect();
    for path in paths {
        let at = |of: &Out| of.get(path).cloned().unwrap_or_default();
        let (kept, planned) = (at(&kept), at(&planned));
        if kept != planned {
            let diff = similar::TextDiff::from_lines(&kept, &planned);
            let (old, new) = (out.join(path).display().to_string(), "planned");
            let diff = diff.unified_diff().header(&old, new).to_string();
            let _ = writeln!(text, "{diff}");
        }
    }
    (!text.is_empty()).then_some(text)
}

/// All that comes of a case.
fn planned(case: &Path) -> Out {
    let read = |name: &str| {
        let path = case.join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let said =
        |problems: crate::config::Problems| -> ! { panic!("{}: {problems}", case.display()) };
    let user_data = UserData::parse(read("userdata.toml").as_bytes()).unwrap_or_else(|e| said(e));
    let cluster = ClusterFile::parse(&read("cluster.toml")).unwrap_or_else(|e| said(e));
    let authorities = include_str!("../config/testdata/ca.crt").to_owned();
    let ca = CaBundle { certificate_authorities: authorities, generation: 1 };
    let revision = cluster.revisions(&ca)[&user_data.group].to_toml();
    let config = NodeConfig::parse(&revision).unwrap_or_else(|e| said(e));
    let facts: Facts = serde_json::from_str(&read("facts.json")).expect("facts");
    let grant: Grant = serde_json::from_str(&read("grant.json")).expect("a grant");

    let before = before_grant(&facts, &config).unwrap_or_else(|e| said(e));
    let after = after_grant(&facts, &config, &grant).unwrap_or_else(|e| said(e));
    let plan = before.then(after);
    let node = node::planned(facts.instance.launched(), &config);
    let mut out: Out = plan
        .files
        .iter()
        .map(|file| {
            let below = file.path.strip_prefix("/").expect("an absolute path");
            (Path::new("host").join(below), file.contents.clone())
        })
        .collect();
    out.insert("plan.txt".into(), summary(&plan));
    let filter = plan.packet_filter.as_ref().expect("a packet filter needs no grant");
    out.insert("packet_filter.nft".into(), filter.to_string());
    out.insert("node.txt".into(), described(&node));
    out.insert("revision.toml".into(), revision);
    out
}

/// What is not a file's contents.
fn summary(plan: &HostPlan) -> String {
    let mut text = String::new();
    for file in &plan.files {
        let _ = writeln!(text, "file   {:o} {}", file.mode, file.path.display());
    }
    for (name, value) in &plan.sysctls {
        let _ = writeln!(text, "sysctl {name} = {value}");
    }
    for (size, count) in &plan.hugepages {
        let _ = writeln!(text, "pages  {count} of {size}");
    }
    let _ = writeln!(text, "swap   {}", if plan.swap_off { "off" } else { "as it is" });
    for (file, policy) in &plan.kubelet_states {
        let policy = policy.as_deref().unwrap_or("any");
        let _ = writeln!(text, "state  {} of policy {policy}", file.display());
    }
    for program in &plan.programs {
        let _ = writeln!(text, "needs  {program}");
    }
    if let Some(network) = &plan.network {
        for route in &network.routes {
            let _ = writeln!(text, "route  {route}");
        }
        for rule in &network.rules {
            let _ = writeln!(text, "rule   {rule}");
        }
    }
    for unit in &plan.units {
        let files: Vec<_> = unit.restarted_by.iter().map(|path| path.display()).collect();
        let _ = writeln!(text, "unit   {} restarted by {files:?}", unit.name);
    }
    text
}

fn described(node: &PlannedNode) -> String {
    let mut text = format!("name {}\nprovider ID {}\n", node.name, node.provider_id);
    for (key, value) in &node.labels {
        let _ = writeln!(text, "label {key}={value}");
    }
    for (key, value) in &node.protected_labels {
        let _ = writeln!(text, "protected label {key}={value}");
    }
    for taint in &node.taints {
        let _ = writeln!(text, "taint {}={}:{}", taint.key, taint.value, taint.effect);
    }
    text
}

fn bless(out: &Path, planned: &Out) {
    if out.exists() {
        fs::remove_dir_all(out).expect("removing the old output");
    }
    for (path, contents) in planned {
        let path = out.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("making a folder");
        fs::write(&path, contents).expect("writing a golden file");
    }
}

fn collect(root: &Path, folder: &Path, into: &mut Out) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("an entry of a golden folder").path();
        if path.is_dir() {
            collect(root, &path, into);
        } else {
            let below = path.strip_prefix(root).expect("below the root").to_owned();
            into.insert(below, fs::read_to_string(&path).expect("a golden file"));
        }
    }
}
