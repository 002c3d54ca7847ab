//! What an admitter did since it started, by name: numbers in memory and a log line when they
//! changed.

use std::collections::BTreeMap;
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
        let mut inner = self.0.lock().expect("the counters' lock");
        if std::mem::take(&mut inner.changed) {
            let counts: Vec<_> =
                inner.counts.iter().map(|(name, count)| format!("{name}={count}")).collect();
            tracing::info!("since start: {}", counts.join(" "));
        }
    }
}
