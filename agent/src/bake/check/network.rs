//! Who gives the machine its addresses, and who would take packets from pods.

use super::Examination;

/// What configures a network at boot.
const CONFIGURE: [&str; 4] =
    ["systemd-networkd.service", "NetworkManager.service", "networking.service", "network.service"];

pub(super) fn check(examination: &mut Examination<'_>) {
    if !CONFIGURE.iter().any(|unit| examination.starts(unit)) {
        examination.problem(
            format!("nothing configures the network: none of {} is enabled", CONFIGURE.join(", ")),
            "`systemctl enable systemd-networkd`, with DHCP for the primary interface",
        );
    }
    if examination.starts("systemd-networkd.service") && !has_networkd_configuration(examination) {
        examination.problem(
            "systemd-networkd is enabled, and no file says which interface takes an address",
            "write /etc/systemd/network/80-ec2.network, or have cloud-init's netplan do it",
        );
    }
    if examination.starts("firewalld.service") {
        examination.problem(
            "firewalld is enabled: it drops pods' packets",
            "`systemctl disable firewalld`; security groups are AWS' packet filter",
        );
    }
    let ufw = examination.text("/etc/ufw/ufw.conf");
    if examination.starts("ufw.service") && ufw.lines().any(|line| line.trim() == "ENABLED=yes") {
        examination.problem("ufw is enabled: it drops pods' packets", "`ufw disable`");
    }
}

fn has_networkd_configuration(examination: &Examination<'_>) -> bool {
    let tree = examination.tree;
    let folders =
        ["/etc/systemd/network", "/run/systemd/network", "/usr/local/lib/systemd/network"];
    let has = |folder: &&str| tree.list(folder).iter().any(|name| name.ends_with(".network"));
    // systemd's own package has some for containers and VMs, which are not about an ENI.
    let ec2 = tree.list("/usr/lib/systemd/network");
    let ec2 = ec2.iter().any(|name| name.contains("ec2") && name.ends_with(".network"));
    let netplan =
        !tree.list("/etc/netplan").is_empty() || examination.exists("/usr/bin/cloud-init");
    folders.iter().any(has) || ec2 || netplan
}
