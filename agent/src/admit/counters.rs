//! What an admitter did since it started, by name: numbers in memory and a log line when they
//! changed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

/// Names and how often.
#[derive(Debug, Default)]
pub struct Counters(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    counts: BTreeMap<String, u64>,
    changed: bool,
}

impl Counters {
    /// One more `name`.
    pub fn count(&self, name: &str) {
        let mut inner = self.0.lock().expect("the counters' lock");
        *inner.counts.entry(name.to_owned()).or_default() += 1;
        inner.changed = true;
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().expect("the counters' lock").counts.clone()
    }

    /// One log line, if anything changed since the last.
    pub fn log(&self) {
        let changed = std::mem::take(&mut self.0.lock().expect("the counters' lock").changed);
        if changed {
            tracing::info!("since start: {self}");
        }
    }
}

/// `denied=1 granted=5`
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.all();
        let counts = counts.iter().map(|(name, count)| format!("{name}={count}"));
        f.write_str(&counts.collect::<Vec<_>>().join(" "))
    }
}
