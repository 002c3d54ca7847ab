//! What the host should be, from facts and configuration alone: no I/O, no clock, no randomness,
//! no async. Whoever needs a time hands it in.
//!
//! A plan is plain data. `converge` makes the host so; `windlass plan` compares it with what is
//! there; both may ask for the same plan as often as they like and get the same answer.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod capacity;
mod containerd;
mod grant;
mod host;
pub mod image;
pub mod kernel;
mod kubelet;
pub mod network;
mod networkd;
pub mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use crate::config::{NodeConfig, PageSize, Problems};
use crate::exchange::Grant;
use crate::facts::Facts;

use capacity::PodRange;
use network::{PacketFilter, PodNetwork};
use node::PlannedNode;

/// What needs no grant, so that it can be made so while the grant is awaited. kubelet's
/// configuration is in it as it will be when the lease has the configured size.
pub fn before_grant(facts: &Facts, config: &NodeConfig) -> Result<HostPlan, Problems> {
    network::fits_the_vpc(facts, config)?;
    let node = node::planned(facts.instance.launched(), config);
    let ranges = PodRange::configured(&config.network);
    let mut plan = HostPlan::default();
    kubelet::plan(&mut plan, facts, config, &node, &ranges)?;
    containerd::plan(&mut plan, config);
    image::plan(&mut plan);
    networkd::plan(&mut plan);
    kernel::plan(&mut plan, facts, config);
    host::plan(&mut plan, facts, config);
    plan.packet_filter = Some(PacketFilter::planned(facts, config));
    Ok(plan)
}

/// What the grant decides: the pod network, kubelet's configuration by the lease that there really
/// is, and the units that may start now.
pub fn after_grant(
    facts: &Facts,
    config: &NodeConfig,
    grant: &Grant,
) -> Result<HostPlan, Problems> {
    let node = node::planned(facts.instance.launched(), config);
    grant::fits(grant, &node, config)?;
    let ranges = PodRange::leased(&grant.pod_cidrs);
    let mut plan = HostPlan::default();
    kubelet::plan(&mut plan, facts, config, &node, &ranges)?;
    network::plan(&mut plan, facts, config, &grant.pod_cidrs);
    kubelet::start(&mut plan, config);
    plan.start(WATCH);
    Ok(plan)
}

/// What has to stay so for as long as the node runs, of all that is planned for its pods' network:
/// others on the host change it without a word. It fits into what was planned at boot.
pub fn standing(facts: &Facts, config: &NodeConfig, pod_cidrs: &[IpNet]) -> HostPlan {
    let mut plan = HostPlan::default();
    kernel::plan_network(&mut plan, facts, config);
    plan.packet_filter = Some(PacketFilter::planned(facts, config));
    network::plan(&mut plan, facts, config, pod_cidrs);
    plan
}

/// What the host should be, or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPlan {
    /// Programs that the image must have: a path, or a name that is looked up where the system's
    /// programs are.
    pub programs: BTreeSet<&'static str>,
    /// Sorted by path; a path occurs once.
    pub files: Vec<File>,
    /// Kernel settings by their dotted names, `net.ipv4.ip_forward`.
    pub sysctls: BTreeMap<String, String>,
    /// How many huge pages of each size are set aside.
    pub hugepages: BTreeMap<PageSize, u32>,
    /// Nothing is swapped out.
    pub swap_off: bool,
    /// Files in which kubelet remembers what it assigned, each with the policy that it is to be of, where
    /// that is known.
    pub kubelet_states: BTreeMap<PathBuf, Option<String>>,
    /// The whole table; without one, nothing is said of nftables.
    pub packet_filter: Option<PacketFilter>,
    /// All of it; without one, nothing is said of routes and rules.
    pub network: Option<PodNetwork>,
    /// In the order in which they are to be started.
    pub units: Vec<Unit>,
}

/// A file of the host, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Absolute.
    pub path: PathBuf,
    /// Permission bits; the owner is root.
    pub mode: u32,
    pub contents: String,
}

/// Where an image keeps kubelet's credential provider plugins.
pub const CREDENTIAL_PROVIDER_DIR: &str = "/usr/libexec/kubernetes/credential-provider";

/// The link to kubelet's current client certificate, with its private key in the same file. kubelet
/// moves the link when it renews.
pub const CLIENT_CERTIFICATE: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

/// Keeps the pod network as planned. It reads anew what a later boot leaves for it.
const WATCH: &str = "windlass-watch.service";

/// A unit that must run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    pub name: String,
    /// Files that it reads only when it starts: when one of them changed while it ran, it has to be
    /// restarted.
    pub restarted_by: BTreeSet<PathBuf>,
}

impl HostPlan {
    /// Both plans as one; where both name a thing, `later` decides.
    pub fn then(mut self, later: HostPlan) -> HostPlan {
        for file in later.files {
            self.add_file(file);
        }
        self.sysctls.extend(later.sysctls);
        self.programs.extend(later.programs);
        self.hugepages.extend(later.hugepages);
        self.swap_off |= later.swap_off;
        self.kubelet_states.extend(later.kubelet_states);
        self.packet_filter = later.packet_filter.or(self.packet_filter);
        self.network = later.network.or(self.network);
        for unit in later.units {
            self.units.retain(|known| known.name != unit.name);
            self.units.push(unit);
        }
        self
    }

    /// The planned file at `path`.
    pub fn file(&self, path: impl AsRef<Path>) -> Option<&File> {
        self.files.iter().find(|file| file.path == path.as_ref())
    }

    /// A unit that no file restarts.
    fn start(&mut self, name: &str) {
        self.units.push(Unit { name: name.to_owned(), restarted_by: BTreeSet::new() });
    }

    fn write(&mut self, path: impl Into<PathBuf>, mode: u32, contents: String) {
        self.add_file(File { path: path.into(), mode, contents });
    }

    fn add_file(&mut self, file: File) {
        match self.files.binary_search_by(|known| known.path.cmp(&file.path)) {
            Ok(at) => self.files[at] = file,
            Err(at) => self.files.insert(at, file),
        }
    }
}

/// JSON as a person reads it; each JSON document is a YAML document too.
fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
