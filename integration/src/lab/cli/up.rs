//! `lab up`, and the daemon that it starts.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::product;
use crate::lab::daemon::{self, Client, Request};
use crate::lab::family::Family;
use crate::lab::running::Wanted;
use crate::region::Profile;
use crate::region::ec2::Timing;

#[derive(clap::Args, Clone, Debug)]
pub struct Up {
    #[command(flatten)]
    pub options: Options,
    /// Start no instance at all
    #[arg(long)]
    pub empty: bool,
}

#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// How long AWS takes to answer
    #[arg(long, value_enum, default_value_t = Latency::None)]
    pub latency: Latency,
    /// Where ids, secrets and chance come from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Which addresses pods and services have
    #[arg(long, value_enum, default_value_t)]
    pub family: Family,
    /// The product's program for nodes and operator; built from this source if not given
    #[arg(long)]
    pub windlass: Option<PathBuf>,
    /// How long kubelets' client certificates live: 2m to see them renewed
    #[arg(long, default_value = "24h", value_parser = daemon::duration)]
    pub certificate_lifetime: Duration,
    /// The workers are Spot Instances: only such can be interrupted
    #[arg(long)]
    pub spot: bool,
    /// Build the product as it is released
    #[arg(long)]
    pub release: bool,
    /// Workers are virtual machines, which bring a kernel of their own and boot more slowly
    #[arg(long)]
    pub vms: bool,
    /// The same, and begin with this disk, qcow2, which was built upon that of `lab vm base`
    #[arg(long, value_name = "FILE")]
    pub vm_disk: Option<PathBuf>,
}

impl Options {
    /// The released product, `windlass` if it is built already, and all else as by default.
    pub fn released(latency: Latency, windlass: Option<PathBuf>) -> Self {
        let certificate_lifetime = Duration::from_secs(24 * 3600);
        let family = Family::default();
        Self {
            latency,
            seed: 1,
            family,
            windlass,
            release: true,
            certificate_lifetime,
            spot: false,
            vms: false,
            vm_disk: None,
        }
    }

    /// The same in the profile of this program.
    pub fn of_this_build(windlass: Option<PathBuf>) -> Self {
        Self { release: false, ..Self::released(Latency::None, windlass) }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Latency {
    /// As fast as this machine
    None,
    /// As AWS is seen to be from an instance
    Aws,
}

impl Latency {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Aws => "aws",
        }
    }
}

#[derive(clap::Args, Clone, Debug)]
pub struct Daemon {
    #[command(flatten)]
    options: Options,
}

/// Starts a lab in the background and one control-plane instance in it.
pub fn up(name: &str, up: &Up) -> Result<()> {
    start(name, &up.options)?;
    if !up.empty {
        let group = "control-plane".to_owned();
        Client::connect(name)?.ask::<serde_json::Value>(&Request::Launch { group, count: 1 })?;
    }
    eprintln!("\n{}", how_to_use(name));
    Ok(())
}

/// Starts a lab in the background.
pub fn start(name: &str, options: &Options) -> Result<()> {
    check(name)?;
    let windlass = product::program(options)?;
    let mut daemon = Command::new(std::env::current_exe()?);
    daemon.args(["--name", name, "daemon", "--seed", &options.seed.to_string()]);
    daemon.args(["--latency", options.latency.name(), "--family", options.family.name()]);
    let lifetime = format!("{}s", options.certificate_lifetime.as_secs());
    daemon.args(["--certificate-lifetime", &lifetime]);
    daemon.args(options.spot.then_some("--spot"));
    daemon.args(options.vms.then_some("--vms"));
    if let Some(disk) = &options.vm_disk {
        let disk = disk.canonicalize();
        daemon.arg("--vm-disk").arg(disk.context("cannot find the disk of `--vm-disk`")?);
    }
    daemon.arg("--windlass").arg(windlass);
    daemon::spawn(name, &mut daemon)
}

/// A lab's name becomes part of a bucket's, a cluster's and a socket's name.
fn check(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty()
        || name.len() > 20
        || !name.chars().all(fits)
        || name.starts_with('-')
        || name.ends_with('-')
    {
        bail!("`{name}` is no name for a lab, wanted up to 20 of a-z, 0-9 and -");
    }
    Ok(())
}

pub fn daemon(name: &str, daemon: Daemon) -> Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::WARN)
        .init();
    let wanted = Wanted {
        name: name.to_owned(),
        program: std::env::current_exe()?,
        windlass: daemon.options.windlass.context("a daemon is told where the product is")?,
        latency: match daemon.options.latency {
            Latency::None => Profile::None,
            Latency::Aws => Profile::Aws,
        },
        // Placement, firmware and kernel: a machine is powered on when it is running.
        timing: Timing { pending: Duration::from_secs(4), ..Timing::lifelike() },
        seed: daemon.options.seed,
        family: daemon.options.family,
        certificate_lifetime: daemon.options.certificate_lifetime,
        spot: daemon.options.spot,
        vms: daemon.options.vms || daemon.options.vm_disk.is_some(),
        vm_disk: daemon.options.vm_disk,
    };
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(daemon::serve(wanted))
}

pub fn how_to_use(name: &str) -> String {
    let which = if name == "lab" { String::new() } else { format!(" --name {name}") };
    format!(
        "The lab `{name}` is up. To use it:\n\
         \n  eval \"$(cargo lab{which} env)\"\n  kubectl get nodes\n  \
         windlass nodes\n  aws s3 ls --recursive s3://{name}-kubernetes/\n  cargo lab{which} launch workers 2\n  \
         cargo lab{which} status\n  cargo lab{which} down\n"
    )
}
