//! Workers that are virtual machines, as tests look at them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use integration::lab::artifacts::AGNHOST;
use integration::lab::daemon::Status;
use serde_json::Value;
use windlass::report::Report;

use crate::lab_scene::{Lab, in_service, last, said};
use crate::lab_stopped::launch;

/// A machine in an emulated processor takes a minute to be Ready, beside a build some more.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks: each is a program or two, on the processors that emulate the machine's.
const LOOK: Duration = Duration::from_millis(500);

/// A lab whose workers are virtual machines, with the product as it is released: what is not
/// optimised takes ten times as long on an emulated processor. It is built, unless
/// `WINDLASS_PROGRAM` says where it is already.
pub fn up(name: &str, more: &[&str]) -> Lab {
    let built = std::env::var("WINDLASS_PROGRAM").ok();
    let product = built.as_deref().map_or(vec!["--release"], |path| vec!["--windlass", path]);
    let lab = Lab::up(name, &[&["--vms"], &product[..], more].concat());
    lab.eventually("a control plane in service", |nodes| in_service(nodes, 1));
    lab
}

/// One of no Auto Scaling group, which would replace it.
pub struct Machine<'a> {
    pub lab: &'a Lab,
    pub id: String,
}

impl<'a> Machine<'a> {
    /// One that is switched on with this shape, as `lab vm shape` takes it.
    pub fn launch(lab: &'a Lab, shape: &[&str]) -> Self {
        lab.ok(&[&["vm", "shape"], shape].concat());
        let machine = Self { lab, id: launch(lab) };
        lab.eventually("a machine that is on", |_| machine.status().pid.is_some());
        machine
    }

    pub fn status(&self) -> Status {
        self.lab.status().into_iter().find(|status| status.instance == self.id).unwrap()
    }

    /// What a shell in the machine prints.
    pub fn sh(&self, script: &str) -> String {
        self.lab.ok(&["exec", &self.id, "--", "sh", "-c", script])
    }

    /// What all its boots said so far.
    pub fn journal(&self) -> String {
        said(Path::new(&self.status().console))
    }

    /// What firmware, kernel and systemd said on the serial port so far.
    pub fn serial(&self) -> String {
        said(&self.serial_port())
    }

    /// Waits for these words on the serial port, and notices them at once.
    pub fn says_by_serial(&self, words: &str) {
        const LOOK: Duration = Duration::from_millis(20);
        let (port, began) = (self.serial_port(), Instant::now());
        while !said(&port).contains(words) {
            assert!(began.elapsed() < PATIENCE, "{}: never {words}: {}", self.id, said(&port));
            std::thread::sleep(LOOK);
        }
    }

    fn serial_port(&self) -> PathBuf {
        Path::new(&self.status().console).with_file_name("serial.log")
    }

    /// Waits until it is so.
    pub fn eventually(&self, what: &str, mut wanted: impl FnMut() -> bool) {
        let began = Instant::now();
        while !wanted() {
            if began.elapsed() > PATIENCE {
                let (journal, serial) = (last(&self.journal(), 40), last(&self.serial(), 20));
                panic!("{}: never {what}:\n{journal}\n== by serial port\n{serial}", self.id);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits for a line in its journal.
    pub fn says(&self, words: &str) {
        self.eventually(words, || self.journal().contains(words));
    }

    /// The report of its last boot, if there is one.
    pub fn reported(&self) -> Option<Report> {
        let printed = self.lab.operator(&["windlass", "report", &self.id, "--json"]).stdout;
        serde_json::from_slice(&printed).ok()
    }

    /// The report of its last boot, once there is one that `wanted` accepts.
    pub fn report(&self, wanted: impl Fn(&Report) -> bool) -> Report {
        let mut found = None;
        self.eventually("the wanted boot report", || {
            found = self.reported().filter(|report| wanted(report));
            found.is_some()
        });
        found.unwrap()
    }

    /// The kernel that is the Node's, if that is Ready.
    pub fn ready(&self) -> Option<String> {
        let words = ["kubectl", "get", "node", "--output=json", &self.id];
        let node: Value = serde_json::from_slice(&self.lab.operator(&words).stdout).ok()?;
        let conditions = node["status"]["conditions"].as_array()?;
        let ready = |it: &&Value| it["type"] == "Ready" && it["status"] == "True";
        conditions.iter().find(ready)?;
        Some(node["status"]["nodeInfo"]["bootID"].as_str()?.to_owned())
    }

    /// Waits until it is Ready by another kernel's start than `before`; says how long that took.
    pub fn ready_after(&self, before: Option<&str>) -> String {
        let (began, mut found) = (Instant::now(), None);
        self.eventually("a Ready node", || {
            found = self.ready().filter(|boot| Some(boot.as_str()) != before);
            found.is_some()
        });
        eprintln!("{} is Ready after {:.1} s", self.id, began.elapsed().as_secs_f64());
        found.unwrap()
    }

    /// UEFI firmware found the disk's system partition, and systemd's stub there started the kernel.
    pub fn was_started_by_firmware(&self) {
        let stub = self.sh("cat /sys/firmware/efi/efivars/StubInfo-* | tr -cd '[:print:]'");
        assert!(stub.contains("systemd-stub"), "{stub}");
        let serial = self.serial();
        assert!(serial.contains("BdsDxe: starting Boot"), "{serial}");
    }

    /// Gives it, the only worker, a pod that answers a neighbour in the VPC and is made anew when the
    /// machine goes down.
    pub fn runs_a_pod(&self) {
        let create = ["kubectl", "create", "deployment", "web", "--image", AGNHOST];
        let more = ["--", "/agnhost", "netexec", "--http-port=8080"];
        self.lab.operator_ok(&[&create[..], &more].concat());
        self.pod_answers();
    }

    /// The pod is reached, whatever its name and its address are now.
    pub fn pod_answers(&self) {
        let status = self.lab.status();
        let neighbour = status.iter().find(|it| it.group == "control-plane").unwrap();
        let began = Instant::now();
        self.eventually("an answer of its pod", || {
            let Some((name, address)) = self.pod() else { return false };
            let url = format!("http://{address}:8080/hostname");
            let curl = ["exec", &neighbour.instance, "--", "curl", "-sS", "--max-time", "2", &url];
            self.lab.run(&curl).stdout == name.as_bytes()
        });
        eprintln!("its pod answers after {:.1} s", began.elapsed().as_secs_f64());
    }

    /// Name and address of the pod, if it runs here.
    fn pod(&self) -> Option<(String, String)> {
        let words = ["kubectl", "get", "pods", "--selector=app=web", "--output=json"];
        let pods: Value = serde_json::from_slice(&self.lab.operator(&words).stdout).ok()?;
        // One that kubelet ended as the machine went down stays, `Succeeded`, beside the one in its place.
        let here = |pod: &&Value| {
            pod["spec"]["nodeName"] == self.id.as_str()
                && pod["metadata"]["deletionTimestamp"].is_null()
                && pod["status"]["phase"] == "Running"
        };
        let pod = pods["items"].as_array()?.iter().find(here)?;
        let word = |value: &Value| value.as_str().map(str::to_owned);
        Some((word(&pod["metadata"]["name"])?, word(&pod["status"]["podIP"])?))
    }

    /// Cuts the power, and switches it on again.
    pub fn loses_power(&self) {
        self.is_cut();
        self.is_switched_on();
    }

    /// Cuts the power.
    pub fn is_cut(&self) {
        self.lab.ok(&["vm", "cut", &self.id]);
        self.lab.eventually("a machine that is off", |_| self.status().pid.is_none());
    }

    pub fn is_switched_on(&self) {
        self.lab.ok(&["vm", "on", &self.id]);
        self.lab.eventually("a machine that is on again", |_| self.status().pid.is_some());
    }

    /// Powers off in good order, and its file system is sound then.
    pub fn stops_with_a_sound_disk(&self) {
        self.lab.ok(&["stop", &self.id]);
        self.eventually("a machine that is off", || {
            let status = self.status();
            status.state == "stopped" && status.pid.is_none()
        });
        let said = self.lab.ok(&["vm", "fsck", &self.id]);
        assert!(!said.contains("skipping journal recovery"), "it did not unmount its disk: {said}");
    }

    /// Goes for good.
    pub fn terminate(self) {
        self.lab.ok(&["terminate", &self.id]);
        self.lab.eventually("a machine that is gone", |_| {
            let status = self.status();
            status.state == "terminated" && status.pid.is_none()
        });
    }
}
