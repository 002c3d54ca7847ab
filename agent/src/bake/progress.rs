//! How far the fetching is, on standard error: one line that is redrawn on a terminal, plain lines
//! elsewhere, so that a Packer log stays readable.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often the line is redrawn.
const TERMINAL: Duration = Duration::from_millis(100);

/// How often a log gets a line while a long download is under way.
const PLAIN: Duration = Duration::from_secs(10);

/// What is fetched, and what is there of it.
pub struct Progress {
    total_bytes: u64,
    parts: usize,
    bytes: AtomicU64,
    terminal: bool,
    since: Instant,
    said: Mutex<Said>,
}

struct Said {
    at: Instant,
    done: usize,
}

impl Progress {
    /// Of so many parts, which are so long together.
    pub fn new(parts: usize, total_bytes: u64) -> Self {
        let said = Said { at: Instant::now(), done: 0 };
        Self {
            total_bytes,
            parts,
            bytes: AtomicU64::new(0),
            terminal: std::io::stderr().is_terminal(),
            since: Instant::now(),
            said: Mutex::new(said),
        }
    }

    /// So many more are there.
    pub fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut said = self.said.lock().expect("nobody panics while holding it");
        let pause = if self.terminal { TERMINAL } else { PLAIN };
        if said.at.elapsed() >= pause {
            said.at = Instant::now();
            let line = self.line(said.done);
            if self.terminal {
                eprint!("\r\x1b[K{line}");
            } else {
                eprintln!("{line}");
            }
        }
    }

    /// So many turned out not to be.
    pub fn take_back(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// This part is there and verified.
    pub fn done(&self, name: &str, bytes: u64) {
        let mut said = self.said.lock().expect("nobody panics while holding it");
        said.done += 1;
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        eprintln!("{clear}verified {name}  {}", megabytes(bytes));
    }

    fn line(&self, done: usize) -> String {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let rate = bytes as f64 / 1e6 / self.since.elapsed().as_secs_f64().max(0.001);
        let (there, total) = (megabytes(bytes), megabytes(self.total_bytes));
        format!("fetching: {done} of {} parts, {there} of {total}, {rate:.1} MB/s", self.parts)
    }
}

/// `92.3 MB`.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
