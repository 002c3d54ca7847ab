//! One node without a machine: a network namespace in which AWS and the API server answer, and a folder
//! with what a boot leaves, which is the root of the `windlass watch` that runs there.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use windlass::basis::{Mailbox, ensure_kept};
use windlass::config::{NodeConfig, Sha256Hex};
use windlass::facts::Facts;
use windlass::host::Machine as Host;
use windlass::pki::sha256_hex;

use super::aws::{self, Aws, BUCKET, CLUSTER, GROUP};
use super::gate::Gate;
use super::ground::Ground;
use crate::lab::network::router::{METADATA, RESOLVER, nth_address};
use crate::lab::network::{Namespace, resolver};
use crate::region::imds::Machine;
use crate::region::serve::{self, Listening, Who};

/// The API server's name.
pub const API: &str = "api.torture.internal";
const API_PORT: u16 = 6443;
/// From TEST-NET-1 (RFC 5737), which is nobody's.
const API_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);
/// What a node that leaves asks, and where it answers.
pub const SERVICES: [(&str, Ipv4Addr); 2] =
    [("autoscaling", Ipv4Addr::new(192, 0, 2, 12)), ("s3", Ipv4Addr::new(192, 0, 2, 10))];
const POD_CIDR: &str = "10.128.7.0/24";
/// kubelet's certificate, and the link by which it is found.
const CERTIFICATE: &str = "kubelet-client-2026-11-23-12-00-00.pem";
const PKI: &str = "var/lib/kubelet/pki";

/// In a namespace of mounts that ends with the program: the host's programs and devices, and the
/// node's files. `$1` is the root, `$2` the product's program.
const ENTER: &str = r#"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount --rbind /usr "$1/usr"
mount --bind "$2" "$1/windlass"
exec chroot "$1" /windlass watch
"#;

/// Before that: what the boot left, on a file system on which there is no room for more.
const FULL_DISK: &str = r#"
mount -t tmpfs -o size=64k full "$1/tmp"
cp -r "$1/var/lib/windlass/." "$1/tmp"
dd if=/dev/zero of="$1/tmp/filler" 2>/dev/null || true
mount --move "$1/tmp" "$1/var/lib/windlass"
"#;

/// What its configuration says, and what it is like.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Lines of the table `[drain]`.
    pub drain: String,
    pub hook: &'static str,
    /// How long kubelet's certificate lives.
    pub certificate_lifetime: Duration,
    /// Nothing can be written where the drain is written down.
    pub full_disk: bool,
}

/// It; gone with all that it had when dropped.
pub struct Node {
    pub gate: Gate,
    windlass: PathBuf,
    full_disk: bool,
    _listening: Vec<Listening>,
    resolving: JoinHandle<()>,
    place: Place,
}

/// They go even if the rest could not be made.
struct Place {
    namespace: Namespace,
    folder: PathBuf,
}

impl Node {
    /// For this instance. Within a runtime, where it may block.
    pub fn make(ground: &Ground, name: &str, aws: &Aws, wanted: &Wanted) -> Result<Self> {
        let (folder, namespace) = ground.place(name);
        let machine = aws.machine()?;
        fs::create_dir_all(&folder)?;
        let namespace = Namespace::create(&namespace)?;
        let place = Place { namespace, folder };
        connect(&place.namespace, &machine)?;
        write_root(&place.folder, ground, aws, &machine, wanted)?;

        let listen = |address: Ipv4Addr, port: u16| {
            place.namespace.listen(SocketAddr::from((address, port)))
        };
        let (address, ..) = aws::network(&machine)?;
        let metadata =
            serve::imds(&aws.region, listen(METADATA, 80)?, Who::Instance(address.into()))?;
        let mut listening = vec![metadata];
        for ((_, address), tls) in SERVICES.into_iter().zip(&ground.tls) {
            listening.push(serve::https(&aws.region, listen(address, 443)?, tls.clone())?);
        }
        let gate = Gate::start(listen(API_ADDRESS, API_PORT)?, ground.api_server())?;
        let lookup: resolver::Lookup = Arc::new(|name| lookup(name).map(|address| vec![address]));
        let socket = resolver::listen(&place.namespace, RESOLVER)?;
        Ok(Self {
            gate,
            windlass: ground.windlass.clone(),
            full_disk: wanted.full_disk,
            _listening: listening,
            resolving: tokio::spawn(resolver::serve(socket, lookup)),
            place,
        })
    }

    /// Where a path of the node lies on this machine.
    pub fn path(&self, of: &str) -> PathBuf {
        self.place.folder.join(of.trim_start_matches('/'))
    }

    /// Starts `windlass watch`; what it says is the child's standard error.
    pub fn watch(&self) -> Result<Child> {
        let script = ["set -e", if self.full_disk { FULL_DISK } else { "" }, ENTER].concat();
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", self.place.namespace.name(), "sh", "-c", &script, "watch"])
            .args([&self.place.folder, &self.windlass])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command.spawn().context("cannot run `ip`\nhint: install iproute2")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.resolving.abort();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.namespace.delete();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn lookup(name: &str) -> Option<Ipv4Addr> {
    let Some(below) = name.strip_suffix(".eu-west-1.amazonaws.com") else {
        return (name == API).then_some(API_ADDRESS);
    };
    // Buckets are hosts of their own.
    let service = below.rsplit('.').next();
    SERVICES.into_iter().find(|(name, _)| Some(*name) == service).map(|(_, address)| address)
}

/// As an instance's interface is connected, with what it reaches on the way to nowhere: the other end
/// is a port of a bridge, which is no interface of an instance's.
fn connect(namespace: &Namespace, machine: &Machine) -> Result<()> {
    let (address, subnet, mac) = aws::network(machine)?;
    let services = SERVICES.map(|(_, address)| address);
    let reached = [METADATA, RESOLVER, API_ADDRESS].into_iter().chain(services);
    let reached: String =
        reached.map(|address| format!("addr add {address}/32 dev lo\n")).collect();
    namespace.ip(&format!(
        "link set lo up\n{reached}\
         link add vpc type bridge forward_delay 0\nlink set vpc up\n\
         link add ens5 mtu 9001 type veth peer name router mtu 9001\n\
         link set router up master vpc\nlink set ens5 address {mac}\nlink set ens5 up\n\
         addr add {address}/{} dev ens5\n\
         route add default via {} dev ens5 proto dhcp metric 1024\n",
        subnet.prefix_len(),
        nth_address(subnet, 1),
    ))
}

/// What a boot leaves, below `root`.
fn write_root(
    root: &Path,
    ground: &Ground,
    aws: &Aws,
    machine: &Machine,
    wanted: &Wanted,
) -> Result<()> {
    for folder in ["dev", "proc", "run", "tmp", "usr"] {
        fs::create_dir_all(root.join(folder))?;
    }
    for merged in ["bin", "lib", "lib64", "sbin"] {
        symlink(format!("usr/{merged}"), root.join(merged))?;
    }
    let put = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    put("windlass", "")?;
    put("etc/resolv.conf", &format!("nameserver {RESOLVER}\n"))?;
    put("etc/ssl/certs/ca-certificates.crt", &ground.lab)?;

    let text = configuration(ground, aws, machine, wanted)?;
    let hash = sha256_hex(text.as_bytes());
    put(&format!("var/lib/windlass/config/{hash}.toml"), &text)?;
    let hash: Sha256Hex = hash.parse().map_err(anyhow::Error::msg)?;
    let facts = facts(machine)?;
    let (role_id, _) = aws.role()?;
    let user = format!("{role_id}:{}", machine.instance_id).parse()?;
    let mailbox = Mailbox { bucket: BUCKET.to_owned(), user };
    let host = Host::this_with_files(root);
    ensure_kept(&host, &facts, &hash, &[POD_CIDR.parse()?], &mailbox)?;

    let identity = ground.kubelet(&machine.instance_id, wanted.certificate_lifetime)?;
    let pem = format!("{}{}", identity.certificate, identity.private_key);
    put(&format!("{PKI}/{CERTIFICATE}"), &pem)?;
    let pki = root.join(PKI);
    fs::set_permissions(pki.join(CERTIFICATE), fs::Permissions::from_mode(0o600))?;
    Ok(symlink(CERTIFICATE, pki.join("kubelet-client-current.pem"))?)
}

/// The configuration revision.
fn configuration(ground: &Ground, aws: &Aws, machine: &Machine, wanted: &Wanted) -> Result<String> {
    let (role_id, profile) = aws.role()?;
    let vpc = machine.interfaces.first().map(|it| it.vpc_id.as_str()).unwrap_or_default();
    let Wanted { drain, hook, .. } = wanted;
    let text = format!(
        r#"group = "workers"

[cluster]
name = "{CLUSTER}"
region = "eu-west-1"
vpc = "{vpc}"

[api]
endpoint = "https://{API}:{API_PORT}"
ca_generation = 1
certificate_authorities = """
{authority}"""

[network]
pods = ["10.128.0.0/16"]
services = ["10.96.0.0/16"]
dns = ["10.96.0.10"]

[admission]
role_ids = ["{role_id}"]
instance_profile = "{profile}"

[node]
role = "worker"

[hooks]
termination = "{hook}"
termination_timeout = "30s"

[drain]
{drain}
"#,
        authority = ground.authority,
    );
    NodeConfig::parse(&text)?;
    Ok(text)
}

fn facts(machine: &Machine) -> Result<Facts> {
    let (address, subnet, mac) = aws::network(machine)?;
    let cidrs = machine.interfaces.first().map(|it| it.vpc_ipv4_cidrs.clone());
    Ok(serde_json::from_value(json!({
        "instance": {
            "id": machine.instance_id,
            "region": "eu-west-1",
            "zone": machine.availability_zone,
            "account": "123456789012",
            "instance_type": machine.instance_type,
            "architecture": "x86_64",
            "image_id": machine.ami_id,
            "private_ip": address,
            "private_dns": machine.private_dns_name,
            "mac": mac,
            "vpc_cidrs": cidrs,
            "subnet_cidr": subnet,
            "auto_scaling_group": GROUP,
        },
        "host": {
            "cpus": 2,
            "memory_bytes": 8_191_000_000_u64,
            "cgroup": "v2",
            "mtu": 9001,
            "interface": "ens5",
            "container": true,
        },
        "image": {},
    }))?)
}
