//! A region with a cluster in it: bucket, roles with the shipped policies, two VPCs, configuration,
//! and as many admitters and instances as are wanted. What fails here is a mistake in the scene, and
//! panics.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::macros::datetime;
use windlass::admit::{Admitter, ApiServer, Resources};
use windlass::client::Wire;
use windlass::client::autoscaling::Groups;
use windlass::client::ec2::Ec2;
use windlass::client::s3::Store;
use windlass::config::NodeConfig;
use windlass::exchange::{InstanceId, Keys, UserId};
use windlass::pki::{CertificateAuthority, PrivateKey};
use windlass::policies::CLUSTER_TAG;

use super::cluster::{config, networks};
use crate::region::ec2::{
    IMAGE_X86_64, InstanceState, InterfaceSpec, LaunchSpec, Order, ProfileSpec, Tags,
};
use crate::region::inprocess::InProcess;
use crate::region::s3::Versioning;
use crate::region::{Profile, Region, Settings, State};

pub use super::cluster::tag_route_tables;

pub const NOON: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);
pub const BUCKET: &str = "acme-kubernetes";
pub const CLUSTER: &str = "prod";

/// Roles, each with an instance profile of the same name.
pub const CONTROL_PLANE: &str = "control-plane";
pub const WORKERS: &str = "workers";
/// Workers by their policy, but listed for no group.
pub const STRANGERS: &str = "strangers";

/// The usual admission window.
pub const WINDOW: Duration = Duration::from_secs(60);

/// How long a first certificate usually lives.
pub const LIFETIME: Duration = Duration::from_secs(600);

/// What may be other than usual.
#[derive(Clone, Debug)]
pub struct Setting {
    pub now: OffsetDateTime,
    pub seed: u64,
    pub latency: Profile,
    /// The API server's URL.
    pub endpoint: String,
    /// The pod network; a node gets a /24.
    pub pods: &'static str,
    /// How long after its launch an instance may ask.
    pub window: Duration,
    /// How long a first certificate lives.
    pub lifetime: Duration,
    /// AWS' quota, and what the configuration says that it is.
    pub routes_per_table: usize,
    /// The groups' machines have NVIDIA's GPUs.
    pub gpu: bool,
}

/// A region and what was put there.
#[derive(Clone)]
pub struct Scene {
    pub region: Region,
    pub keys: Keys,
    /// The hashes of the groups' revisions.
    pub revisions: BTreeMap<String, String>,
    control_plane: NodeConfig,
    authority: (String, String),
    subnet: String,
    other_subnet: String,
}

/// How an instance is launched.
#[derive(Clone, Copy, Debug)]
pub struct Launch {
    pub role: &'static str,
    /// Into the cluster's VPC, or another one.
    pub in_cluster_vpc: bool,
    pub tagged: bool,
    /// How many network interfaces it has, all in one subnet.
    pub interfaces: u32,
}

impl Launch {
    pub const WORKER: Self =
        Self { role: WORKERS, in_cluster_vpc: true, tagged: true, interfaces: 1 };
}

/// An instance and its way into AWS.
#[derive(Clone)]
pub struct Machine {
    pub user: UserId,
    pub sdk: SdkConfig,
    pub wire: Wire,
}

impl Setting {
    pub fn usual(seed: u64, latency: Profile) -> Self {
        Self {
            now: NOON,
            seed,
            latency,
            endpoint: "https://api.prod.example:6443".to_owned(),
            pods: "10.128.0.0/16",
            window: WINDOW,
            lifetime: LIFETIME,
            routes_per_table: 500,
            gpu: false,
        }
    }
}

impl Scene {
    pub fn new(seed: u64, latency: Profile) -> Self {
        Self::with(&Setting::usual(seed, latency))
    }

    pub fn with(setting: &Setting) -> Self {
        let Setting { now, seed, latency, .. } = *setting;
        let region = Region::new(Settings { latency, ..Settings::new(seed, now) });
        region.with(|state, _| state.ec2.routes_per_table = setting.routes_per_table);
        let authority = CertificateAuthority::make("kubernetes", now).expect("an authority");
        let (vpc, subnet, other_subnet) = networks(&region);
        let config = |group| config(&region, group, &vpc, setting, &authority);
        let (control_plane, workers) = (config(CONTROL_PLANE), config(WORKERS));
        let keys = Keys::of(CLUSTER);
        let revisions = region.with(|state, now| {
            let bucket = state.s3.create_bucket(BUCKET, now);
            bucket.versioning = Versioning::Enabled;
            let mut put = |key: &str, text: String| {
                state.s3.put(BUCKET, key, text, now).expect("the bucket is there");
            };
            let written = [&control_plane, &workers].map(|config| {
                let text = config.to_toml();
                let hash = hex::encode(Sha256::digest(&text));
                put(&keys.config(&hash), text);
                put(&keys.group(&config.group), format!("{hash}\n"));
                (config.group.clone(), hash)
            });
            BTreeMap::from(written)
        });
        let authority = (authority.certificate_pem().to_owned(), authority.private_key_pem());
        Self { region, keys, revisions, control_plane, authority, subnet, other_subnet }
    }

    /// The cluster's subnet.
    pub fn subnet(&self) -> &str {
        &self.subnet
    }

    /// The authority that admitters sign with.
    pub fn authority(&self) -> CertificateAuthority {
        let key = PrivateKey::from_pem(&self.authority.1).expect("a key");
        CertificateAuthority::load(&self.authority.0, key).expect("an authority")
    }

    /// Launches one instance, pending from now on.
    pub fn launch(&self, launch: Launch) -> InstanceId {
        let tags = launch.tagged.then(|| (CLUSTER_TAG.to_owned(), CLUSTER.to_owned()));
        let tags = Tags::from_iter(tags);
        let subnet = if launch.in_cluster_vpc { &self.subnet } else { &self.other_subnet };
        let interface = |device_index| InterfaceSpec {
            device_index,
            subnet: Some(subnet.clone()),
            ..InterfaceSpec::default()
        };
        let spec = LaunchSpec {
            image: Some(IMAGE_X86_64.to_owned()),
            instance_type: Some("m5.large".to_owned()),
            interfaces: (0..launch.interfaces).map(interface).collect(),
            profile: Some(ProfileSpec::Name(launch.role.to_owned())),
            tags: ["instance", "network-interface"].map(|it| (it.to_owned(), tags.clone())).into(),
            ..LaunchSpec::default()
        };
        let launched = self.region.with(|state, now| {
            let order = Order { spec, count: 1, client_token: None, aws_tags: Tags::new(), now };
            state.ec2.launch(&mut state.ids, &state.iam, &order).expect("room for an instance")
        });
        launched[0].parse().expect("an instance id")
    }

    /// So many tagged route tables more in the cluster's VPC.
    pub fn add_route_tables(&self, more: usize) {
        self.region.with(|state, _| {
            let State { ec2, ids, .. } = state;
            let vpc = ec2.subnet(&self.subnet).expect("the subnet").vpc.clone();
            for _ in 0..more {
                ec2.create_route_table(ids, &vpc).expect("a table");
            }
            tag_route_tables(ec2, &vpc, CLUSTER);
        });
    }

    pub fn terminate(&self, instance: &InstanceId) {
        self.region.with(|state, now| {
            state.ec2.terminate(instance.as_str(), now).expect("an instance");
        });
    }

    /// Until EC2 calls it running.
    pub async fn until_running(&self, instance: &InstanceId) {
        let running = || {
            self.region.with(|state, _| {
                let found = state.ec2.instance(instance.as_str());
                found.is_some_and(|it| it.state == InstanceState::Running)
            })
        };
        while !running() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the instance's programs have: its role's credentials, its address.
    pub async fn machine(&self, instance: &InstanceId) -> Machine {
        let (role, address, credentials) = self.region.with(|state, now| {
            let found = state.ec2.instance(instance.as_str()).expect("an instance");
            let profile = found.profile.clone().expect("a profile");
            let role = state.iam.role_of_profile(&profile.arn).expect("a role").clone();
            let day = Duration::from_secs(6 * 3600);
            let name = instance.as_str();
            let session = state.iam.open_session(&mut state.ids, &role.name, name, now, day);
            (role, found.address, session.expect("a session"))
        });
        let client = InProcess::instance(&self.region, address);
        let wire = Wire { http: client.client(), time: client.time(), dns: None };
        let credentials = SharedCredentialsProvider::new(Credentials::new(
            credentials.access_key,
            credentials.secret,
            credentials.session_token,
            None,
            "simulation",
        ));
        let sdk = wire.instance("eu-west-1", credentials).await;
        let user = format!("{}:{instance}", role.role_id).parse().expect("a user id");
        Machine { user, sdk, wire }
    }

    /// An admitter on a control-plane instance; it works as long as the future is polled.
    pub fn admitter(&self, machine: &Machine) -> Working {
        working(self.idle_admitter(machine))
    }

    /// An admitter that speaks to the API server, too.
    pub fn admitter_with_api(&self, machine: &Machine) -> Working {
        let apiserver = ApiServer {
            wire: machine.wire.clone(),
            endpoint: self.control_plane.api.endpoint.clone(),
            authorities: self.control_plane.api.certificate_authorities.clone(),
        };
        working(Admitter::new(Resources { apiserver: Some(apiserver), ..self.resources(machine) }))
    }

    /// An admitter on a control-plane instance that does nothing by itself.
    pub fn idle_admitter(&self, machine: &Machine) -> Admitter {
        Admitter::new(self.resources(machine))
    }

    fn resources(&self, machine: &Machine) -> Resources {
        Resources {
            store: machine.store(),
            ec2: Ec2::new(&machine.sdk),
            groups: Groups::new(&machine.sdk),
            clock: machine.wire.time.clone(),
            config: self.control_plane.clone(),
            authority: self.authority(),
            instance: machine.user.instance.clone(),
            apiserver: None,
            follows_group: true,
        }
    }

    /// The instance's private address.
    pub fn address(&self, instance: &InstanceId) -> String {
        self.region.with(|state, _| {
            let found = state.ec2.instance(instance.as_str()).expect("an instance");
            found.address.to_string()
        })
    }

    /// Whether there is an object of that key now.
    pub fn has(&self, key: &str) -> bool {
        self.region.with(|state, _| state.s3.object(BUCKET, key).is_some())
    }

    /// Every content that the key ever had, oldest first; none where it was deleted.
    pub fn history(&self, key: &str) -> Vec<Option<Vec<u8>>> {
        self.region.with(|state, _| {
            let bucket = state.s3.bucket(BUCKET).expect("the bucket");
            let versions = bucket.history().get(key).into_iter().flatten();
            versions.map(|it| it.object().map(|object| object.bytes.to_vec())).collect()
        })
    }

    /// All keys that ever were, in order.
    pub fn all_keys(&self) -> Vec<String> {
        self.region.with(|state, _| {
            let bucket = state.s3.bucket(BUCKET).expect("the bucket");
            bucket.history().keys().cloned().collect()
        })
    }
}

/// An admitter at work.
pub type Working = Pin<Box<dyn Future<Output = ()> + Send>>;

fn working(admitter: Admitter) -> Working {
    Box::pin(async move {
        let ended = admitter.run(std::future::pending()).await;
        ended.expect("no loop of an admitter breaks");
    })
}

impl Machine {
    pub fn store(&self) -> Store {
        Store::new(&self.sdk, BUCKET)
    }

    pub fn now(&self) -> OffsetDateTime {
        self.wire.time.now().into()
    }
}
