//! A lab that runs: a region with its account, the VPC, the machine room, and a cluster in S3.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::account::Account;
use super::artifacts::{self, Cache};
use super::balancer::{self, Balancer};
use super::certificates::Authority;
use super::daemon::Place;
use super::endpoints::{self, Endpoints, resolver_of};
use super::family::Family;
use super::fleet::{self, Fleet, Room, Vms};
use super::network::Router;
use super::progress::Progress;
use super::vm::{Disk, Shape};
use super::{control_plane, groups, layers, limits};
use crate::region::ec2::{IMAGE_ARM64, IMAGE_X86_64, Timing};
use crate::region::{Profile, Region, Settings};

/// How a lab is to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Unique on the machine; the cluster is called so, too.
    pub name: String,
    /// This program, `lab`.
    pub program: PathBuf,
    /// The product's.
    pub windlass: PathBuf,
    pub latency: Profile,
    pub timing: Timing,
    pub seed: u64,
    pub family: Family,
    /// Of kubelets' client certificates.
    pub certificate_lifetime: Duration,
    /// The workers are Spot Instances.
    pub spot: bool,
    /// Workers are virtual machines.
    pub vms: bool,
    /// What they begin with, if it is not the lab's own disk.
    pub vm_disk: Option<PathBuf>,
}

/// It runs until it is dropped or ended.
pub struct Lab {
    pub region: Region,
    pub account: Account,
    pub fleet: Arc<Fleet>,
    pub endpoints: Endpoints,
    pub balancer: Balancer,
    /// What clients on this machine need to reach all of it.
    pub environment: Environment,
    name: String,
    folder: PathBuf,
    tasks: Vec<JoinHandle<()>>,
    _layers: Vec<File>,
}

/// Variables as the AWS CLI, the SDKs and kubectl read them.
#[derive(Clone, Debug)]
pub struct Environment(pub Vec<(&'static str, String)>);

impl Lab {
    /// Starts everything up to an initialised cluster without instances.
    pub async fn start(wanted: Wanted, progress: &Progress) -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            bail!("a lab makes namespaces, mounts and control groups\nhint: run it as root");
        }
        limits::raise(progress)?;
        let cache = Arc::new(Cache::open()?);
        let prefix = prefix(&wanted.name);
        let folder = folder(&cache, &wanted.name);
        fleet::clean(&prefix)?;
        remove(&folder)?;
        fs::create_dir_all(&folder)?;
        let made = make_layers(&cache, &wanted, progress).await?;

        let region = Region::new(Settings {
            latency: wanted.latency,
            ..Settings::new(wanted.seed, OffsetDateTime::now_utc())
        });
        region.with(|state, _| state.ec2.timing = wanted.timing.clone());
        region.calls().write_to(&folder.join("calls.jsonl"))?;
        let account = Account::open(&region, &wanted.name, wanted.family).await?;
        let authority = match &made.disk {
            // It is in the machines' trust store already.
            Some(disk) => disk.authority()?,
            None => Authority::create(&format!("windlass lab {}", wanted.name))?,
        };
        let resolver = resolver_of(account.vpc_cidr);
        let own = [endpoints::addresses(resolver), vec![balancer::ADDRESS]].concat();
        let router = Router::create(&router(&wanted.name), &own)?;
        let following = router.follow(&region);
        let api = format!("api.{}.internal", wanted.name);
        let endpoints =
            Endpoints::start(&region, router.namespace(), account.vpc_cidr, &authority, &api)?;
        let kubernetes = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let balancer = Balancer::of(router.namespace());
        let fleet = Fleet::new(Room {
            prefix,
            folder: folder.join("machines"),
            program: wanted.program.clone(),
            region: region.clone(),
            account: account.clone(),
            router,
            resolver,
            domain: format!("{}.compute.internal", region.settings().name),
            authority: authority.certificate().to_owned(),
            api,
            certificate_lifetime: wanted.certificate_lifetime,
            debian: made.debian.clone(),
            baked: made.baked.clone(),
            control_plane: made.control_plane.clone(),
            service_proxy: made.service_proxy.clone(),
            images: made.images.clone(),
            vms: made.disk.map(|disk| Vms {
                disk,
                sockets: Place::of(&wanted.name).folder(),
                shape: Mutex::new(Shape::default()),
            }),
        });
        let environment =
            environment(&region, &account, &endpoints, &folder, &made.kubernetes, &wanted.windlass);
        let mut lab = Self {
            tasks: vec![tokio::spawn(region.clone().run()), following, fleet.follow()],
            region,
            account,
            fleet,
            endpoints,
            balancer,
            environment,
            name: wanted.name.clone(),
            folder,
            _layers: made.held,
        };
        lab.make_cluster(&wanted, kubernetes, progress).await?;
        Ok(lab)
    }

    /// The cluster as an operator makes one, with the product's own commands, and its groups.
    async fn make_cluster(
        &mut self,
        wanted: &Wanted,
        kubernetes: TcpListener,
        progress: &Progress,
    ) -> Result<()> {
        let file = self.folder.join("cluster.toml");
        let server = format!("https://{}:{}", self.fleet.room().api, control_plane::PORT);
        let region = &self.region.settings().name;
        let lifetime = self.fleet.room().certificate_lifetime;
        fs::write(&file, self.account.cluster_toml(region, &server, lifetime))?;
        let description = file.display().to_string();
        self.windlass(&wanted.windlass, &["cluster", "init", "--file", &description]).await?;
        self.windlass(&wanted.windlass, &["cluster", "apply", &description]).await?;
        progress.say(
            "windlass",
            format!("made the cluster `{}` in s3://{}", self.account.cluster, self.account.bucket),
        );
        let authority = self.fleet.room().cluster_authority().await?;
        let local = format!("https://{}", kubernetes.local_addr()?);
        let administrator = control_plane::administrator(&authority)?;
        let config = control_plane::kubeconfig(
            &local,
            authority.certificate(),
            "lab-administrator",
            &administrator,
        );
        fs::write(self.folder.join("kubeconfig"), config)?;
        self.tasks.push(tokio::spawn(forward(kubernetes, self.fleet.clone())));
        let client = balancer::client(&local, authority.certificate(), administrator)?;
        self.tasks.push(self.balancer.follow(client));
        let image = if std::env::consts::ARCH == "aarch64" { IMAGE_ARM64 } else { IMAGE_X86_64 };
        groups::create(&self.region, &self.account, image, wanted.spot).await
    }

    /// Runs the product on this machine as the operator.
    pub async fn windlass(&self, windlass: &Path, arguments: &[&str]) -> Result<String> {
        let mut command = super::run::command(windlass, arguments);
        command.envs(self.environment.0.iter().cloned());
        tokio::task::spawn_blocking(move || super::run::output(&mut command)).await?
    }

    /// Where the lab keeps its files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Switches everything off and takes it away.
    pub async fn end(&self) -> Result<()> {
        let (name, folder) = (self.name.clone(), self.folder.clone());
        self.tasks.iter().for_each(JoinHandle::abort);
        self.fleet.close().await;
        tokio::task::spawn_blocking(move || {
            fleet::clean(&prefix(&name))?;
            remove(&folder)
        })
        .await?
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Names on the machine that belong to a lab begin so; no lab's prefix begins another's.
pub fn prefix(name: &str) -> String {
    format!("wl-{name}.")
}

/// The namespace of the VPC's router.
pub fn router(name: &str) -> String {
    format!("{}-vpc", prefix(name))
}

/// Where a lab of this name keeps its files.
pub fn folder(cache: &Cache, name: &str) -> PathBuf {
    cache.root().join("labs").join(name)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

struct Made {
    debian: PathBuf,
    baked: PathBuf,
    control_plane: PathBuf,
    service_proxy: PathBuf,
    images: PathBuf,
    kubernetes: PathBuf,
    disk: Option<Disk>,
    held: Vec<File>,
}

async fn make_layers(cache: &Arc<Cache>, wanted: &Wanted, progress: &Progress) -> Result<Made> {
    let (cache, windlass, progress) = (cache.clone(), wanted.windlass.clone(), progress.clone());
    let (vms, vm_disk) = (wanted.vms, wanted.vm_disk.clone());
    tokio::task::spawn_blocking(move || {
        let artifacts = artifacts::ensure(&cache, &progress)?;
        let baked = layers::baked(&cache, &artifacts, &windlass, &progress)?;
        let held = vec![cache.hold(baked.parent().unwrap_or(&baked))?];
        let disk = vms.then(|| match &vm_disk {
            Some(image) => Disk::built(&cache, image, &progress),
            None => Disk::ensure(&cache, &artifacts, &windlass, &progress),
        });
        Ok(Made {
            disk: disk.transpose()?,
            control_plane: layers::control_plane(&cache, &artifacts, &progress)?,
            service_proxy: layers::service_proxy(&cache, &artifacts, &progress)?,
            debian: artifacts.debian,
            images: artifacts.images,
            kubernetes: artifacts.kubernetes,
            baked,
            held,
        })
    })
    .await?
}

fn environment(
    region: &Region,
    account: &Account,
    endpoints: &Endpoints,
    folder: &Path,
    kubernetes: &Path,
    windlass: &Path,
) -> Environment {
    let mut path: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    for tools in [Some(kubernetes), windlass.parent()].into_iter().flatten() {
        if !path.iter().any(|part| part == tools) {
            path.push(tools.to_owned());
        }
    }
    let path = std::env::join_paths(path).unwrap_or_default().to_string_lossy().into_owned();
    Environment(vec![
        ("KUBECONFIG", folder.join("kubeconfig").display().to_string()),
        ("AWS_ENDPOINT_URL", format!("http://{}", endpoints.local)),
        ("AWS_REGION", region.settings().name.clone()),
        ("AWS_DEFAULT_REGION", region.settings().name.clone()),
        ("AWS_ACCESS_KEY_ID", account.operator.access_key.clone()),
        ("AWS_SECRET_ACCESS_KEY", account.operator.secret.clone()),
        ("AWS_EC2_METADATA_DISABLED", "true".into()),
        ("WINDLASS_CLUSTER", account.cluster.clone()),
        ("WINDLASS_BUCKET", account.bucket.clone()),
        ("PATH", path),
    ])
}

/// Carries connections from this machine to whichever control-plane node there is.
async fn forward(listener: TcpListener, fleet: Arc<Fleet>) {
    while let Ok((outside, _)) = listener.accept().await {
        let fleet = fleet.clone();
        tokio::spawn(async move {
            if let Err(error) = carry(outside, &fleet).await {
                tracing::debug!("a connection to the API server: {error:#}");
            }
        });
    }
}

async fn carry(mut outside: TcpStream, fleet: &Fleet) -> Result<()> {
    let room = fleet.room();
    let nodes = room.region.with(|state, _| endpoints::control_plane(state));
    let address = nodes.first().context("there is no control-plane instance")?;
    let mut inside =
        room.router.namespace().connect(SocketAddrV4::new(*address, control_plane::PORT)).await?;
    tokio::io::copy_bidirectional(&mut outside, &mut inside).await?;
    Ok(())
}
