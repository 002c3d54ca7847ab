//! A VPC of namespaces without a region, for tests of what the lab itself promises.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use integration::lab::artifacts::Cache;
use integration::lab::network::{Attachment, Ipv6, Namespace, Provisioning, Router, dhcp, router};
use integration::lab::node::{self, Node, Spec};

pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// A router and its nodes; gone when dropped, also when the test failed.
pub struct Vpc {
    pub name: String,
    pub router: Router,
    folder: PathBuf,
    provisioning: Mutex<Vec<Provisioning>>,
}

impl Vpc {
    pub fn create(test: &str) -> Self {
        let name = format!("wl-test-{test}-{}", std::process::id());
        let folder = Cache::open().unwrap().root().join("tmp").join(&name);
        let router = Router::create(&format!("{name}-vpc"), &[router::METADATA, RESOLVER]).unwrap();
        Self { name, router, folder, provisioning: Mutex::default() }
    }

    /// Boots a node from these layers; `write` is given its upper layer and its `/var/lib/containerd`.
    pub fn boot(
        &self,
        layers: &[&Path],
        number: u8,
        write: impl FnOnce(&Path, &Path),
    ) -> (Node, Attachment) {
        let attachment = Attachment {
            instance_id: format!("i-000000000000000{number:02}"),
            mac: format!("02:00:00:00:00:{number:02x}"),
            address: Ipv4Addr::new(10, 0, 1, number),
            subnet: "10.0.1.0/24".parse().unwrap(),
            ipv6: Some(Ipv6 {
                subnet: "2001:db8:0:1::/64".parse().unwrap(),
                address: Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0xfeed, number.into())),
            }),
        };
        let name = format!("{}-{}", self.name, attachment.instance_id);
        let namespace = Namespace::create(&name).unwrap();
        self.router.attach(&namespace, &attachment).unwrap();
        let offer = dhcp::Offer {
            attachment: attachment.clone(),
            resolver: RESOLVER,
            domain: "eu-west-1.compute.internal".into(),
        };
        let provisioning = Provisioning::start(self.router.namespace(), offer).unwrap();
        self.provisioning.lock().unwrap().push(provisioning);
        let spec = Spec {
            hostname: format!("ip-10-0-1-{number}"),
            namespace: namespace.path(),
            folder: self.folder.join(&attachment.instance_id),
            layers: layers.iter().map(|layer| layer.to_path_buf()).collect(),
            name,
        };
        Node::prepare(&spec).unwrap();
        write(&spec.upper(), &spec.folder.join("containerd"));
        (Node::start(Path::new(env!("CARGO_BIN_EXE_lab")), spec).unwrap(), attachment)
    }
}

impl Vpc {
    fn print_consoles(&self) {
        for node in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let console = fs::read_to_string(node.path().join("console.log")).unwrap_or_default();
            let lines: Vec<&str> = console.lines().collect();
            let last = &lines[lines.len().saturating_sub(60)..];
            eprintln!("== console of {}\n{}", node.file_name().display(), last.join("\n"));
        }
    }
}

impl Drop for Vpc {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_consoles();
        }
        for name in node::cgroups::with_prefix(&self.name).unwrap() {
            node::clean(&name).unwrap();
        }
        for namespace in Namespace::with_prefix(&self.name).unwrap() {
            namespace.delete().unwrap();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub fn eventually(node: &Node, words: &[&str], wanted: &str) -> String {
    let started = Instant::now();
    loop {
        let found = match node.run(words.iter().copied()) {
            Ok(output) if output.contains(wanted) => return output,
            Ok(output) => output,
            Err(error) => format!("{error:#}"),
        };
        assert!(
            started.elapsed() < Duration::from_secs(60) && node.is_alive(),
            "`{}` never showed `{wanted}`: {found}\nconsole: {}",
            words.join(" "),
            fs::read_to_string(node.spec.console()).unwrap_or_default()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
