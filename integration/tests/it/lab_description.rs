//! The description of a lab's cluster, and what a test makes of it for a while.

use std::fs;
use std::path::{Path, PathBuf};

use crate::lab_scene::Lab;

/// Where no API server is.
pub const NOWHERE: &str = "api.nowhere.invalid";

pub struct Description<'a> {
    lab: &'a Lab,
    folder: PathBuf,
    /// As the lab wrote it.
    pub good: String,
}

impl<'a> Description<'a> {
    pub fn of(lab: &'a Lab) -> Self {
        let printed = lab.operator_ok(&["sh", "-c", "dirname $KUBECONFIG"]);
        let folder = Path::new(printed.trim_end()).to_owned();
        let good = fs::read_to_string(folder.join("cluster.toml")).unwrap();
        Self { lab, folder, good }
    }

    /// With these lines for the group `workers`.
    pub fn of_workers(&self, lines: &str) -> String {
        let head = "[groups.workers]\n";
        assert!(self.good.contains(head), "{}", self.good);
        self.good.replace(head, &format!("{head}{lines}"))
    }

    /// The same with an API server that has no address.
    pub fn without_api_server(&self, description: &str) -> String {
        let name = format!("api.{}.internal", self.lab.0);
        assert!(description.contains(&name), "{description}");
        description.replace(&name, NOWHERE)
    }

    pub fn apply(&self, description: &str) {
        let file = self.folder.join("changed.toml");
        fs::write(&file, description).unwrap();
        self.lab.operator_ok(&["windlass", "cluster", "apply", &file.display().to_string()]);
    }
}

/// The worker that has read its group's pointer and is none of `others`.
pub fn configured(lab: &Lab, others: &[&str]) -> String {
    let mut found = None;
    lab.eventually("another worker with its configuration", |nodes| {
        let calls = lab.ok(&["calls"]);
        let has_read = |instance: &str| {
            let of_it = |line: &&str| line.contains(instance) && line.contains("/groups/workers");
            calls.lines().any(|line| of_it(&line))
        };
        let workers = nodes.iter().filter(|node| node.lifecycle.is_some());
        let mut workers = workers.filter(|node| node.group == "workers").map(|node| &node.instance);
        found = workers.find(|it| !others.contains(&it.as_str()) && has_read(it)).cloned();
        found.is_some()
    });
    found.unwrap()
}
