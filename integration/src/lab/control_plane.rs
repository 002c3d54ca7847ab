//! etcd and Kubernetes' control plane as systemd units of one node, the way an image of control-plane
//! nodes would bring them: with RBAC, the Node authorizer and NodeRestriction, and with kubelets'
//! serving certificates verified.
//!
//! All of it is written into the node's file system before it boots. The cluster's authority is the
//! one that `windlass cluster init` made; service accounts, etcd and the aggregation layer have
//! keys of their own, as kubeadm does it ("PKI certificates and requirements").

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use ipnet::IpNet;

use super::certificates::{Authority, Pair, Usage};
use super::family::nth;
use super::service_proxy;

/// Where a control-plane node keeps them.
const FOLDER: &str = "etc/kubernetes/control-plane";
pub const PORT: u16 = 6443;
const ADMINISTRATORS: &str = "system:masters";

/// What the control plane is to be.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    /// The node's own addresses.
    pub addresses: Vec<IpAddr>,
    /// Names by which the API server is reached.
    pub names: Vec<String>,
    /// The services' CIDRs, those of the first family first.
    pub services: Vec<IpNet>,
    /// How long the certificates live that kubelets renew.
    pub certificate_lifetime: Duration,
}

impl ControlPlane {
    /// Writes keys, certificates and units below `root`.
    pub fn install(&self, cluster: &Authority, root: &Path) -> Result<()> {
        let folder = root.join(FOLDER);
        fs::create_dir_all(&folder)?;
        self.write_keys(cluster, &folder)?;
        for (name, unit) in self.units() {
            write(&root.join("etc/systemd/system").join(name), 0o644, &unit)?;
            let wants = root.join("etc/systemd/system/multi-user.target.wants");
            fs::create_dir_all(&wants)?;
            symlink(format!("../{name}"), wants.join(name))?;
        }
        Ok(())
    }

    fn write_keys(&self, cluster: &Authority, folder: &Path) -> Result<()> {
        let put = |name: &str, pair: Pair| {
            write(&folder.join(format!("{name}.crt")), 0o644, &pair.certificate)?;
            write(&folder.join(format!("{name}.key")), 0o600, &pair.key)
        };
        let client =
            |name: &str, organization| cluster.issue(name, organization, Usage::Client, &[]);
        put("ca", Pair { certificate: cluster.certificate().to_owned(), key: cluster.key() })?;
        put(
            "apiserver",
            cluster.issue("kube-apiserver", None, Usage::Server, &self.server_names())?,
        )?;
        put(
            "apiserver-kubelet-client",
            client("kube-apiserver-kubelet-client", Some(ADMINISTRATORS))?,
        )?;

        let etcd = Authority::create("etcd-ca")?;
        write(&folder.join("etcd-ca.crt"), 0o644, etcd.certificate())?;
        put("etcd", etcd.issue("etcd", None, Usage::Both, &["127.0.0.1".into()])?)?;
        let front_proxy = Authority::create("front-proxy-ca")?;
        write(&folder.join("front-proxy-ca.crt"), 0o644, front_proxy.certificate())?;
        put(
            "front-proxy-client",
            front_proxy.issue("front-proxy-client", None, Usage::Client, &[])?,
        )?;

        let service_accounts = rcgen::KeyPair::generate()?;
        write(&folder.join("service-accounts.key"), 0o600, &service_accounts.serialize_pem())?;
        write(&folder.join("service-accounts.pub"), 0o644, &service_accounts.public_key_pem())?;

        let local = format!("https://127.0.0.1:{PORT}");
        for (file, user) in [
            ("controller-manager", "system:kube-controller-manager"),
            ("scheduler", "system:kube-scheduler"),
        ] {
            let config = kubeconfig(&local, cluster.certificate(), user, &client(user, None)?);
            write(&folder.join(format!("{file}.kubeconfig")), 0o600, &config)?;
        }
        let administrator = administrator(cluster)?;
        let config = kubeconfig(&local, cluster.certificate(), "administrator", &administrator);
        write(&folder.join("administrator.kubeconfig"), 0o600, &config)?;
        let permission = service_proxy::permission().to_string();
        write(&folder.join("permissions.json"), 0o644, &permission)
    }

    fn server_names(&self) -> Vec<String> {
        let inside = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
        ];
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let services = self.services.iter().map(|services| nth(*services, 1));
        let addresses = loopback.into_iter().chain(services).chain(self.addresses.iter().copied());
        inside
            .into_iter()
            .map(str::to_owned)
            .chain(self.names.iter().cloned())
            .chain(addresses.map(|address| address.to_string()))
            .collect()
    }

    /// It must be of the services' first family, in which the Service `kubernetes` has its address.
    fn advertised(&self) -> IpAddr {
        let first = self.services.first().map(IpNet::max_prefix_len);
        let fits = |address: &&IpAddr| Some(IpNet::from(**address).max_prefix_len()) == first;
        self.addresses.iter().find(fits).copied().unwrap_or(Ipv4Addr::UNSPECIFIED.into())
    }

    fn units(&self) -> [(&'static str, String); 5] {
        let services: Vec<_> = self.services.iter().map(IpNet::to_string).collect();
        let file = |name: &str| format!("/{FOLDER}/{name}");
        let pair = |flag: &str, key: &str, name: &str| {
            vec![
                format!("--{flag}={}", file(&format!("{name}.crt"))),
                format!("--{key}={}", file(&format!("{name}.key"))),
            ]
        };
        let client_configs = |name: &str| {
            ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"]
                .map(|flag| format!("--{flag}={}", file(&format!("{name}.kubeconfig"))))
                .to_vec()
        };
        let plain =
            |flags: &[&str]| flags.iter().map(|flag| format!("--{flag}")).collect::<Vec<_>>();
        let etcd = [
            plain(&[
                "data-dir=/var/lib/etcd",
                "listen-client-urls=https://127.0.0.1:2379",
                "advertise-client-urls=https://127.0.0.1:2379",
                "listen-peer-urls=http://127.0.0.1:2380",
                "client-cert-auth",
                // A lab does not outlive its machine.
                "unsafe-no-fsync",
                "log-level=warn",
            ]),
            pair("cert-file", "key-file", "etcd"),
            vec![format!("--trusted-ca-file={}", file("etcd-ca.crt"))],
        ];
        let api_server = [
            plain(&[
                "etcd-servers=https://127.0.0.1:2379",
                "authorization-mode=Node,RBAC",
                "enable-admission-plugins=NodeRestriction",
                "service-account-issuer=https://kubernetes.default.svc",
                "allow-privileged=true",
                "requestheader-username-headers=X-Remote-User",
                "requestheader-group-headers=X-Remote-Group",
                "requestheader-extra-headers-prefix=X-Remote-Extra-",
                "requestheader-allowed-names=front-proxy-client",
                // What the lab's users do not have, kubelets and admitters do not need.
                "profiling=false",
            ]),
            vec![
                format!("--secure-port={PORT}"),
                // By both families, whichever the node has.
                "--bind-address=::".into(),
                format!("--advertise-address={}", self.advertised()),
                format!("--service-cluster-ip-range={}", services.join(",")),
                format!("--client-ca-file={}", file("ca.crt")),
                format!("--kubelet-certificate-authority={}", file("ca.crt")),
                format!("--etcd-cafile={}", file("etcd-ca.crt")),
                format!("--requestheader-client-ca-file={}", file("front-proxy-ca.crt")),
                format!("--service-account-key-file={}", file("service-accounts.pub")),
                format!("--service-account-signing-key-file={}", file("service-accounts.key")),
                // Pods' names for kubelets are EC2's; logs and exec go to the address.
                "--kubelet-preferred-address-types=InternalIP,Hostname".into(),
            ],
            pair("tls-cert-file", "tls-private-key-file", "apiserver"),
            pair("kubelet-client-certificate", "kubelet-client-key", "apiserver-kubelet-client"),
            pair("etcd-certfile", "etcd-keyfile", "etcd"),
            pair("proxy-client-cert-file", "proxy-client-key-file", "front-proxy-client"),
        ];
        let controller_manager = [
            client_configs("controller-manager"),
            pair("cluster-signing-cert-file", "cluster-signing-key-file", "ca"),
            vec![
                format!("--root-ca-file={}", file("ca.crt")),
                format!("--service-account-private-key-file={}", file("service-accounts.key")),
            ],
            plain(&[
                "use-service-account-credentials",
                "leader-elect=false",
                // Pod CIDRs are leased by `windlass admit`.
                "allocate-node-cidrs=false",
                "bind-address=127.0.0.1",
            ]),
            vec![format!("--cluster-signing-duration={}s", self.certificate_lifetime.as_secs())],
        ];
        let scheduler =
            [client_configs("scheduler"), plain(&["leader-elect=false", "bind-address=127.0.0.1"])];
        [
            ("etcd.service", unit("etcd", "notify", "network.target", &etcd.concat())),
            (
                "kube-apiserver.service",
                unit(
                    "kube-apiserver",
                    "notify",
                    "network-online.target etcd.service",
                    &api_server.concat(),
                ),
            ),
            (
                "kube-controller-manager.service",
                unit(
                    "kube-controller-manager",
                    "exec",
                    "kube-apiserver.service",
                    &controller_manager.concat(),
                ),
            ),
            (
                "kube-scheduler.service",
                unit("kube-scheduler", "exec", "kube-apiserver.service", &scheduler.concat()),
            ),
            ("permissions.service", permissions()),
        ]
    }
}

fn unit(program: &str, kind: &str, after: &str, flags: &[String]) -> String {
    format!(
        "[Unit]\nDescription={program}\nAfter={after}\nWants={after}\n\n\
         [Service]\nType={kind}\nExecStart=/usr/local/bin/{program} \\\n  {}\n\
         Restart=always\nRestartSec=200ms\nTimeoutStartSec=120\n\n\
         [Install]\nWantedBy=multi-user.target\n",
        flags.join(" \\\n  ")
    )
}

/// What kube-proxy needs, as soon as there is an API server to tell.
fn permissions() -> String {
    format!(
        "[Unit]\nDescription=permissions\nAfter=kube-apiserver.service\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\n\
         ExecStart=/usr/local/bin/kubectl --kubeconfig=/{FOLDER}/administrator.kubeconfig apply \
         --filename=/{FOLDER}/permissions.json\nRestart=on-failure\nRestartSec=500ms\n\n\
         [Install]\nWantedBy=multi-user.target\n"
    )
}

/// A kubeconfig with everything in it, as JSON, which is YAML.
pub fn kubeconfig(server: &str, authority: &str, user: &str, pair: &Pair) -> String {
    use base64::Engine;
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority-data": base64(authority)}}],
        "users": [{"name": user, "user": {
            "client-certificate-data": base64(&pair.certificate),
            "client-key-data": base64(&pair.key),
        }}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
        "current-context": "lab",
    });
    format!("{config:#}\n")
}

/// The credential of whoever owns the cluster.
pub fn administrator(cluster: &Authority) -> Result<Pair> {
    cluster.issue("lab-administrator", Some(ADMINISTRATORS), Usage::Client, &[])
}

fn write(path: &Path, mode: u32, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

#[cfg(test)]
mod tests {
    use super::super::family::Family;
    use super::*;

    #[test]
    fn the_api_server_advertises_the_address_of_the_services_first_family() {
        let advertised = |family: Family| {
            let control_plane = ControlPlane {
                addresses: vec![
                    [10, 0, 1, 4].into(),
                    Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 4).into(),
                ],
                names: Vec::new(),
                services: family.services(),
                certificate_lifetime: Duration::from_secs(60),
            };
            let [_, (_, unit), ..] = control_plane.units();
            let flags = ["--advertise-address=", "--service-cluster-ip-range="];
            flags.map(|flag| {
                let value = unit.split_once(flag).unwrap().1;
                value.split_whitespace().next().unwrap().to_owned()
            })
        };
        assert_eq!(advertised(Family::Ipv4), ["10.0.1.4", "10.96.0.0/16"]);
        assert_eq!(advertised(Family::Ipv6), ["2001:db8:0:1::4", "fd00:96::/112"]);
        assert_eq!(advertised(Family::Dual), ["10.0.1.4", "10.96.0.0/16,fd00:96::/112"]);
    }
}
