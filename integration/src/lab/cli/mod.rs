//! The command line of `lab`: talk goes to standard error, data to standard output.

mod balancer;
mod bench;
mod binary;
mod cordon;
mod cost;
mod demo;
mod emulated;
mod figures;
mod interrupt;
mod leaving;
mod look;
pub mod product;
mod storm;
mod torture;
mod up;
mod vm;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::{Parser, Subcommand};

use super::artifacts::{self, Cache};
use super::daemon::{self, FaultRule, PoolShape, RefreshPace, Request};
use super::node;
use super::progress::Progress;
use super::vm as virtual_machine;

/// A local AWS region with a real Kubernetes cluster in it, on this machine
///
/// It plays IMDS, S3, EC2, Auto Scaling and STS; instances are containers that boot systemd, and
/// Windlass makes them nodes. Everything runs as root and is gone after `down`.
#[derive(Parser)]
#[command(
    name = "lab",
    bin_name = "cargo lab",
    version,
    after_help = "Examples:
  cargo demo                         all of it, from nothing to pods that answer
  cargo lab up                       a region with a cluster, one control-plane node, no workers
  cargo lab launch workers 2         two more instances in the group `workers`
  eval \"$(cargo lab env)\"            KUBECONFIG, AWS_ENDPOINT_URL and the operator's credentials
  kubectl get nodes
  cargo lab exec ip-10-0-1-4 -- journalctl -u windlass-boot
  cargo lab fault add throttle --service s3 --action GetObject --times 3
  cargo lab down"
)]
struct Arguments {
    /// Which lab: several can be up at once [default: lab; the demo's: demo]
    #[arg(long, global = true)]
    name: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a lab with one control-plane node
    Up(up::Up),
    /// End it and clear everything away, also what a killed lab left behind
    Down,
    /// List instances and their machines
    Status {
        #[arg(long)]
        json: bool,
    },
    /// Print variables for kubectl, the AWS CLI and the SDKs, as a shell reads them
    Env,
    /// Scale a group up
    Launch {
        /// `workers` or `control-plane`
        group: String,
        #[arg(default_value_t = 1)]
        count: i32,
        /// One instance outside the Auto Scaling group, which may be stopped and started
        #[arg(long, conflicts_with = "count")]
        alone: bool,
    },
    /// Scale a group, up or down: Auto Scaling chooses who leaves
    Scale {
        /// `workers` or `control-plane`
        group: String,
        to: i32,
    },
    /// Replace every instance of a group, as an instance refresh does
    Refresh {
        /// `workers` or `control-plane`
        group: String,
        #[command(flatten)]
        how: RefreshPace,
    },
    /// List the refreshes of a group, the latest first
    Refreshes {
        group: String,
    },
    /// Give a group a warm pool, from which it scales out, or change it
    WarmPool {
        /// `workers` or `control-plane`
        group: String,
        #[command(flatten)]
        pool: PoolShape,
    },
    /// Terminate an instance, through its Auto Scaling group if it has one
    Terminate {
        node: String,
    },
    /// Reboot an instance, as EC2's RebootInstances does
    Reboot {
        node: String,
    },
    /// Stop an instance; one of an Auto Scaling group is replaced by it
    Stop {
        node: String,
    },
    /// Start a stopped instance
    Start {
        node: String,
    },
    Spot(leaving::Spot),
    /// Tell an instance that it is at elevated risk of an interruption
    Rebalance {
        node: String,
    },
    Maintenance(leaving::Maintenance),
    /// Run a command on a node
    Exec {
        node: String,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Print a node's console: what its systemd and its journal said
    Logs {
        node: String,
        /// Go on as it grows
        #[arg(short, long)]
        follow: bool,
    },
    /// A lab whose workers are virtual machines, and what can be done to those
    #[command(subcommand)]
    Vm(vm::Vm),
    /// Make AWS fail by rule
    #[command(subcommand)]
    Fault(FaultCommand),
    /// Print the load balancer's targets and what became of its requests
    Balancer {
        #[arg(long)]
        json: bool,
    },
    /// Print how many packets the VPC has dropped, by reason
    Drops,
    /// Move the region's clock
    #[command(subcommand)]
    Clock(ClockCommand),
    /// Print the calls that AWS got, one JSON object a line
    Calls {
        #[arg(short, long)]
        follow: bool,
        /// How often each caller made each call, instead
        #[arg(long, conflicts_with = "follow")]
        count: bool,
    },
    /// From nothing to pods that answer, with one control-plane node and three workers in two zones
    Demo(demo::Demo),
    /// Boot workers, and print what that took in time, requests and memory
    Bench(bench::Bench),
    /// Launch many instances at once against an AWS that throttles, on a clock that does not wait
    Storm(storm::Storm),
    /// Drain nodes again and again while the program that does it is killed
    Torture(torture::Torture),
    /// Terminate nodes one after the other, and print how soon each was cordoned
    Cordon(cordon::Cordon),
    /// Check the released program: linked statically, small, content with an empty root
    Binary(binary::Binary),
    /// Run the agent's unit tests as a program for arm64, under qemu's user emulation
    Emulated,
    /// Build what a lab is made of, or find it in the cache
    Artifacts,
    #[command(hide = true)]
    Daemon(up::Daemon),
    #[command(hide = true)]
    NodeEnter {
        spec: PathBuf,
    },
    #[command(hide = true)]
    NodeInit {
        spec: PathBuf,
    },
    #[command(hide = true)]
    VmEnter {
        spec: PathBuf,
    },
}

#[derive(Subcommand)]
enum FaultCommand {
    /// Add a rule
    Add(FaultRule),
    /// List the rules, and how many calls each has seen
    List,
    /// Drop all rules
    Clear,
}

#[derive(Subcommand)]
enum ClockCommand {
    /// Forward, by 90s, 5m or 2h: timeouts end, certificates do not
    Advance {
        #[arg(value_parser = daemon::duration)]
        by: std::time::Duration,
    },
    /// Make all clients' clocks appear so many seconds behind (or, negative, ahead)
    Skew {
        #[arg(allow_negative_numbers = true)]
        seconds: i64,
    },
}

pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.name, arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: Option<String>, command: Command) -> Result<ExitCode> {
    let usual = if matches!(command, Command::Demo(_)) { "demo" } else { "lab" };
    let name = name.as_deref().unwrap_or(usual);
    match command {
        Command::Up(up) => up::up(name, &up)?,
        Command::Down => daemon::end(name)?,
        Command::Status { json } => look::status(name, json)?,
        Command::Env => look::environment(name)?,
        Command::Launch { group, alone: true, .. } => {
            look::print(name, &Request::LaunchAlone { group })?;
        }
        Command::Launch { group, count, .. } => {
            look::print(name, &Request::Launch { group, count })?;
        }
        Command::Scale { group, to } => look::print(name, &Request::Scale { group, to })?,
        Command::Refresh { group, how } => look::print(name, &Request::Refresh { group, how })?,
        Command::Refreshes { group } => look::print(name, &Request::Refreshes { group })?,
        Command::WarmPool { group, pool } => {
            look::print(name, &Request::WarmPool { group, pool })?;
        }
        Command::Terminate { node } => {
            look::begin(name, &Request::Terminate { node }, "terminated")?;
        }
        Command::Reboot { node } => look::begin(name, &Request::Reboot { node }, "rebooted")?,
        Command::Stop { node } => look::begin(name, &Request::Stop { node }, "stopped")?,
        Command::Start { node } => look::begin(name, &Request::Start { node }, "started")?,
        Command::Spot(spot) => leaving::spot(name, spot)?,
        Command::Rebalance { node } => look::print(name, &Request::Rebalance { node })?,
        Command::Maintenance(maintenance) => leaving::maintenance(name, maintenance)?,
        Command::Exec { node, command } => return look::exec(name, node, &command),
        Command::Logs { node, follow } => look::logs(name, node, follow)?,
        Command::Vm(vm) => vm::vm(name, vm)?,
        Command::Fault(FaultCommand::Add(rule)) => look::print(name, &Request::AddFault(rule))?,
        Command::Fault(FaultCommand::List) => look::print(name, &Request::ListFaults)?,
        Command::Fault(FaultCommand::Clear) => look::print(name, &Request::ClearFaults)?,
        Command::Balancer { json } => balancer::balancer(name, json)?,
        Command::Drops => look::print(name, &Request::Drops)?,
        Command::Clock(ClockCommand::Advance { by }) => {
            look::print(name, &Request::Advance { seconds: by.as_secs() })?;
        }
        Command::Clock(ClockCommand::Skew { seconds }) => {
            look::print(name, &Request::Skew { seconds })?
        }
        Command::Calls { follow, count } => look::calls(name, follow, count)?,
        Command::Demo(demo) => return demo::demo(name, &demo),
        Command::Bench(bench) => return bench::bench(&bench),
        Command::Storm(storm) => return storm::storm(&storm),
        Command::Torture(torture) => return torture::torture(&torture),
        Command::Cordon(cordon) => cordon::cordon(&cordon)?,
        Command::Binary(binary) => return binary::binary(&binary),
        Command::Emulated => emulated::emulated()?,
        Command::Artifacts => {
            let made = artifacts::ensure(&Arc::new(Cache::open()?), &Progress::new())?;
            println!("{made:#?}");
        }
        Command::Daemon(daemon) => up::daemon(name, daemon)?,
        Command::NodeEnter { spec } => return node::enter::main(&spec),
        Command::NodeInit { spec } => match node::init::main(&spec)? {},
        Command::VmEnter { spec } => match virtual_machine::enter(&spec)? {},
    }
    Ok(ExitCode::SUCCESS)
}
