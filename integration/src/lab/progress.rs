//! One line a step on standard error, with the time since the start. Standard output is kept for
//! data, so that `--json` prints nothing else.

use std::time::Instant;

/// Where the lab says what it is doing.
#[derive(Clone, Debug)]
pub struct Progress {
    start: Instant,
    quiet: bool,
}

impl Progress {
    pub fn new() -> Self {
        Self { start: Instant::now(), quiet: false }
    }

    /// For tests: says nothing.
    pub fn quiet() -> Self {
        Self { start: Instant::now(), quiet: true }
    }

    pub fn say(&self, what: &str, text: impl AsRef<str>) {
        if !self.quiet {
            eprintln!("{:>7.1}s  {what:<14} {}", self.start.elapsed().as_secs_f64(), text.as_ref());
        }
    }

    pub fn elapsed_ms(&self) -> u128 {
        self.start.elapsed().as_millis()
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
