//! What a folder remembers of a machine that is not in files.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::plan::network::{Route, Rule};

#[derive(Debug, Default)]
pub(super) struct Folder {
    /// Running units and since when.
    pub units: BTreeMap<String, SystemTime>,
    pub routes: Vec<Route>,
    pub rules: Vec<Rule>,
    /// nftables' table, as it would be listed.
    pub packet_filter: Option<String>,
    /// In the words of a shell.
    pub log: Vec<String>,
}
