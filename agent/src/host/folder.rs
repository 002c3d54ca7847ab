//! What a folder remembers of a machine that is not in files.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use crate::plan::Route;

#[derive(Debug, Default)]
pub(super) struct Folder {
    /// Running units and since when.
    pub units: BTreeMap<String, SystemTime>,
    pub routes: BTreeSet<Route>,
    /// In the words of a shell.
    pub log: Vec<String>,
}
