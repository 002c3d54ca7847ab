//! What a folder remembers of a machine that is not in files.

use std::collections::BTreeMap;
use std::time::SystemTime;

use tokio::time::Instant;

use crate::plan::network::{Route, Rule};

#[derive(Debug)]
pub(super) struct Folder {
    /// Its kernel's boot, by the clock that a test may hold.
    pub booted: Instant,
    /// Running units and since when.
    pub units: BTreeMap<String, SystemTime>,
    pub routes: Vec<Route>,
    pub rules: Vec<Rule>,
    /// nftables' table, as it would be listed.
    pub packet_filter: Option<String>,
    /// In the words of a shell.
    pub log: Vec<String>,
}

impl Default for Folder {
    fn default() -> Self {
        Self {
            booted: Instant::now(),
            units: BTreeMap::new(),
            routes: Vec::new(),
            rules: Vec::new(),
            packet_filter: None,
            log: Vec::new(),
        }
    }
}
