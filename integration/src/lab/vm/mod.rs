//! VMs as nodes: the real kernel, boot order, control groups and clock that a container node does not
//! have. qemu emulates the processor, so a machine is up after some fifteen seconds.
//!
//! A VM is an instance of the region like any other. Its network card is a tap in the router's
//! namespace, where a container has the end of a veth; address, metadata and all else come to it
//! by that wire alone. [`Vm::start`] runs this same program again as `lab vm-enter`, which joins the
//! machine's control group and the router's namespace and becomes qemu.

pub mod agent;
mod base;
mod conversation;
pub mod disk;
mod fsck;
mod initrd;
mod kernel;
pub mod machine;
mod site;
mod tools;

use std::convert::Infallible;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use self::base::Base;
use self::conversation::Conversation;
pub use self::disk::Disk;
pub use self::fsck::fsck;
pub use self::machine::{Place, Shape};
use super::node::cgroups;

/// A machine in an emulated processor needs longer to power off than one of EC2's, which gets
/// minutes too.
const POWER_OFF: Duration = Duration::from_secs(60);

/// All that `vm-enter` needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Spec {
    /// Unique on the host; the control group is named so.
    name: String,
    /// The router's.
    namespace: PathBuf,
    command: Vec<String>,
    environment: Vec<(String, String)>,
}

/// A machine that runs.
#[derive(Debug)]
pub struct Vm {
    name: String,
    place: Place,
    /// Of qemu.
    pub pid: u32,
    pub powered_on: SystemTime,
}

/// What a machine is plugged into.
#[derive(Clone, Debug)]
pub struct Wiring {
    /// The namespace that has the tap.
    pub namespace: PathBuf,
    pub tap: String,
    pub mac: String,
}

impl Vm {
    /// Switches it on; returns when qemu runs it.
    pub fn start(
        program: &Path,
        disk: &Disk,
        name: String,
        place: Place,
        shape: &Shape,
        wiring: &Wiring,
    ) -> Result<Self> {
        const PATIENCE: Duration = Duration::from_secs(20);
        fs::create_dir_all(place.sockets.parent().unwrap_or(Path::new("/")))?;
        let spec = Spec {
            name: name.clone(),
            namespace: wiring.namespace.clone(),
            command: machine::command(disk, &place, shape, (&wiring.tap, &wiring.mac))?,
            environment: disk.tools.environment(),
        };
        let file = place.folder.join("vm.json");
        fs::write(&file, serde_json::to_vec_pretty(&spec)?)?;
        let said = place.folder.join("qemu.log");
        let log = File::create(&said)?;
        let powered_on = SystemTime::now();
        let mut child = Command::new(program)
            .arg("vm-enter")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C at the terminal is for the lab, which ends its machines in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let (pid, began) = (child.id(), Instant::now());
        // The monitor greets when the machine is made.
        while Monitor::connect(&place).is_err() {
            if child.try_wait()?.is_some() || began.elapsed() > PATIENCE {
                let _ = child.kill();
                let said = fs::read_to_string(&said).unwrap_or_default();
                bail!("the machine `{name}` did not start: {}", said.trim());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // Whoever waits for it reaps it.
        std::thread::spawn(move || child.wait());
        Ok(Self { name, place, pid, powered_on })
    }

    /// The guest agent's socket.
    pub fn agent(&self) -> PathBuf {
        self.place.agent()
    }

    pub fn is_alive(&self) -> bool {
        kill(Pid::from_raw(self.pid.cast_signed()), None).is_ok()
    }

    /// Presses the power button, as EC2 does, and cuts the power after a while.
    pub fn end(&self) -> Result<()> {
        if let Ok(mut monitor) = Monitor::connect(&self.place) {
            monitor.press_power_button()?;
            let began = Instant::now();
            while self.is_alive() && began.elapsed() < POWER_OFF {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        self.cut()
    }

    /// The power goes: what was not synced is lost.
    pub fn cut(&self) -> Result<()> {
        let _ = kill(Pid::from_raw(self.pid.cast_signed()), Signal::SIGKILL);
        cgroups::end(&self.name)?;
        for socket in [self.place.agent(), self.place.monitor()] {
            let _ = fs::remove_file(socket);
        }
        Ok(())
    }
}

/// qemu's own end of things ("QEMU Machine Protocol").
struct Monitor(Conversation);

impl Monitor {
    const PATIENCE: Duration = Duration::from_secs(5);

    fn connect(place: &Place) -> Result<Self> {
        let mut monitor = Self(Conversation::connect(&place.monitor())?);
        monitor.0.ask("qmp_capabilities", json!({}), Self::PATIENCE)?;
        Ok(monitor)
    }

    fn press_power_button(&mut self) -> Result<()> {
        self.0.ask("system_powerdown", json!({}), Self::PATIENCE).map(drop)
    }
}

/// `lab vm-enter SPEC`: becomes qemu where the machine belongs.
pub fn enter(file: &Path) -> Result<Infallible> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let spec: Spec = serde_json::from_slice(&text)
        .with_context(|| format!("{} is not a machine's specification", file.display()))?;
    cgroups::join(&spec.name)?;
    let namespace = File::open(&spec.namespace)
        .with_context(|| format!("cannot open the namespace {}", spec.namespace.display()))?;
    setns(namespace, CloneFlags::CLONE_NEWNET).context("cannot enter the router's namespace")?;
    let (program, arguments) = spec.command.split_first().context("a machine has no command")?;
    Err(Command::new(program).args(arguments).envs(spec.environment).exec())
        .with_context(|| format!("cannot run {program}"))
}
