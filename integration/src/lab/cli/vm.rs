//! `lab vm`: workers that are virtual machines, and what can be done to a machine but not to a
//! container: look at its serial console, cut its power, change what it is like.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use windlass::report::{Report, Step};

use super::figures::table;
use super::{look, up};
use crate::lab::artifacts::{self, Cache};
use crate::lab::daemon::{Client, Request, Status};
use crate::lab::progress::Progress;
use crate::lab::run::{command, output};
use crate::lab::vm::agent::Agent;
use crate::lab::vm::{Base, Disk, Shape, fsck};

/// Of an emulated machine.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(200);

#[derive(clap::Subcommand)]
pub enum Vm {
    /// Start a lab with one control-plane node, which is a container, and one worker, which is a VM
    Up(up::Up),
    /// Print a VM's serial console: firmware, kernel and what systemd says there
    Console {
        node: String,
        /// Go on as it grows
        #[arg(short, long)]
        follow: bool,
    },
    /// Cut a VM's power: what it has not synced is lost, and EC2 knows nothing of it
    Cut { node: String },
    /// Switch a VM on whose power was cut
    On { node: String },
    /// Check the file system of a VM that is stopped, and print what `e2fsck` says
    Fsck { node: String },
    /// What VMs are like that are switched on from now on
    Shape(Shape),
    /// What a VM's way from power-on to Ready took
    Times {
        node: String,
        #[arg(long)]
        json: bool,
    },
    /// Make the bootable disk, or find it in the cache, and print its path
    Disk(up::Options),
    /// Make a bootable disk with nothing of the product, which an image builder begins with, or find it
    /// in the cache; print the paths of it, of root's key, of UEFI firmware, and of qemu
    Base,
}

pub fn vm(name: &str, vm: Vm) -> Result<()> {
    match vm {
        Vm::Up(mut up) => {
            up.options.vms = true;
            up::up(name, &up)?;
            if !up.empty {
                let group = "workers".to_owned();
                let mut client = Client::connect(name)?;
                client.ask::<serde_json::Value>(&Request::Launch { group, count: 1 })?;
                let worker = in_service(&mut client)?;
                eprintln!(
                    "{} is in service after:\n\n{}",
                    worker.instance,
                    Times::of(name, &worker)?
                );
            }
            Ok(())
        }
        Vm::Console { node, follow } => {
            let status: Status = Client::connect(name)?.ask(&Request::Find { node })?;
            look::show(&Path::new(&status.console).with_file_name("serial.log"), follow)
        }
        Vm::Cut { node } => look::begin(name, &Request::Cut { node }, "cut from its power"),
        Vm::On { node } => look::begin(name, &Request::PowerOn { node }, "switched on"),
        Vm::Fsck { node } => {
            let status: Status = Client::connect(name)?.ask(&Request::Find { node })?;
            if status.pid.is_some() {
                bail!("{} is not off\nhint: `cargo lab stop {0}`", status.instance);
            }
            let folder = Path::new(&status.console).with_file_name("");
            print!("{}", fsck(&Cache::open()?, &Progress::new(), &folder)?);
            Ok(())
        }
        Vm::Shape(shape) => look::print(name, &Request::Shape(shape)),
        Vm::Times { node, json } => {
            let status: Status = Client::connect(name)?.ask(&Request::Find { node })?;
            let times = Times::of(name, &status)?;
            if json {
                println!("{}", serde_json::to_string_pretty(&times)?);
            } else {
                print!("{times}");
            }
            Ok(())
        }
        Vm::Disk(options) => {
            let (cache, progress) = (Arc::new(Cache::open()?), Progress::new());
            let windlass = super::product::program(&options)?;
            let artifacts = artifacts::ensure(&cache, &progress)?;
            let disk = Disk::ensure(&cache, &artifacts, &windlass, &progress)?;
            println!("{}", disk.image.display());
            Ok(())
        }
        Vm::Base => {
            let base = Base::ensure(&Cache::open()?, &Progress::new())?;
            println!("disk={}\nkey={}", base.disk.display(), base.key.display());
            println!("firmware={}\npath={}", base.firmware.display(), base.programs.display());
            Ok(())
        }
    }
}

fn in_service(client: &mut Client) -> Result<Status> {
    let began = Instant::now();
    loop {
        let all: Vec<Status> = client.ask(&Request::Status)?;
        let mut workers = all.into_iter().filter(|status| status.group == "workers");
        let found = workers.find(|status| {
            status.trouble.is_some() || status.lifecycle.as_deref() == Some("InService")
        });
        match found {
            Some(Status { trouble: Some(trouble), .. }) => bail!("{trouble}"),
            Some(worker) => return Ok(worker),
            None if began.elapsed() > PATIENCE => {
                bail!("no worker is in service after {} s", PATIENCE.as_secs())
            }
            None => std::thread::sleep(LOOK),
        }
    }
}

/// Seconds since power-on, but for the two that say otherwise.
#[derive(Debug, serde::Serialize)]
pub struct Times {
    /// The kernel's first moment.
    pub kernel: f64,
    /// systemd's.
    pub systemd: f64,
    /// `windlass boot` began.
    pub windlass: f64,
    /// It asked for kubelet.
    pub kubelet: f64,
    pub ready: f64,
    /// All units of the boot were up, which is after Ready.
    pub multi_user: Option<f64>,
    /// `windlass boot`'s own time, seconds.
    pub own: f64,
    /// How much of that passed before the machine had a network, seconds.
    pub network: f64,
    /// Of the time until Ready, 0 to 1: its own time once there was a network.
    pub own_share: f64,
}

impl Times {
    /// By the machine's clocks that count from its kernel's start, and by this machine's.
    fn of(name: &str, status: &Status) -> Result<Self> {
        let agent = status.agent.as_ref().context("it is no virtual machine, or it is off")?;
        let powered_on = status.powered_on.context("it is off")?;
        let mut agent = Agent::connect(agent)?;
        let mut say = |words: &[&str]| -> Result<String> {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let ended = agent.run(&words)?;
            if ended.code != 0 {
                bail!("`{}` failed: {}", words.join(" "), String::from_utf8_lossy(&ended.stderr));
            }
            Ok(String::from_utf8(ended.stdout)?)
        };
        let uptime = say(&["cat", "/proc/uptime"])?;
        let uptime: f64 = uptime.split(' ').next().unwrap_or_default().parse()?;
        let kernel = SystemTime::now().duration_since(powered_on)?.as_secs_f64() - uptime;
        let mut systemd = |unit: &[&str], property: &str| -> Result<f64> {
            let property = format!("--property={property}");
            let said = say(&[&["systemctl", "show", "--value", &property], unit].concat())?;
            Ok(said.trim().parse::<f64>()? / 1e6)
        };
        let userspace = systemd(&[], "UserspaceTimestampMonotonic")?;
        let multi_user = systemd(&["multi-user.target"], "ActiveEnterTimestampMonotonic")?;
        let report = report(name, &status.instance)?;
        let seconds = |ms: Option<f64>, what: &str| {
            ms.map(|ms| ms / 1e3).with_context(|| format!("the boot report does not say {what}"))
        };
        let (windlass, own) =
            (seconds(report.started_ms, "when it began")?, seconds(report.own_ms, "its own time")?);
        let waited = |step: &&Step| step.waited_for.as_deref() == Some("network");
        let waits = report.steps.iter().filter(waited).map(|step| step.end_ms - step.start_ms);
        let network = waits.sum::<f64>() / 1e3;
        let ready = kernel + seconds(report.ready_ms, "when the node was Ready")?;
        Ok(Self {
            kernel,
            systemd: kernel + userspace,
            windlass: kernel + windlass,
            kubelet: kernel + windlass + own,
            ready,
            multi_user: (multi_user > 0.0).then_some(kernel + multi_user),
            own,
            network,
            own_share: (own - network) / ready,
        })
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let moments = [
            ("the kernel starts", Some(self.kernel)),
            ("systemd starts", Some(self.systemd)),
            ("windlass boot starts", Some(self.windlass)),
            ("it starts kubelet", Some(self.kubelet)),
            ("the node is Ready", Some(self.ready)),
            ("multi-user.target", self.multi_user),
        ];
        let row = |(what, at): (&str, Option<f64>)| {
            vec![what.to_owned(), at.map_or_else(|| "-".to_owned(), |at| format!("{at:.2}"))]
        };
        let header = vec!["since power-on".to_owned(), "s".to_owned()];
        let rows: Vec<_> = std::iter::once(header).chain(moments.map(row)).collect();
        write!(f, "{}", table(&rows))?;
        writeln!(
            f,
            "\nown time {:.2} s, {:.2} s of it without a network; the rest is {:.1} % of the way to Ready",
            self.own,
            self.network,
            100.0 * self.own_share
        )
    }
}

/// The boot report, which comes a moment after the hook was completed.
fn report(name: &str, instance: &str) -> Result<Report> {
    let variables: BTreeMap<String, String> = Client::connect(name)?.ask(&Request::Environment)?;
    let began = Instant::now();
    loop {
        // By the PATH that the lab tells of.
        let mut report = command("sh", ["-c", "exec windlass report \"$0\" --json", instance]);
        match output(report.envs(&variables)) {
            Ok(said) => return Ok(serde_json::from_str(&said)?),
            Err(error) if began.elapsed() > Duration::from_secs(15) => return Err(error),
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}
