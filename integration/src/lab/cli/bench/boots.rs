//! A lab that is measured: workers come and go, and what each said and asked is kept.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use windlass::report::Report;

use super::summary::Admitting;
use crate::lab::cli::cost::{self, Counts, Idle};
use crate::lab::cli::up::Options;
use crate::lab::daemon::{Client, Request, Status};
use crate::lab::node::Node;
use crate::lab::progress::Progress;
use crate::lab::run::{command, output};

/// How long instances may take before it is a failure: as their launch hook's timeout.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks; seldom, since looking takes time from those that are measured.
const LOOK: Duration = Duration::from_millis(200);
/// What ends after a node is Ready, or gone, has ended by then.
const SETTLED: Duration = Duration::from_secs(15);

pub struct Running {
    client: Client,
    windlass: PathBuf,
    variables: BTreeMap<String, String>,
    control_plane: Option<Status>,
    /// The admitter's calls while workers came, and how many did.
    admitted: (Counts, u64),
}

/// What one worker's way in took.
#[derive(Clone, Debug)]
pub struct Boot {
    pub report: Report,
    /// As the region logged them.
    pub calls: Vec<Value>,
}

impl Running {
    pub fn connect(name: &str, options: &Options) -> Result<Self> {
        let mut client = Client::connect(name)?;
        let variables = client.ask(&Request::Environment)?;
        let windlass = options.windlass.clone().context("a bench is told where the product is")?;
        Ok(Self { client, windlass, variables, control_plane: None, admitted: Default::default() })
    }

    /// The cluster gets its control plane.
    pub fn begin(&mut self, progress: &Progress) -> Result<()> {
        let nodes = self.launch("control-plane", 1)?;
        self.control_plane = nodes.into_iter().next();
        progress.say("control plane", "is Ready");
        std::thread::sleep(SETTLED);
        Ok(())
    }

    /// Boots so many workers at once, and is back when they are gone.
    pub fn boot(&mut self, count: usize) -> Result<Vec<Boot>> {
        let since = self.records(0)?.len();
        let nodes = self.launch("workers", count)?;
        let records = self.records(since)?;
        let admitter = self.control_plane.as_ref().map(|status| status.instance.as_str());
        let admitters = records.iter().filter(|record| record["caller"].as_str() == admitter);
        for (call, calls) in cost::count(admitters) {
            *self.admitted.0.entry(call).or_default() += calls;
        }
        self.admitted.1 += count as u64;
        let mut boots = Vec::new();
        for node in &nodes {
            let report = self.report(&node.instance)?;
            let calls = cost::way_in(self.records(since)?, &node.instance);
            boots.push(Boot { report, calls });
        }
        self.terminate(&nodes)?;
        Ok(boots)
    }

    /// What the admitter did and takes.
    pub fn admitting(&self) -> Result<Admitting> {
        let pid = self.control_plane.as_ref().and_then(|status| status.pid);
        let pid = pid.context("the control-plane machine is off")?;
        let show = ["systemctl", "show", "--property=MainPID", "--value", "windlass-admit.service"];
        let main = output(&mut Node::command(pid, show))?;
        let file = format!("/proc/{}/status", main.trim());
        let status = output(&mut Node::command(pid, ["cat", &file]))?;
        let kilobytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        let bytes = |field: &str| {
            let found = kilobytes(field).map(|kilobytes| kilobytes * 1024);
            found.with_context(|| format!("{file} of the admitter has no {field}"))
        };
        let (calls, nodes) = self.admitted.clone();
        Ok(Admitting {
            calls,
            nodes,
            memory_bytes: bytes("VmRSS")?,
            peak_memory_bytes: bytes("VmHWM")?,
        })
    }

    /// What a cluster without workers, in which nothing happens, asks of AWS.
    pub fn idle(&mut self, watched: Duration) -> Result<Idle> {
        std::thread::sleep(SETTLED);
        let (since, began) = (self.records(0)?.len(), Instant::now());
        std::thread::sleep(watched);
        let (took, records) = (began.elapsed(), self.records(since)?);
        Ok(Idle::of(&records, took))
    }

    /// The group grows by so many, and they are in service.
    fn launch(&mut self, group: &str, count: usize) -> Result<Vec<Status>> {
        let more = i32::try_from(count)?;
        self.client.ask::<Value>(&Request::Launch { group: group.to_owned(), count: more })?;
        self.until(&format!("{count} in `{group}` are in service"), |all| {
            let serving = |status: &&Status| {
                status.group == group && status.lifecycle.as_deref() == Some("InService")
            };
            let found: Vec<Status> = all.iter().filter(serving).cloned().collect();
            (found.len() == count).then_some(found)
        })
    }

    fn terminate(&mut self, nodes: &[Status]) -> Result<()> {
        for node in nodes {
            let node = node.instance.clone();
            self.client.ask::<Value>(&Request::Terminate { node })?;
        }
        self.until("the workers are gone", |all| {
            let gone = |status: &Status| {
                status.group != "workers" || (status.state == "terminated" && status.pid.is_none())
            };
            all.iter().all(gone).then_some(())
        })
    }

    fn until<T>(&mut self, what: &str, seen: impl Fn(&[Status]) -> Option<T>) -> Result<T> {
        let began = Instant::now();
        loop {
            let all: Vec<Status> = self.client.ask(&Request::Status)?;
            if let Some(found) = seen(&all) {
                return Ok(found);
            }
            if let Some(trouble) = all.iter().find_map(|status| status.trouble.as_ref()) {
                bail!("a machine could not be switched on: {trouble}");
            }
            if began.elapsed() > PATIENCE {
                bail!("after {} s it is not so that {what}: {all:#?}", PATIENCE.as_secs());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The boot report, which comes a moment after the hook was completed.
    fn report(&self, instance: &str) -> Result<Report> {
        let began = Instant::now();
        loop {
            let mut report = command(&self.windlass, ["report", instance, "--json"]);
            match output(report.envs(&self.variables)) {
                Ok(said) => return Ok(serde_json::from_str(&said)?),
                Err(error) if began.elapsed() > SETTLED => return Err(error),
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    }

    fn records(&mut self, since: usize) -> Result<Vec<Value>> {
        self.client.ask(&Request::Calls { since })
    }
}
