//! A plain Debian tree boots as a container node in a VPC of namespaces, with nothing of ours.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use integration::lab::artifacts::{self, Cache};
use integration::lab::network::{Namespace, resolver, router};
use integration::lab::progress::Progress;

use crate::bare_vpc::{RESOLVER, Vpc, eventually};

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
    let metadata = vpc.router.namespace().listen(SocketAddr::from((router::METADATA, 80))).unwrap();
    std::thread::spawn(move || {
        for mut stream in metadata.incoming().flatten() {
            let from = stream.peer_addr().unwrap().ip();
            let _ = stream.read(&mut [0; 1024]);
            let _ = write!(stream, "HTTP/1.0 200 OK\r\n\r\nyou are {from}\n");
        }
    });

    let started = Instant::now();
    let (one, at_one) = vpc.boot(&[&debian], 11, |_, _| ());
    let (two, at_two) = vpc.boot(&[&debian], 12, |_, _| ());
    for (node, at) in [(&one, &at_one), (&two, &at_two)] {
        eventually(
            node,
            &["ip", "-4", "addr", "show", "dev", "ens5"],
            &format!("{}/24", at.address),
        );
        eventually(node, &["ip", "route"], "default via 10.0.1.1");
        let ipv6 = at.ipv6.unwrap().address.unwrap();
        let has_ipv6 = format!("{ipv6}/128 scope global dynamic");
        eventually(node, &["ip", "-6", "addr", "show", "dev", "ens5"], &has_ipv6);
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
    // IPv6 as on an instance: pull request 94 of amazonlinux/amazon-ec2-net-utils.
    let routes = one.run(["ip", "-6", "route"]).unwrap();
    let default = routes.lines().find(|line| line.starts_with("default via fe80::")).unwrap();
    assert!(default.contains("dev ens5 proto ra") && default.contains("expires 1"), "{routes}");
    assert!(routes.contains("2001:db8:0:1::/64 dev ens5 proto ra"), "{routes}");
    let other = at_two.ipv6.unwrap().address.unwrap().to_string();
    one.run(["ping", "-c", "1", "-W", "2", &other]).unwrap();
    let neighbours = one.run(["ip", "-6", "neigh"]).unwrap();
    assert!(neighbours.contains(&other) && !neighbours.contains(&at_two.mac), "{neighbours}");
    let spoofed = one.run(["ping", "-c", "1", "-W", "1", "-I", "10.0.1.99", "10.0.1.12"]);
    assert!(spoofed.is_err(), "the source check let a foreign address pass");
    one.end(Duration::from_secs(10)).unwrap();
    assert!(Namespace::with_prefix(&one.spec.name).unwrap().is_empty());
}
