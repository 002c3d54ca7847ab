//! `cargo demo`: from nothing to pods that answer on nodes in two zones, and what that took.
//!
//! It uses a lab as anybody would: the control socket, kubectl and the product's own commands.

mod network;
mod pods;
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::cost;
use super::interrupt::end_when_interrupted;
use super::product;
use super::up::{self, Options};
use crate::lab::daemon::{self, Client, Request, Status};
use crate::lab::progress::Progress;
use crate::lab::run::{command, output};
use pods::Kubectl;
use summary::Summary;

const WORKERS: i32 = 3;
/// How long nodes may take before it is a failure: as the launch hook's timeout.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long AWS is watched while nothing happens, for the costs of a month.
const IDLE: Duration = Duration::from_secs(30);

#[derive(clap::Args, Clone, Debug)]
pub struct Demo {
    #[command(flatten)]
    options: Options,
    /// Leave the lab running and say how to use it
    #[arg(long)]
    keep: bool,
    /// Print the summary as one JSON object on standard output, and nothing else there
    #[arg(long)]
    json: bool,
    /// One worker, and no watching of an idle cluster
    #[arg(long)]
    short: bool,
}

pub fn demo(name: &str, demo: &Demo) -> Result<ExitCode> {
    let progress = Progress::new();
    let _alone = alone(name)?;
    end_when_interrupted(&[name])?;
    daemon::end(name)?;
    let result = run(name, demo, &progress);
    if let Err(error) = &result {
        explain(name, error);
    }
    if demo.keep {
        eprintln!("\n{}", up::how_to_use(name));
    } else {
        progress.say("lab", "tidying up");
        daemon::end(name)?;
    }
    let summary = result?;
    if demo.json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        eprintln!();
        println!("{summary}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Two demos at once would take each other's lab away.
fn alone(name: &str) -> Result<File> {
    let path = daemon::Place::of(name).lock();
    let lock = path.parent().map(fs::create_dir_all).transpose().and_then(|_| File::create(&path));
    let lock = lock.with_context(|| format!("cannot make {}", path.display()))?;
    if lock.try_lock().is_err() {
        bail!("another demo is under way\nhint: give this one another --name");
    }
    Ok(lock)
}

fn run(name: &str, demo: &Demo, progress: &Progress) -> Result<Summary> {
    let windlass = product::program(&demo.options)?;
    up::start(name, &Options { windlass: Some(windlass.clone()), ..demo.options.clone() })?;
    let mut client = Client::connect(name)?;
    let variables: BTreeMap<String, String> = client.ask(&Request::Environment)?;

    let mut seen = BTreeSet::new();
    launch(&mut client, "control-plane", 1, progress)?;
    wait_in_service(&mut client, 1, &mut seen, progress)?;
    let workers = if demo.short { 1 } else { WORKERS };
    launch(&mut client, "workers", workers, progress)?;
    let nodes = wait_in_service(&mut client, 1 + usize::try_from(workers)?, &mut seen, progress)?;

    wait_for_reports(&mut client, &nodes)?;
    let (idle, since) = (Instant::now(), records(&mut client, 0)?.len());
    let kubectl = Kubectl::new(&variables);
    eprintln!("\n{}", kubectl.run(&["get", "nodes", "--output", "wide"])?);
    let pods = pods::run(&kubectl, &nodes, progress)?;
    let network = network::run(name, &kubectl, &nodes, &pods, progress)?;
    if !demo.short && idle.elapsed() < IDLE {
        progress.say("aws", "counting what an idle cluster asks of AWS");
        std::thread::sleep(IDLE.saturating_sub(idle.elapsed()));
    }
    let (watched, records) = (idle.elapsed(), records(&mut client, 0)?);

    let report = |node: &str, json: bool| {
        let mut report = command(&windlass, ["report", node]);
        output(report.args(json.then_some("--json")).envs(&variables))
    };
    let mut reports = Vec::new();
    for node in &nodes {
        reports.push(serde_json::from_str(&report(&node.instance, true)?)?);
    }
    if !demo.json
        && let Some(worker) = nodes.iter().find(|node| node.group == "workers")
    {
        eprintln!("\n{}", report(&worker.instance, false)?);
    }
    let idle = (!demo.short).then(|| cost::Idle::of(&records[since..], watched));
    Ok(Summary::new(&nodes, &reports, (pods, network), &records[..since], idle, progress))
}

fn launch(client: &mut Client, group: &str, count: i32, progress: &Progress) -> Result<()> {
    progress.say("auto scaling", format!("{count} more in the group `{group}`"));
    client.ask::<Value>(&Request::Launch { group: group.to_owned(), count }).map(drop)
}

/// Until so many instances are in service: each has said itself that its Node is Ready.
fn wait_in_service(
    client: &mut Client,
    wanted: usize,
    seen: &mut BTreeSet<String>,
    progress: &Progress,
) -> Result<Vec<Status>> {
    let started = Instant::now();
    loop {
        let all: Vec<Status> = client.ask(&Request::Status)?;
        if let Some(trouble) = all.iter().find_map(|status| status.trouble.as_ref()) {
            bail!("a machine could not be switched on: {trouble}");
        }
        let (ready, rest): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|status| status.lifecycle.as_deref() == Some("InService"));
        for status in ready.iter().filter(|status| seen.insert(status.instance.clone())) {
            progress.say(
                "node",
                format!("{} of `{}` in {} is Ready", status.instance, status.group, status.zone),
            );
        }
        if ready.len() >= wanted {
            return Ok(ready);
        }
        if started.elapsed() > PATIENCE {
            let states = rest.iter().map(|status| {
                format!(
                    "{} is {}",
                    status.instance,
                    status.lifecycle.as_deref().unwrap_or(&status.state)
                )
            });
            bail!(
                "{} of {wanted} nodes were Ready after {} s; {}",
                ready.len(),
                PATIENCE.as_secs(),
                states.collect::<Vec<_>>().join(", ")
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The last that a node does on its way in is to put its boot report into S3.
fn wait_for_reports(client: &mut Client, nodes: &[Status]) -> Result<()> {
    let started = Instant::now();
    loop {
        let records = records(client, 0)?;
        let reported = |node: &&Status| {
            let ours = format!("{}/report.json", node.instance);
            records
                .iter()
                .any(|record| record["resource"].as_str().is_some_and(|name| name.ends_with(&ours)))
        };
        match nodes.iter().find(|node| !reported(node)) {
            None => return Ok(()),
            Some(node) if started.elapsed() > PATIENCE => {
                bail!("{} put no boot report into S3", node.instance)
            }
            Some(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn records(client: &mut Client, since: usize) -> Result<Vec<Value>> {
    client.ask(&Request::Calls { since })
}

/// Where to look, while there still is something to look at.
fn explain(name: &str, error: &anyhow::Error) {
    eprintln!("\nthe demo failed: {error:#}");
    let all: Vec<Status> = Client::connect(name)
        .and_then(|mut client| client.ask(&Request::Status))
        .unwrap_or_default();
    for status in all.iter().filter(|status| status.lifecycle.as_deref() != Some("InService")) {
        let console = std::fs::read_to_string(&status.console).unwrap_or_default();
        let ours: Vec<&str> = console.lines().filter(|line| line.contains("windlass")).collect();
        let last = &ours[ours.len().saturating_sub(15)..];
        eprintln!(
            "\nthe last of windlass on {} ({}):\n{}",
            status.instance,
            status.group,
            last.join("\n")
        );
    }
}
