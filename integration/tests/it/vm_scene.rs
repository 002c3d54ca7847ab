//! Workers that are virtual machines, as tests look at them.

use std::fs;
use std::time::Instant;

use integration::lab::artifacts::AGNHOST;
use integration::lab::daemon::Status;
use serde_json::Value;

use crate::lab_scene::{Lab, in_service};
use crate::lab_stopped::launch;

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
        fs::read_to_string(self.status().console).unwrap_or_default()
    }

    /// Waits for a line in its journal that comes after so many bytes of it.
    pub fn says(&self, words: &str, after: usize) {
        self.lab.eventually(words, |_| {
            String::from_utf8_lossy(self.journal().as_bytes().get(after..).unwrap_or_default())
                .contains(words)
        });
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
        self.lab.eventually("a Ready node", |_| {
            found = self.ready().filter(|boot| Some(boot.as_str()) != before);
            found.is_some()
        });
        eprintln!("{} is Ready after {:.1} s", self.id, began.elapsed().as_secs_f64());
        found.unwrap()
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
        self.lab.eventually(&format!("an answer of a pod on {}", self.id), |_| {
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
        let here = |pod: &&Value| {
            pod["spec"]["nodeName"] == self.id.as_str()
                && pod["metadata"]["deletionTimestamp"].is_null()
        };
        let pod = pods["items"].as_array()?.iter().find(here)?;
        let word = |value: &Value| value.as_str().map(str::to_owned);
        Some((word(&pod["metadata"]["name"])?, word(&pod["status"]["podIP"])?))
    }

    /// Cuts the power, and switches it on again.
    pub fn loses_power(&self) {
        self.lab.ok(&["vm", "cut", &self.id]);
        self.lab.eventually("a machine that is off", |_| self.status().pid.is_none());
        self.lab.ok(&["vm", "on", &self.id]);
        self.lab.eventually("a machine that is on again", |_| self.status().pid.is_some());
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
