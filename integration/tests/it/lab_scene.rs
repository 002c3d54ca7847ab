//! A lab of a test's own, by the commands that its user has.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use integration::lab::balancer;
use integration::lab::daemon::{Place, Status};
use integration::lab::network::Namespace;
use integration::lab::node::cgroups;
use integration::lab::running::prefix;
use windlass::report::Report;

/// A lab of a test's own; ended when dropped, also when the test failed.
pub struct Lab(pub String);

impl Lab {
    pub fn up(name: &str, arguments: &[&str]) -> Self {
        let lab = Self(format!("{name}-{}", std::process::id()));
        lab.ok(&[&["up"], arguments].concat());
        lab
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_lab"))
            .args(["--name", &self.0])
            .args(arguments)
            .output()
            .unwrap()
    }

    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`lab {}`: {said}", arguments.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn status(&self) -> Vec<Status> {
        serde_json::from_str(&self.ok(&["status", "--json"])).unwrap()
    }

    pub fn balancer(&self) -> balancer::Status {
        serde_json::from_str(&self.ok(&["balancer", "--json"])).unwrap()
    }

    /// Runs a program of this machine with what `lab env` prints. The words may begin with more
    /// variables, as `env` takes them.
    pub fn operator(&self, words: &[&str]) -> Output {
        let script = format!("{}\nexec env \"$@\"", self.ok(&["env"]));
        Command::new("sh").args(["-c", &script, "sh"]).args(words).output().unwrap()
    }

    /// What that program printed.
    pub fn operator_ok(&self, words: &[&str]) -> String {
        let output = self.operator(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{}`: {said}", words.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The last boot report of a node, once there is one that `wanted` accepts.
    pub fn report(&self, node: &str, wanted: impl Fn(&Report) -> bool) -> Report {
        let mut found = None;
        self.eventually(&format!("the wanted boot report of {node}"), |_| {
            let printed = self.operator(&["windlass", "report", node, "--json"]).stdout;
            found = serde_json::from_slice(&printed).ok().filter(|report| wanted(report));
            found.is_some()
        });
        found.unwrap()
    }

    pub fn eventually(&self, what: &str, mut wanted: impl FnMut(&[Status]) -> bool) -> Vec<Status> {
        let started = Instant::now();
        loop {
            let found = self.status();
            if wanted(&found) {
                return found;
            }
            assert!(
                started.elapsed() < Duration::from_secs(240),
                "never {what}: {found:#?}\n{}",
                consoles(&found)
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// All that is on this machine under the lab's name.
    pub fn traces(&self) -> Vec<String> {
        let prefix = prefix(&self.0);
        let namespaces = Namespace::with_prefix(&prefix).unwrap();
        let mut traces: Vec<String> =
            namespaces.iter().map(|it| format!("namespace {}", it.name())).collect();
        traces.extend(
            cgroups::with_prefix(&prefix)
                .unwrap()
                .into_iter()
                .map(|it| format!("control group {it}")),
        );
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let ours = format!("/labs/{}/", self.0);
        traces.extend(
            mounts.lines().filter(|line| line.contains(&ours)).map(|line| format!("mount {line}")),
        );
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
            if arguments.contains(&ours) || arguments.contains(&format!("--name {} daemon", self.0))
            {
                traces.push(format!("process {arguments}"));
            }
        }
        if Place::of(&self.0).socket().exists() {
            traces.push("control socket".into());
        }
        traces
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.run(&["down"]);
    }
}

/// The end of what each node said of us, and of all that a machine said by its serial port.
fn consoles(nodes: &[Status]) -> String {
    let end = |node: &Status| {
        let console = Path::new(&node.console);
        let journal = said(console);
        let ours: Vec<&str> = journal.lines().filter(|line| line.contains("windlass")).collect();
        let ours = if ours.is_empty() { journal.clone() } else { ours.join("\n") };
        let serial = said(&console.with_file_name("serial.log"));
        let (ours, serial) = (last(&ours, 20), last(&serial, 20));
        format!("== {} {}\n{ours}\n== by serial port\n{serial}\n", node.instance, node.group)
    };
    nodes.iter().map(end).collect()
}

/// The last lines.
pub fn last(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// All that a file has, whatever it is: a cut of power may leave any byte in it.
pub fn said(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

pub fn in_service(nodes: &[Status], count: usize) -> bool {
    nodes.iter().filter(|node| node.lifecycle.as_deref() == Some("InService")).count() == count
}
