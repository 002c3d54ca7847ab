//! What this machine was planned from, in one small file: `windlass watch` makes the same plan again
//! from it and from what it sees of the interfaces, and asks neither IMDS nor S3.
//!
//! One file, so that facts, revision and pod CIDRs are always those of the same boot. The revision's
//! own text lies beside it, under its hash.

use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use anyhow::anyhow;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::cli::Failure;
use crate::config::{NodeConfig, Sha256Hex};
use crate::converge::{Ensured, ensure_file};
use crate::exchange::UserId;
use crate::facts::Facts;
use crate::host::Machine;
use crate::pki::sha256_hex;
use crate::plan::node;

/// Where it is kept.
pub const BASIS: &str = "/var/lib/windlass/basis.json";

/// Revisions by their hash, and `current`, a link to the last that was used.
pub const REVISIONS: &str = "/var/lib/windlass/config";

/// The layout that is written, and the only one that is understood.
const VERSION: u32 = 1;

const HINT: &str = "hint: `systemctl status windlass-boot` says how the boot ended; a boot that \
                    succeeds writes it anew";

/// Everything that a plan of the pod network is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis {
    /// As the boot saw them.
    pub facts: Facts,
    pub config: NodeConfig,
    /// As they were granted.
    pub pod_cidrs: Vec<IpNet>,
    pub mailbox: Mailbox,
}

/// Where this instance writes what it has to report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    pub bucket: String,
    /// Who it is there.
    pub user: UserId,
}

#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    /// The configuration revision.
    revision: Sha256Hex,
    pod_cidrs: Vec<IpNet>,
    mailbox: Mailbox,
    facts: Facts,
}

/// It is on disk, whole.
pub fn ensure_kept(
    machine: &Machine,
    facts: &Facts,
    revision: &Sha256Hex,
    pod_cidrs: &[IpNet],
    mailbox: &Mailbox,
) -> anyhow::Result<Ensured> {
    let mut facts = facts.clone();
    // Of that moment only: a boot that is repeated in another one has the same basis.
    facts.instance.lifecycle_state = None;
    let written = Written {
        version: VERSION,
        revision: revision.clone(),
        pod_cidrs: pod_cidrs.to_vec(),
        mailbox: mailbox.clone(),
        facts,
    };
    ensure_file(machine, BASIS, 0o644, &serde_json::to_vec_pretty(&written)?)
}

impl Basis {
    /// What the Node is called.
    pub fn node_name(&self) -> String {
        node::name(self.facts.instance.launched(), self.config.cluster.node_names)
    }

    /// What the last boot left. Where that is nothing, or nothing that can be used, only another
    /// boot helps.
    pub fn kept(machine: &Machine) -> Result<Self, Failure> {
        let text = machine.read_text(BASIS)?.ok_or_else(|| {
            of_no_use(anyhow!("this machine was never booted as a node: there is no {BASIS}"))
        })?;
        let written: Written = serde_json::from_str(&text)
            .map_err(|error| of_no_use(anyhow!("{BASIS} is not as a boot writes it: {error}")))?;
        if written.version != VERSION {
            let found = written.version;
            let said = anyhow!("{BASIS} has the layout {found}, wanted {VERSION}");
            return Err(of_no_use(said));
        }
        let hash = &written.revision;
        let text = kept_revision(machine, hash).ok_or_else(|| {
            let file = revision_file(hash);
            of_no_use(anyhow!("{BASIS} names a revision that is not in {file}, or not whole there"))
        })?;
        let config = NodeConfig::parse(&text)?;
        let Written { facts, pod_cidrs, mailbox, .. } = written;
        Ok(Self { facts, config, pod_cidrs, mailbox })
    }
}

/// By which the basis is known to be the same still: a new one is renamed over the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    /// None where there is no basis.
    pub fn of(machine: &Machine) -> Option<Self> {
        let metadata = std::fs::metadata(machine.path(BASIS)).ok()?;
        Some(Self { inode: metadata.ino(), modified: metadata.modified().ok() })
    }
}

/// Where a revision is kept.
pub fn revision_file(hash: &Sha256Hex) -> String {
    format!("{REVISIONS}/{hash}.toml")
}

/// The text of a revision. What is on disk is verified like what comes from S3.
pub fn kept_revision(machine: &Machine, hash: &Sha256Hex) -> Option<String> {
    let text = machine.read_text(revision_file(hash)).ok()??;
    (sha256_hex(text.as_bytes()) == hash.as_str()).then_some(text)
}

fn of_no_use(error: anyhow::Error) -> Failure {
    Failure::Configuration(anyhow!("{error}\n{HINT}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::{CaBundle, ClusterFile};
    use crate::converge::files::tests::Scratch;

    const FACTS: &str = include_str!("../tests/golden/dual-stack/facts.json");

    /// The facts, and a revision that is kept on the machine.
    pub fn booted(machine: &Machine) -> (Facts, NodeConfig, Sha256Hex) {
        let cluster = include_str!("../tests/golden/dual-stack/cluster.toml");
        let authorities = include_str!("config/testdata/ca.crt").to_owned();
        let ca = CaBundle { certificate_authorities: authorities, generation: 1 };
        let cluster = ClusterFile::parse(cluster).expect("a description");
        let text = cluster.revisions(&ca).into_values().next().expect("a group").to_toml();
        let hash = sha256_hex(text.as_bytes()).parse().expect("a hash");
        ensure_file(machine, revision_file(&hash), 0o644, text.as_bytes()).expect("kept");
        let facts = serde_json::from_str(FACTS).expect("facts");
        (facts, NodeConfig::parse(&text).expect("a revision"), hash)
    }

    pub fn mailbox() -> Mailbox {
        let user = "AROAEXAMPLE:i-0123456789abcdef0".parse().expect("a user id");
        Mailbox { bucket: "acme-kubernetes".to_owned(), user }
    }

    fn said(machine: &Machine) -> String {
        match Basis::kept(machine) {
            Err(Failure::Configuration(error)) => format!("{error:#}"),
            other => panic!("wanted a reason that no retry cures, found {other:?}"),
        }
    }

    #[test]
    fn a_basis_that_a_later_boot_left_is_another() {
        let (_scratch, machine) = Scratch::new("basis-stamp");
        assert_eq!(Stamp::of(&machine), None);
        let (facts, _, revision) = booted(&machine);
        let keep = |pod_cidrs: &[IpNet]| {
            ensure_kept(&machine, &facts, &revision, pod_cidrs, &mailbox()).expect("written");
            Stamp::of(&machine).expect("a stamp")
        };
        let first = keep(&[]);
        assert_eq!(keep(&[]), first, "nothing was written");
        assert_ne!(keep(&["10.64.3.0/24".parse().expect("a CIDR")]), first);
    }

    #[test]
    fn what_a_boot_left_is_read_back_without_what_was_of_a_moment() {
        let (_scratch, machine) = Scratch::new("basis");
        let (mut facts, config, revision) = booted(&machine);
        let pod_cidrs = vec!["10.64.3.0/24".parse().expect("a CIDR")];
        facts.instance.lifecycle_state = Some("Pending:Wait".to_owned());
        let kept =
            ensure_kept(&machine, &facts, &revision, &pod_cidrs, &mailbox()).expect("written");
        facts.instance.lifecycle_state = Some("InService".to_owned());
        let again =
            ensure_kept(&machine, &facts, &revision, &pod_cidrs, &mailbox()).expect("the same");
        assert_eq!((kept, again), (Ensured::Changed, Ensured::Unchanged));
        facts.instance.lifecycle_state = None;
        let basis = Basis::kept(&machine).expect("a basis");
        assert_eq!(basis, Basis { facts, config, pod_cidrs, mailbox: mailbox() });
    }

    #[test]
    fn a_machine_that_was_never_booted_says_so() {
        let (_scratch, machine) = Scratch::new("basis-none");
        let said = said(&machine);
        assert!(said.starts_with("this machine was never booted as a node: there is no /var/lib"));
        assert!(said.contains("hint: `systemctl status windlass-boot`"), "{said}");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let (_scratch, machine) = Scratch::new("basis-broken");
        let (facts, _, revision) = booted(&machine);
        ensure_kept(&machine, &facts, &revision, &[], &mailbox()).expect("written");
        let text = machine.read_text(BASIS).expect("read").expect("there");
        let put = |text: &str| std::fs::write(machine.path(BASIS), text).expect("written");

        put(&text.replace("\"version\": 1", "\"version\": 2"));
        assert!(said(&machine).starts_with(&format!("{BASIS} has the layout 2, wanted 1")));
        put(&text[..text.len() / 2]);
        assert!(said(&machine).starts_with(&format!("{BASIS} is not as a boot writes it: EOF")));
        put(&text);
        let revision = machine.path(revision_file(&revision));
        std::fs::write(revision, "group = \"others\"\n").expect("written");
        assert!(said(&machine).contains("or not whole there"), "{}", said(&machine));
    }
}
