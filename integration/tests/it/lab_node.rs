//! A plain Debian tree boots as a container node in a VPC of namespaces, with nothing of ours.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use integration::lab::artifacts::{self, Cache};
use integration::lab::network::{Attachment, Namespace, Router, dhcp, resolver, router};
use integration::lab::node::{self, Node, Spec};
use integration::lab::progress::Progress;

const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// A router and its nodes; gone when dropped, also when the test failed.
struct Vpc {
    name: String,
    router: Router,
    folder: PathBuf,
}

impl Vpc {
    fn create(test: &str) -> Self {
        let name = format!("wl-test-{test}-{}", std::process::id());
        let folder = Cache::open().unwrap().root().join("tmp").join(&name);
        let router = Router::create(&format!("{name}-vpc"), &[router::METADATA, RESOLVER]).unwrap();
        Self { name, router, folder }
    }

    fn boot(&self, debian: &Path, number: u8) -> (Node, Attachment) {
        let attachment = Attachment {
            instance_id: format!("i-000000000000000{number:02}"),
            mac: format!("02:00:00:00:00:{number:02x}"),
            address: Ipv4Addr::new(10, 0, 1, number),
            subnet: "10.0.1.0/24".parse().unwrap(),
        };
        let name = format!("{}-{}", self.name, attachment.instance_id);
        let namespace = Namespace::create(&name).unwrap();
        self.router.attach(&namespace, &attachment).unwrap();
        let offer = dhcp::Offer {
            attachment: attachment.clone(),
            resolver: RESOLVER,
            domain: "eu-west-1.compute.internal".into(),
        };
        let socket = dhcp::listen(self.router.namespace(), &offer).unwrap();
        tokio::spawn(dhcp::serve(socket, offer));
        let spec = Spec {
            hostname: format!("ip-10-0-1-{number}"),
            namespace: namespace.path(),
            folder: self.folder.join(&attachment.instance_id),
            layers: vec![debian.to_owned()],
            name,
        };
        Node::prepare(&spec).unwrap();
        (Node::start(Path::new(env!("CARGO_BIN_EXE_lab")), spec).unwrap(), attachment)
    }
}

impl Drop for Vpc {
    fn drop(&mut self) {
        for name in node::cgroups::with_prefix(&self.name).unwrap() {
            node::clean(&name).unwrap();
        }
        for namespace in Namespace::with_prefix(&self.name).unwrap() {
            namespace.delete().unwrap();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn eventually(node: &Node, words: &[&str], wanted: &str) -> String {
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
            std::fs::read_to_string(node.spec.console()).unwrap_or_default()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_boot_take_their_addresses_by_dhcp_and_reach_each_other_and_the_metadata_service()
{
    let debian = artifacts::debian(&Arc::new(Cache::open().unwrap()), &Progress::new()).unwrap();
    let vpc = Vpc::create("boot");
    let lookup: resolver::Lookup = Arc::new(|name| {
        (name == "s3.eu-west-1.amazonaws.com").then(|| vec![[192, 0, 2, 10].into()])
    });
    let socket = resolver::listen(vpc.router.namespace(), RESOLVER).unwrap();
    tokio::spawn(resolver::serve(socket, lookup));
    let metadata = vpc
        .router
        .namespace()
        .listen(SocketAddr::from((router::METADATA, 80)))
        .unwrap()
        .into_std()
        .unwrap();
    metadata.set_nonblocking(false).unwrap();
    std::thread::spawn(move || {
        for mut stream in metadata.incoming().flatten() {
            let from = stream.peer_addr().unwrap().ip();
            let _ = stream.read(&mut [0; 1024]);
            let _ = write!(stream, "HTTP/1.0 200 OK\r\n\r\nyou are {from}\n");
        }
    });

    let started = Instant::now();
    let (one, at_one) = vpc.boot(&debian, 11);
    let (two, at_two) = vpc.boot(&debian, 12);
    for (node, at) in [(&one, &at_one), (&two, &at_two)] {
        eventually(
            node,
            &["ip", "-4", "addr", "show", "dev", "ens5"],
            &format!("{}/24", at.address),
        );
        eventually(node, &["ip", "route"], "default via 10.0.1.1");
        assert!(eventually(node, &["ip", "link", "show", "ens5"], "mtu 9001").contains(&at.mac));
    }
    eprintln!("two nodes have addresses after {} ms", started.elapsed().as_millis());
    eventually(&one, &["systemctl", "is-system-running", "--wait"], "running");
    eprintln!("running after {} ms", started.elapsed().as_millis());

    // Neighbours in a subnet reach each other through the router, which answers ARP for them.
    one.run(["ping", "-c", "1", "-W", "2", &at_two.address.to_string()]).unwrap();
    let neighbours = one.run(["ip", "neigh"]).unwrap();
    assert!(neighbours.contains("10.0.1.12") && !neighbours.contains(&at_two.mac), "{neighbours}");
    let said = two.run(["curl", "-sS", "--max-time", "5", "http://169.254.169.254/"]).unwrap();
    assert_eq!(said, "you are 10.0.1.12\n");
    let spoofed = one.run(["ping", "-c", "1", "-W", "1", "-I", "10.0.1.99", "10.0.1.12"]);
    assert!(spoofed.is_err(), "the source check let a foreign address pass");
    one.end(Duration::from_secs(10)).unwrap();
    assert!(Namespace::with_prefix(&one.spec.name).unwrap().is_empty());
}
