//! What the host should be, from facts and configuration alone: no I/O, no clock, no randomness,
//! no async. Whoever needs a time hands it in.
//!
//! A plan is plain data. `converge` makes the host so; `windlass plan` compares it with what is
//! there; both may ask for the same plan as often as they like and get the same answer.

pub mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

/// What the host should be, or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPlan {
    /// Sorted by path; a path occurs once.
    pub files: Vec<File>,
    /// Kernel settings by their dotted names, `net.ipv4.ip_forward`.
    pub sysctls: BTreeMap<String, String>,
    pub routes: BTreeSet<Route>,
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

/// A kernel route that Windlass owns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    pub destination: IpNet,
    pub kind: RouteKind,
    /// 254 is the table `main`.
    pub table: u32,
    /// Who made the route; see [`ROUTE_PROTOCOL`].
    pub protocol: u8,
    /// A lower one wins.
    pub metric: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteKind {
    /// Packets are dropped without an answer.
    Blackhole,
}

/// The protocol number (`rtm_protocol`) of every route that Windlass owns, so that it never touches
/// another's.
pub const ROUTE_PROTOCOL: u8 = 0x57;

/// Where an image keeps kubelet's credential provider plugins.
pub const CREDENTIAL_PROVIDER_DIR: &str = "/usr/libexec/kubernetes/credential-provider";

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
        self.routes.extend(later.routes);
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

    fn add_file(&mut self, file: File) {
        match self.files.binary_search_by(|known| known.path.cmp(&file.path)) {
            Ok(at) => self.files[at] = file,
            Err(at) => self.files.insert(at, file),
        }
    }
}
