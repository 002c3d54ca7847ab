//! On what it was measured: a time without its machine says nothing.

use std::fmt;

use anyhow::{Context, Result};
use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub processor: String,
    pub cpus: usize,
    pub memory_bytes: u64,
    pub kernel: String,
    /// Of the last 1, 5 and 15 minutes; what is measured is in it.
    pub load: String,
    /// The profile that this program, which plays AWS, was built in.
    pub region_is_optimised: bool,
}

impl Machine {
    pub fn this() -> Result<Self> {
        let read = |file: &str| {
            std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))
        };
        let (processors, memory) = (read("/proc/cpuinfo")?, read("/proc/meminfo")?);
        let kilobytes = value(&memory, "MemTotal")
            .and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(Self {
            processor: value(&processors, "model name").unwrap_or("unknown").to_owned(),
            cpus: std::thread::available_parallelism()?.get(),
            memory_bytes: kilobytes.context("/proc/meminfo has no MemTotal")? * 1024,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            load: read("/proc/loadavg")?.split(' ').take(3).collect::<Vec<_>>().join(" "),
            region_is_optimised: !cfg!(debug_assertions),
        })
    }
}

fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.split_once(':')?.1.trim())
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gigabytes = self.memory_bytes as f64 / f64::from(1 << 30);
        let build = if self.region_is_optimised { "optimised" } else { "unoptimised" };
        write!(
            f,
            "{} CPUs ({}), {gigabytes:.0} GiB, Linux {}, load {}; all nodes and the {build} region on it",
            self.cpus, self.processor, self.kernel, self.load
        )
    }
}
