//! A cluster in a region and one instance of it, whose machine is a folder. The region is in
//! process; only the API server is behind a socket, since kubelet's certificate is for TLS.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use base64::Engine;
use integration::lab::storm::scene::tag_route_tables;
use integration::region::autoscaling::{
    GroupTag, NewGroup, NewHook, PoolState, Transition, WarmPool, create_group,
};
use integration::region::ec2::{
    Author, IMAGE_X86_64, LaunchSpec, MetadataChange, Order, ProfileSpec, Route, Tags, Target,
    TemplateName,
};
use integration::region::inprocess::InProcess;
use integration::region::{Profile, Region, Settings, State};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use windlass::admit::{Admitter, Resources};
use windlass::boot::boot;
use windlass::cli::{Failure, Started};
use windlass::client::Wire;
use windlass::client::autoscaling::Groups;
use windlass::client::dns::Dns;
use windlass::client::ec2::Ec2;
use windlass::client::s3::Store;
use windlass::config::NodeConfig;
use windlass::exchange::{Keys, UserId};
use windlass::host::Machine;
use windlass::pki::{CertificateAuthority, PrivateKey};
use windlass::policies::{CLUSTER_TAG, Identity, Scope, render};

pub const BUCKET: &str = "acme-kubernetes";
pub const CLUSTER: &str = "prod";
/// The Auto Scaling group of the workers, its launch hook, and its termination hook.
pub const GROUP: &str = "prod-workers";
pub const HOOK: &str = "node-ready";
const LEAVES_HOOK: &str = "node-leaves";

/// The scene of one test. Its folder goes with it.
pub struct Scene {
    pub region: Region,
    pub machine: Machine,
    pub instance: String,
    pub user: UserId,
    pub authority: CertificateAuthority,
    /// Of group `workers`.
    pub revision: String,
    address: Ipv4Addr,
    control_plane: NodeConfig,
    folder: PathBuf,
}

/// What may be other than usual.
pub struct Setting {
    /// The instance's role, and the group that its launch template is for.
    pub role: &'static str,
    pub user_data: Vec<u8>,
    /// UserData names the revision too.
    pub pinned: bool,
    pub api: String,
    pub latency: Profile,
    pub deadline: &'static str,
    /// How long after the launch IMDS has no credentials.
    pub credentials_delay: Duration,
    /// The instance is in the group's warm pool, and none is in service.
    pub pool: Option<PoolState>,
    /// The configuration names the group's launch hook.
    pub launch_hook: bool,
    /// An action that the shipped policies allow, and those of this scene do not.
    pub forbidden: Option<&'static str>,
}

impl Scene {
    /// Without an API server; for boots that do not come so far.
    pub fn usual() -> Self {
        Self::with(Setting::default())
    }

    pub fn with(setting: Setting) -> Self {
        let made = CertificateAuthority::make("kubernetes", OffsetDateTime::now_utc());
        Self::new(setting, made.expect("an authority"))
    }
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            role: "workers",
            user_data: user_data("workers", "").into_bytes(),
            pinned: false,
            api: "https://127.0.0.1:1".to_owned(),
            latency: Profile::None,
            deadline: "15m",
            credentials_delay: Duration::ZERO,
            pool: None,
            launch_hook: true,
            forbidden: None,
        }
    }
}

/// UserData as most launch templates have it.
pub fn user_data(group: &str, more: &str) -> String {
    format!("cluster = \"{CLUSTER}\"\nbucket = \"{BUCKET}\"\ngroup = \"{group}\"\n{more}")
}

impl Scene {
    pub fn new(mut setting: Setting, authority: CertificateAuthority) -> Self {
        let settings =
            Settings { latency: setting.latency, ..Settings::new(1, OffsetDateTime::now_utc()) };
        let region = Region::new(settings);
        let (vpc, subnet) = foundations(&region, &setting);
        let texts = ["control-plane", "workers"]
            .map(|group| revision(&region, group, &vpc, &authority, &setting));
        let control_plane = NodeConfig::parse(&texts[0]).unwrap_or_else(|wrong| panic!("{wrong}"));
        let hash = region.with(|state, now| {
            state.s3.create_bucket(BUCKET, now);
            put_authority(state, &authority, now);
            let groups = ["control-plane", "workers"].into_iter().zip(&texts);
            let hashes = groups.map(|(group, text)| put_revision(state, group, text, now));
            hashes.last().expect("two groups")
        });
        if setting.pinned {
            setting.user_data.extend(format!("config = \"sha256:{hash}\"\n").bytes());
        }
        let (instance, address) = launch_in_group(&region, &subnet, &setting);
        let role_id =
            region.with(|state, _| state.iam.role(setting.role).expect("a role").role_id.clone());
        let user = format!("{role_id}:{instance}").parse().expect("a user id");
        let (machine, folder) = folder(&region, address);
        Self {
            region,
            machine,
            instance,
            user,
            authority,
            revision: hash,
            address,
            control_plane,
            folder,
        }
    }

    /// `windlass boot` on this instance.
    pub async fn boot(&self) -> Result<(), Failure> {
        boot(&self.machine, self.wire(), Started::now()).await
    }

    pub fn wire(&self) -> Wire {
        let client = InProcess::instance(&self.region, self.address);
        Wire { http: client.client(), time: client.time(), dns: Some(Dns::system()) }
    }

    /// What a person reads when `windlass boot` fails, and what it leaves with.
    pub async fn failure(&self) -> (String, u8) {
        let failure = self.boot().await.expect_err("a boot that fails");
        let code = match failure {
            Failure::Failed(_) => 1,
            Failure::Configuration(_) => 78,
        };
        (format!("{:#}", failure.error()), code)
    }

    /// An admitter on a control-plane instance, until the handle is aborted.
    pub async fn admitter(&self) -> JoinHandle<()> {
        let (id, address) = {
            let subnet = self.region.with(|state, _| {
                let subnet = state.ec2.subnets().next().expect("a subnet");
                subnet.id.clone()
            });
            launch(&self.region, "control-plane", &subnet)
        };
        let credentials = self.region.with(|state, now| {
            let hours = Duration::from_secs(6 * 3600);
            let session = state.iam.open_session(&mut state.ids, "control-plane", &id, now, hours);
            session.expect("a session")
        });
        let client = InProcess::instance(&self.region, address);
        let wire = Wire { http: client.client(), time: client.time(), dns: None };
        let sdk = wire
            .instance(
                "eu-west-1",
                SharedCredentialsProvider::new(Credentials::new(
                    credentials.access_key,
                    credentials.secret,
                    credentials.session_token,
                    None,
                    "test",
                )),
            )
            .await;
        let key = PrivateKey::from_pem(&self.authority.private_key_pem()).expect("a key");
        let admitter = Admitter::new(Resources {
            store: Store::new(&sdk, BUCKET),
            ec2: Ec2::new(&sdk),
            groups: Groups::new(&sdk),
            clock: wire.time.clone(),
            config: self.control_plane.clone(),
            authority: CertificateAuthority::load(self.authority.certificate_pem(), key)
                .expect("an authority"),
            instance: id.parse().expect("an instance id"),
            apiserver: None,
            follows_group: true,
        });
        tokio::spawn(async move {
            admitter.run(std::future::pending()).await.expect("no loop of an admitter breaks");
        })
    }

    /// Until the VPC routes pods to the instance.
    pub async fn until_routed(&self) {
        let routed = || {
            self.region.with(|state, _| {
                let own = state.ec2.interfaces_of(&self.instance);
                let leads = |route: &Route| match &route.target {
                    Target::Interface(id) => own.iter().any(|interface| interface.id == *id),
                    _ => false,
                };
                state.ec2.route_tables().flat_map(|table| &table.routes).any(leads)
            })
        };
        while !routed() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The object, as it is now.
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.region.with(|state, _| Some(state.s3.object(BUCKET, key)?.bytes.to_vec()))
    }

    /// Puts an object there as nobody's policy would allow.
    pub fn put(&self, key: &str, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref().to_vec();
        self.region.with(|state, now| state.s3.put(BUCKET, key, bytes, now)).expect("a bucket");
    }

    pub fn keys(&self) -> Keys {
        Keys::of(CLUSTER)
    }

    /// How Auto Scaling calls the instance's state; none when it has given it up.
    pub fn lifecycle(&self) -> Option<&'static str> {
        let told = |state: &mut State, _| {
            let (_, member) = state.autoscaling.member(&self.instance)?;
            Some(member.lifecycle_state())
        };
        self.region.with(told)
    }

    /// So many of the group are to be in service.
    pub fn scale(&self, to: u32) {
        self.region.with(|state, _| state.autoscaling.set_desired(GROUP, to).expect("a group"));
    }

    pub fn report(&self) -> windlass::report::Report {
        let bytes = self.object(&self.keys().report(&self.user)).expect("a boot report in S3");
        serde_json::from_slice(&bytes).expect("a report")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Roles with the shipped policies; a VPC and a subnet.
fn foundations(region: &Region, setting: &Setting) -> (String, String) {
    let scope = Scope {
        cluster: CLUSTER.to_owned(),
        bucket: BUCKET.to_owned(),
        region: Some("eu-west-1".to_owned()),
        account: None,
        kms_key: None,
    };
    region.with(|state, _| {
        state.imds.credentials_delay = setting.credentials_delay;
        for (role, identity) in
            [("control-plane", Identity::ControlPlane), ("workers", Identity::Worker)]
        {
            let shipped = render(identity, &scope).expect("a policy");
            let policy = setting.forbidden.map_or(shipped.clone(), |action| {
                shipped.replace(action, "autoscaling:DescribeAccountLimits")
            });
            state.iam.add_role(&mut state.ids, role, &[(role, &policy)]).expect("a role");
        }
        let vpc = state.ec2.create_vpc(&mut state.ids, "10.0.0.0/16").expect("a VPC");
        let subnet = state.ec2.create_subnet(&mut state.ids, &vpc, None, "10.0.0.0/20");
        tag_route_tables(&mut state.ec2, &vpc, CLUSTER);
        (vpc, subnet.expect("a subnet"))
    })
}

/// The one instance of an Auto Scaling group with a launch hook, in service or in its warm pool.
fn launch_in_group(region: &Region, subnet: &str, setting: &Setting) -> (String, Ipv4Addr) {
    region.with(|state, now| {
        let by = Author { arn: "arn:aws:iam::123456789012:user/operator", now };
        let template = spec(setting.role, None, &setting.user_data);
        let template = state.ec2.create_template(&mut state.ids, "workers", None, template, by);
        let hook = |name: &str, transition| NewHook {
            name: name.to_owned(),
            transition: Some(transition),
            ..NewHook::default()
        };
        let hooks =
            vec![hook(HOOK, Transition::Launching), hook(LEAVES_HOOK, Transition::Terminating)];
        let tag = GroupTag {
            key: CLUSTER_TAG.to_owned(),
            value: CLUSTER.to_owned(),
            propagate_at_launch: true,
        };
        let template = TemplateName::Id(template.expect("a launch template"));
        let group = NewGroup {
            tags: vec![tag],
            hooks,
            desired: Some(if setting.pool.is_some() { 0 } else { 1 }),
            ..NewGroup::of(GROUP, template, &[subnet], 1)
        };
        create_group(state, group, now).expect("a group");
        if let Some(rest) = setting.pool {
            let pool = WarmPool { rest, reuse_on_scale_in: true, ..WarmPool::default() };
            state.autoscaling.put_warm_pool(GROUP, pool).expect("a group");
        }
    });
    region.with(|state, _| {
        let group = state.autoscaling.group(GROUP).expect("the group");
        let id = group.members.keys().next().expect("an instance").clone();
        let address = state.ec2.instance(&id).expect("the instance").address;
        (id, address)
    })
}

fn launch(region: &Region, role: &str, subnet: &str) -> (String, Ipv4Addr) {
    region.with(|state, now| {
        let State { ec2, iam, ids, .. } = state;
        let spec = spec(role, Some(subnet), b"");
        let order = Order { spec, count: 1, client_token: None, aws_tags: Tags::new(), now };
        let id = ec2.launch(ids, iam, &order).expect("room for an instance").remove(0);
        let address = ec2.instance(&id).expect("the instance").address;
        (id, address)
    })
}

pub fn spec(role: &str, subnet: Option<&str>, user_data: &[u8]) -> LaunchSpec {
    let encoded = base64::engine::general_purpose::STANDARD.encode(user_data);
    let tags = Tags::from_iter([(CLUSTER_TAG.to_owned(), CLUSTER.to_owned())]);
    LaunchSpec {
        image: Some(IMAGE_X86_64.to_owned()),
        instance_type: Some("m5.large".to_owned()),
        subnet: subnet.map(str::to_owned),
        profile: Some(ProfileSpec::Name(role.to_owned())),
        user_data: (!user_data.is_empty()).then_some(encoded),
        metadata: MetadataChange {
            tokens_required: Some(true),
            tags_enabled: Some(true),
            ..MetadataChange::default()
        },
        tags: ["instance", "network-interface"].map(|kind| (kind.to_owned(), tags.clone())).into(),
        ..LaunchSpec::default()
    }
}

fn revision(
    region: &Region,
    group: &str,
    vpc: &str,
    authority: &CertificateAuthority,
    setting: &Setting,
) -> String {
    let (role_id, profile) = region.with(|state, _| {
        let role = state.iam.role(group).expect("a role").role_id.clone();
        (role, state.iam.profile_arn(group))
    });
    let role = if group == "control-plane" { group } else { "worker" };
    format!(
        r#"group = "{group}"

[cluster]
name = "{CLUSTER}"
region = "eu-west-1"
vpc = "{vpc}"

[api]
endpoint = "{api}"
ca_generation = 1
certificate_authorities = """
{certificate}"""

[network]
pods = ["10.128.0.0/16"]
services = ["10.96.0.0/16"]
dns = ["10.96.0.10"]

[admission]
role_ids = ["{role_id}"]
instance_profile = "{profile}"

[node]
role = "{role}"

[hooks]
{launch}
termination = "{LEAVES_HOOK}"

[boot]
deadline = "{deadline}"
"#,
        api = setting.api,
        certificate = authority.certificate_pem(),
        deadline = setting.deadline,
        launch = if setting.launch_hook { format!("launch = \"{HOOK}\"") } else { String::new() },
    )
}

/// As `windlass cluster init` leaves it.
fn put_authority(state: &mut State, authority: &CertificateAuthority, now: OffsetDateTime) {
    let keys = Keys::of(CLUSTER);
    for (key, text) in [
        (keys.ca_certificate("kubernetes", 1), authority.certificate_pem().to_owned()),
        (keys.ca_key("kubernetes", 1), authority.private_key_pem()),
    ] {
        state.s3.put(BUCKET, &key, text, now).expect("a bucket");
    }
}

/// Writes a revision and moves its group's pointer; its hash.
pub fn put_revision(state: &mut State, group: &str, text: &str, now: OffsetDateTime) -> String {
    let hash = hex::encode(Sha256::digest(text));
    let keys = Keys::of(CLUSTER);
    let mut put = |key: String, text: String| state.s3.put(BUCKET, &key, text, now).map(drop);
    put(keys.config(&hash), text.to_owned()).expect("a bucket");
    put(keys.group(group), format!("{hash}\n")).expect("a bucket");
    hash
}

/// A machine that is a folder, with what the kernel of such a machine would say.
pub fn folder(region: &Region, address: Ipv4Addr) -> (Machine, PathBuf) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder =
        std::env::temp_dir().join(format!("windlass-boot-{}-{number}", std::process::id()));
    let machine = Machine::folder(&folder);
    let mac = region.with(|state, _| {
        state.ec2.machine_at(address.into()).expect("a machine").interfaces[0].mac.clone()
    });
    for (path, text) in [
        ("/sys/devices/system/cpu/online", "0-1\n"),
        ("/proc/meminfo", "MemTotal:        7988880 kB\n"),
        ("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n"),
        ("/sys/class/net/ens5/address", &format!("{mac}\n")),
        ("/sys/class/net/ens5/mtu", "9001\n"),
        ("/etc/windlass/image.json", "{\"kubelet_version\": \"v1.37.2\"}\n"),
    ] {
        write(&machine, path, text);
    }
    for name in KERNEL {
        write(&machine, &format!("/proc/sys/{}", name.replace('.', "/")), "0\n");
    }
    for name in PROGRAMS {
        write(&machine, name, "a program\n");
    }
    (machine, folder)
}

/// What an image must have.
const PROGRAMS: [&str; 4] =
    ["/opt/cni/bin/bridge", "/opt/cni/bin/host-local", "/opt/cni/bin/portmap", "/usr/sbin/nft"];

/// Settings that a kernel has when a plan wants to set them.
const KERNEL: [&str; 11] = [
    "net.bridge.bridge-nf-call-ip6tables",
    "net.bridge.bridge-nf-call-iptables",
    "net.ipv4.ip_forward",
    "fs.inotify.max_user_instances",
    "fs.inotify.max_user_watches",
    "kernel.keys.root_maxbytes",
    "kernel.keys.root_maxkeys",
    "kernel.panic",
    "kernel.panic_on_oops",
    "vm.overcommit_memory",
    "vm.panic_on_oom",
];

fn write(machine: &Machine, path: &str, text: &str) {
    let path = machine.path(path);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for the test");
    std::fs::write(path, text).expect("a file for the test");
}
