//! nftables' table: made, put back, and what it does to packets. Tables of others are not touched.

use std::process::{Command, Stdio};

use netlink_tests::node::{self, bridge, foreign, one_eni};
use netlink_tests::{in_new_namespace, ip_batch, nft, nft_file};
use windlass::converge::Ensured::{Changed, Unchanged};
use windlass::converge::network::{Filter, ensure_filter};
use windlass::host::Machine;

async fn ensured(filter: &mut Filter) -> windlass::converge::Ensured {
    filter.ensure(&Machine::this(), &node::filter()).await.expect("nft")
}

/// As kube-proxy's in nftables mode.
const THEIRS: &str = "table ip kube-proxy {\n\tchain nat-postrouting {\n\t\ttype nat hook postrouting \
                      priority srcnat; policy accept;\n\t\tmeta mark 0x4000 masquerade\n\t}\n}\n";

#[test]
fn the_table_is_made_once_and_read_back_as_it_is_planned() {
    in_new_namespace(async || {
        nft_file(THEIRS);
        let before = foreign();
        let filter = &mut Filter::default();
        assert_eq!((ensured(filter).await, ensured(filter).await), (Changed, Unchanged));
        assert_eq!(ensured(&mut Filter::default()).await, Unchanged, "by another program too");
        let once = async || ensure_filter(&Machine::this(), &node::filter()).await.expect("nft");
        assert_eq!(once().await, Unchanged, "by one look");
        nft("flush chain inet windlass forward");
        assert_eq!((once().await, once().await), (Changed, Unchanged));
        assert_eq!(nft("-s list table inet windlass"), node::filter().to_string());
        assert_eq!(foreign(), before);
    });
}

#[test]
fn a_table_that_was_removed_or_altered_is_put_back() {
    in_new_namespace(async || {
        nft_file(THEIRS);
        let (filter, before) = (&mut Filter::default(), foreign());
        ensured(filter).await;
        for blow in [
            "delete table inet windlass",
            "flush chain inet windlass forward",
            "insert rule inet windlass forward accept",
            "add chain inet windlass another",
            "delete chain inet windlass postrouting",
        ] {
            nft(blow);
            assert_eq!(
                (ensured(filter).await, ensured(filter).await),
                (Changed, Unchanged),
                "{blow}"
            );
            assert_eq!(nft("-s list table inet windlass"), node::filter().to_string(), "{blow}");
        }
        nft("flush ruleset");
        assert_eq!((ensured(filter).await, before.len()), (Changed, foreign().len() + 1));
    });
}

#[test]
fn counted_packets_are_no_alteration() {
    in_new_namespace(async || {
        one_eni();
        bridge();
        let filter = &mut Filter::default();
        ensured(filter).await;
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("written");
        pod_sends_to(&["169.254.169.254", "192.0.2.1", "10.0.7.7"]);
        assert_eq!(ensured(filter).await, Unchanged);
        let listed = nft("list table inet windlass");
        let counted = |line: &str| {
            let line = listed.lines().find(|it| it.contains(line)).expect("the rule");
            let packets = line.split("packets ").nth(1).and_then(|it| it.split(' ').next());
            packets.expect("a counter").parse::<u32>().expect("a number")
        };
        assert_eq!(counted("daddr 169.254.169.254"), 1, "closed to a pod: {listed}");
        assert_eq!(counted("ip saddr 10.64.0.0/14"), 1, "only what leaves the VPC: {listed}");
    });
}

/// Packets to these addresses, one each, from a pod on the bridge: in a namespace that is this
/// shell's and ends with it. No answer comes.
fn pod_sends_to(addresses: &[&str]) {
    let mut pod = Command::new("unshare")
        .args([
            "--net",
            "bash",
            "-c",
            "read go; set -e; ip link set eth0 up
            ip addr add 10.64.3.9/24 dev eth0; ip route add default via 10.64.3.1
            # A packet that waits for its neighbour's address would be lost with this namespace.
            until ip neigh show 10.64.3.1 | grep -q lladdr; do
                echo who are you > /dev/udp/10.64.3.1/9; sleep 0.02
            done
            for to in \"$@\"; do echo a packet > /dev/udp/$to/9; done",
            "pod",
        ])
        .args(addresses)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("a pod");
    let ours = std::fs::read_link("/proc/thread-self/ns/net").expect("a namespace");
    let theirs = format!("/proc/{}/ns/net", pod.id());
    while std::fs::read_link(&theirs).expect("a namespace") == ours {
        std::thread::yield_now();
    }
    ip_batch(&format!(
        "link add vethpod type veth peer name eth0 netns {}\nlink set vethpod master cni0 up\n",
        pod.id()
    ));
    drop(pod.stdin.take());
    assert!(pod.wait().expect("an end").success());
}
