//! A node's pod network under the blows of others on the same machine, the real ones: networkd that
//! starts again, an operator's flushes, a kill.

use std::time::{Duration, Instant};

use crate::lab_scene::{Lab, in_service};

/// What Windlass owns in the kernel, with nothing that counts or moves.
const NETWORK: &str = r#"
network() {
    for family in -4 -6; do
        ip $family route show table all proto 87
        ip $family rule show | grep 'proto 87'
    done
    nft --stateless list table inet windlass 2>&1
    cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/bridge/bridge-nf-call-iptables
    cat /etc/cni/net.d/*
}
"#;

/// Deals the blow and waits until all is as it was; prints the milliseconds.
const STRUCK: &str = r#"
before=$(network)
eval "$1" || exit 2
began=$(date +%s%N)
until [ "$(network)" = "$before" ]; do
    [ $(( $(date +%s%N) - began )) -lt 20000000000 ] || { network >&2; exit 3; }
done
echo $(( ($(date +%s%N) - began) / 1000000 ))
"#;

struct Worker<'a> {
    lab: &'a Lab,
    name: String,
}

impl Worker<'_> {
    fn sh(&self, script: &str, argument: &str) -> String {
        let words = ["exec", &self.name, "--", "bash", "-c", script, "bash", argument];
        self.lab.ok(&words).trim_end().to_owned()
    }

    fn network(&self) -> String {
        self.sh(&format!("{NETWORK} network"), "")
    }

    fn survives(&self, blow: &str) {
        let ms = self.sh(&[NETWORK, STRUCK].concat(), blow);
        eprintln!("as planned {ms} ms after `{blow}`");
    }

    fn unit(&self, property: &str) -> String {
        self.sh(&format!("systemctl show --value --property={property} windlass-watch"), "")
    }

    fn said(&self) -> String {
        self.sh("journalctl --unit windlass-watch --output cat", "")
    }

    fn eventually(&self, what: &str, wanted: impl Fn() -> bool) {
        self.lab.eventually(what, |_| wanted());
    }
}

#[test]
fn what_others_take_away_from_a_node_comes_back() {
    let lab = Lab::up("watch", &[]);
    lab.ok(&["launch", "workers"]);
    let nodes = lab.eventually("two nodes in service", |nodes| in_service(nodes, 2));
    let worker = nodes.iter().find(|node| node.group == "workers").unwrap();
    let worker = Worker { lab: &lab, name: worker.instance.clone() };
    worker.eventually("`windlass watch` at work", || worker.unit("ActiveState") == "active");
    assert_eq!(worker.unit("StatusText"), "the pod network is as planned");
    let planned = worker.network();
    assert!(planned.contains("blackhole ") && planned.contains("chain postrouting"), "{planned}");

    worker.survives("ip route flush table main proto 87");
    worker.survives("nft flush ruleset");
    worker.survives("ip route flush table main proto 87; nft flush ruleset");
    worker.survives("echo 0 > /proc/sys/net/ipv4/ip_forward");
    let said = worker.said();
    assert!(said.contains("put back what somebody else took away: "), "{said}");

    // networkd keeps what it did not make, since a boot told it to: but it takes the address away,
    // and with an address the kernel drops the routes from it.
    let put_back = || worker.unit("StatusText");
    let before = put_back();
    worker.survives("systemctl restart systemd-networkd");
    worker.survives("networkctl reconfigure ens5");
    worker.eventually("the routes from an address that came back", || {
        put_back() != before && worker.network() == planned
    });
    // Told nothing, it sweeps.
    worker.sh("rm /etc/systemd/networkd.conf.d/50-windlass.conf", "");
    worker.survives("systemctl restart systemd-networkd");
    let before = put_back();
    worker.survives("networkctl reconfigure ens5");
    worker.eventually("what networkd swept put back", || {
        put_back() != before && worker.network() == planned
    });

    // What is done while nobody watches is put right by who comes after.
    worker.survives("systemctl kill --signal KILL windlass-watch; ip route flush proto 87");
    assert_eq!(worker.unit("NRestarts"), "1");
    worker.survives(
        "echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables; rm /etc/cni/net.d/*; \
         systemctl restart windlass-watch",
    );
    let began = Instant::now();
    worker.sh("systemctl stop windlass-watch", "");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "it did not end when it was told to: {took:?}");
    assert_eq!(worker.unit("Result"), "success");
    worker.sh("ip route flush table main proto 87", "");
    std::thread::sleep(Duration::from_secs(2));
    assert_ne!(worker.network(), planned, "nobody was there to put it back");
    worker.sh("systemctl start windlass-watch", "");
    worker.eventually("all that was planned", || worker.network() == planned);

    // Another boot finds the network as it left it, and starts nothing again.
    let pid = worker.unit("MainPID");
    worker.sh("systemctl restart windlass-boot", "");
    let boots = worker.sh("journalctl --unit windlass-boot --output cat", "");
    assert!(boots.contains("every unit runs: as planned"), "{boots}");
    assert_eq!((worker.unit("MainPID"), worker.network()), (pid, planned));
    lab.ok(&["down"]);
}
