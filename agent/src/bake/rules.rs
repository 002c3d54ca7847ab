//! What must not be in an image: what is one machine's, what is secret, what is only left over.
//! Each rule has its reason.

/// What must be gone, and why.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub what: What,
    pub why: &'static str,
    pub kind: Kind,
}

/// Which paths a rule is about. A `*` stands for any part of one name.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// The files or links, or folders with all that is in them.
    Gone(&'static [&'static str]),
    /// Files that must be there and empty.
    Empty(&'static [&'static str]),
    /// The files below these folders; the folders stay, with their owners.
    FilesBelow(&'static [&'static str]),
    /// Files that hold a secret, by what is in them.
    Holding(&'static [&'static str]),
    /// Files, and no links, which stay.
    Files(&'static [&'static str]),
}

/// How bad it would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Lets somebody in, or lets somebody be somebody else.
    Secret,
    /// Every instance of the image would take itself for the same machine.
    Identity,
    /// Takes room, and tells what the builder did.
    Leftover,
}

use Kind::{Identity, Leftover, Secret};
use What::{Empty, Files, FilesBelow, Gone, Holding};

/// All rules.
///
/// Source: "Building Images Safely" (systemd documentation) for what is a machine's own; "Guidelines
/// for shared Linux AMIs" (Amazon EC2 User Guide) for what lets somebody in.
pub const RULES: [Rule; 18] = [
    Rule {
        what: Gone(&["/etc/ssh/ssh_host_*"]),
        why: "every instance would have the same host keys; cloud-init or sshd's unit makes new ones",
        kind: Secret,
    },
    Rule {
        what: Gone(&["/root/.ssh/authorized_keys*", "/home/*/.ssh/authorized_keys*"]),
        why: "whoever built the image could log in to every instance; cloud-init puts the \
              instance's own key there",
        kind: Secret,
    },
    Rule {
        what: Gone(&["/root/.ssh/id_*", "/home/*/.ssh/id_*"]),
        why: "a private key of the builder's",
        kind: Secret,
    },
    Rule {
        what: Holding(&["/root/.ssh/*", "/home/*/.ssh/*"]),
        why: "a private key of the builder's by another name",
        kind: Secret,
    },
    Rule {
        what: Gone(&[
            "/root/.aws",
            "/home/*/.aws",
            "/root/.docker/config.json",
            "/home/*/.docker/config.json",
            "/root/.netrc",
            "/home/*/.netrc",
            "/root/.git-credentials",
            "/home/*/.git-credentials",
            "/root/.kube/config",
            "/home/*/.kube/config",
        ]),
        why: "credentials of the builder's; an instance has those of its role",
        kind: Secret,
    },
    Rule {
        what: Gone(&[
            "/var/lib/windlass/*",
            "/var/lib/kubelet/*",
            "/etc/kubernetes/pki",
            "/etc/kubernetes/*.kubeconfig",
            "/etc/kubernetes/kubelet.conf",
            "/etc/kubernetes/bootstrap-kubelet.conf",
            "/etc/kubernetes/admin.conf",
            "/etc/kubernetes/super-admin.conf",
            "/etc/kubernetes/controller-manager.conf",
            "/etc/kubernetes/scheduler.conf",
        ]),
        why: "keys, certificates and state of the node that the builder was; a boot makes an \
              instance's own",
        kind: Secret,
    },
    Rule {
        what: Holding(&["/etc/kubernetes/*.conf"]),
        why: "a kubeconfig with a key; a boot makes an instance's own",
        kind: Secret,
    },
    Rule {
        what: Empty(&["/etc/machine-id"]),
        why: "systemd makes one at the first boot of each instance, where the file is empty",
        kind: Identity,
    },
    Rule {
        what: Files(&["/var/lib/dbus/machine-id"]),
        why: "D-Bus' copy of the machine id, from which systemd would take it again; a link to \
              /etc/machine-id stays",
        kind: Identity,
    },
    Rule {
        what: Gone(&[
            "/var/lib/systemd/random-seed",
            "/var/lib/systemd/credential.secret",
            "/boot/efi/loader/random-seed",
            "/boot/loader/random-seed",
            "/efi/loader/random-seed",
        ]),
        why: "instances that start from the same seed may draw the same numbers",
        kind: Identity,
    },
    Rule {
        what: Gone(&["/var/lib/cloud/*"]),
        why: "cloud-init would take the instance for the builder, and its data may hold secrets",
        kind: Identity,
    },
    Rule {
        what: Gone(&[
            "/var/lib/dhcp/*",
            "/var/lib/dhclient/*",
            "/var/lib/dhcpcd/*",
            "/var/lib/NetworkManager/*.lease",
            "/var/lib/NetworkManager/secret_key",
            "/var/lib/cni/*",
            "/etc/udev/rules.d/70-persistent-net.rules",
        ]),
        why: "leases, addresses and interface names of the builder's",
        kind: Identity,
    },
    Rule {
        what: Gone(&["/var/lib/containerd/io.containerd.grpc.v1.introspection/uuid"]),
        why: "what containerd calls this machine",
        kind: Identity,
    },
    Rule {
        what: Gone(&["/var/log/journal/*", "/var/log/pods", "/var/log/containers"]),
        why: "the builder's journal; an instance's own has its machine id",
        kind: Leftover,
    },
    Rule { what: FilesBelow(&["/var/log"]), why: "the builder's logs", kind: Leftover },
    Rule {
        what: Gone(&[
            "/root/.*_history",
            "/home/*/.*_history",
            "/root/.lesshst",
            "/root/.viminfo",
            "/root/.wget-hsts",
            "/root/.sudo_as_admin_successful",
            "/home/*/.sudo_as_admin_successful",
        ]),
        why: "what somebody typed, passwords perhaps",
        kind: Leftover,
    },
    Rule {
        what: FilesBelow(&["/var/lib/apt/lists", "/var/cache/apt"]),
        why: "package lists are old by the first boot, and a boot installs nothing",
        kind: Leftover,
    },
    Rule {
        what: Gone(&["/var/cache/dnf/*", "/var/cache/yum/*", "/var/cache/libdnf5/*"]),
        why: "package lists are old by the first boot, and a boot installs nothing",
        kind: Leftover,
    },
];
