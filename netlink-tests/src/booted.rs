//! A node that was booted: what boot left on disk is in a folder of its own, its kernel is that of
//! the namespace.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use windlass::basis::{Mailbox, ensure_kept};
use windlass::config::NodeConfig;
use windlass::exchange::Grant;
use windlass::facts::{Facts, Host};
use windlass::host::Machine;
use windlass::pki::sha256_hex;
use windlass::plan::network::{PacketFilter, PodNetwork};
use windlass::plan::{self, HostPlan};
use windlass::watch::Look;
use windlass::watch::network::{Keeper, Keeping};

use crate::ip_batch;
use crate::node::{one_eni, ours, planned};

const FACTS: &str = include_str!("../../agent/tests/golden/two-enis/facts.json");
const GRANT: &str = include_str!("../../agent/tests/golden/two-enis/grant.json");
const REVISION: &str = include_str!("../../agent/tests/golden/two-enis/out/revision.toml");

/// Longer than a burst may last that is answered by one look, and than the kernel takes its time to
/// tell of a link's state (a second).
const QUIET: Duration = Duration::from_millis(1200);

/// The dual-stack node of the golden folder `two-enis`, with as many as the test gives it.
pub struct Booted {
    pub machine: Machine,
    pub facts: Facts,
    config: NodeConfig,
    grant: Grant,
    folder: PathBuf,
}

/// The first ENI of such a node, with the router's IPv6 advertisement heard.
pub fn first_eni() {
    // Addresses count at once, and nothing happens by itself a second later.
    for all in ["all", "default"] {
        fs::write(format!("/proc/sys/net/ipv6/conf/{all}/accept_dad"), "0").expect("written");
    }
    one_eni();
    as_of_an_instance();
}

/// What tells `ens5` from other interfaces: its address is the instance's, and its other end, which
/// in a VPC is no interface of the instance's, is a port of a bridge, which is none either.
pub fn as_of_an_instance() {
    ip_batch(
        "link add vpc type bridge forward_delay 0\nlink set vpc up\nlink set router master vpc\n\
         link set ens5 address 02:00:0a:00:01:05\n\
         route add ::/0 via fe80::8f1:ff:fe00:1 dev ens5 proto ra metric 1024\n",
    );
}

/// And the second one.
pub fn second_eni() {
    ip_batch(
        "link add ens6 mtu 9001 type veth peer name router6 mtu 9001\n\
         link set router6 up master vpc\nlink set ens6 up\naddr add 10.0.2.5/24 dev ens6\n",
    );
}

/// A node with one ENI on which everything is as planned, and who keeps it.
pub async fn kept() -> (Booted, Keeper) {
    first_eni();
    let booted = Booted::once();
    let mut keeper = booted.keeper();
    assert!(!changes(&until_quiet(&mut keeper).await).is_empty());
    assert_eq!(ours(&booted.wanted_of_one_eni()).await, planned(&booted.wanted_of_one_eni()));
    (booted, keeper)
}

impl Booted {
    pub fn once() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("windlass-booted-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder for the test");
        symlink("/proc", folder.join("proc")).expect("the kernel's settings");
        let machine = Machine::this_with_files(&folder);
        let booted = Self {
            machine,
            facts: serde_json::from_str(FACTS).expect("facts"),
            config: NodeConfig::parse(REVISION).expect("a revision"),
            grant: serde_json::from_str(GRANT).expect("a grant"),
            folder,
        };
        booted.boot();
        booted
    }

    /// Leaves on disk what a boot leaves.
    pub fn boot(&self) {
        let hash = sha256_hex(REVISION.as_bytes());
        let revisions = self.path("var/lib/windlass/config");
        fs::create_dir_all(&revisions).expect("a folder");
        fs::write(revisions.join(format!("{hash}.toml")), REVISION).expect("written");
        let hash = hash.parse().expect("a hash");
        let user = "AROAEXAMPLE:i-0123456789abcdef0".parse().expect("a user id");
        let mailbox = Mailbox { bucket: "acme-kubernetes".to_owned(), user };
        let cidrs = &self.grant.pod_cidrs;
        ensure_kept(&self.machine, &self.facts, &hash, cidrs, &mailbox).expect("kept");
    }

    pub fn path(&self, of: impl AsRef<Path>) -> PathBuf {
        self.folder.join(of)
    }

    /// What is planned for it when its interfaces are so.
    pub fn wanted(&self, seen: impl FnOnce(&mut Host)) -> PodNetwork {
        let mut facts = self.facts.clone();
        seen(&mut facts.host);
        self.plan(&facts).network.expect("a pod network")
    }

    pub fn filter(&self) -> PacketFilter {
        self.plan(&self.facts).packet_filter.expect("a packet filter")
    }

    fn plan(&self, facts: &Facts) -> HostPlan {
        plan::standing(facts, &self.config, &self.grant.pod_cidrs)
    }

    /// What is planned while it has the first ENI only.
    pub fn wanted_of_one_eni(&self) -> PodNetwork {
        self.wanted(|host| host.other_interfaces.clear())
    }

    pub fn keeper(&self) -> Keeper {
        self.keeper_with_buffer(None)
    }

    pub fn keeper_with_buffer(&self, buffer_bytes: Option<u32>) -> Keeper {
        let keeping = Keeping { seldom: Duration::from_secs(60), buffer_bytes };
        Keeper::new(&self.machine, keeping).unwrap_or_else(|it| panic!("{:#}", it.error()))
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The next look, which must be begun within a second.
pub async fn next(keeper: &mut Keeper) -> Look {
    let stirred = timeout(Duration::from_secs(1), keeper.stirred()).await;
    let stirred = stirred.expect("a reason to look within a second");
    keeper.look(stirred.expect("a kernel that tells")).await.expect("a kernel that answers")
}

/// All looks until there is quiet. How long one takes is the machine's matter: only the waits between
/// them are limited.
pub async fn until_quiet(keeper: &mut Keeper) -> Vec<Look> {
    let mut looks = Vec::new();
    while let Ok(stirred) = timeout(QUIET, keeper.stirred()).await {
        let stirred = stirred.expect("a kernel that tells");
        looks.push(keeper.look(stirred).await.expect("a kernel that answers"));
        assert!(looks.len() < 20, "it never comes to rest: {looks:#?}");
    }
    looks
}

/// All that these looks changed.
pub fn changes(looks: &[Look]) -> Vec<String> {
    let mut all: Vec<_> = looks.iter().flat_map(|look| look.changes.clone()).collect();
    all.sort();
    all
}
