//! What all scenes stand on: one API server with the controller that counts disruption budgets, the
//! authorities, and the product's program.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace as KubernetesNamespace;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::{Api, Client};
use rustls::ServerConfig;
use time::OffsetDateTime;
use tokio::time::sleep;
use windlass::client::Wire;
use windlass::client::apiserver::{Identity, connect};
use windlass::pki::{CertificateAuthority, Subject};

use super::node::{API, SERVICES};
use crate::lab::api_server::{ApiServer, Programs, free_port};
use crate::lab::certificates::Authority;
use crate::lab::control_plane::administrator;
use crate::lab::endpoints;
use crate::lab::network::Namespace;
use crate::lab::progress::Progress;
use crate::lab::run::{command, output};

/// Names of namespaces and folders begin so, and go on with the number of the process.
const PREFIX: &str = "wl-torture-";
const REGION: &str = "eu-west-1";

/// It; everything ends when it is dropped.
pub struct Ground {
    /// The product's program.
    pub windlass: PathBuf,
    /// May do everything.
    pub client: Client,
    /// The cluster's authority, PEM.
    pub authority: String,
    /// The one that vouches for AWS' names, PEM.
    pub lab: String,
    /// Of [`SERVICES`], each in its place.
    pub tls: Vec<Arc<ServerConfig>>,
    signer: CertificateAuthority,
    api: ApiServer,
    folder: PathBuf,
}

impl Ground {
    /// Within a runtime.
    pub async fn open(windlass: &Path, progress: &Progress) -> Result<Arc<Self>> {
        // Whoever was first has chosen the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        clean()?;
        let programs = Programs::ensure(progress)?;
        let signer = CertificateAuthority::make("kubernetes", OffsetDateTime::now_utc())?;
        let cluster = Authority::load(signer.certificate_pem(), &signer.private_key_pem())?;
        // There is nobody who makes the service accounts' tokens that pods would have.
        let flags = [("disable-admission-plugins", "ServiceAccount")];
        let mut api = ApiServer::start(&programs, &cluster, free_port()?, &[API], &flags)?;
        let client = client(&cluster, api.port())?;
        until_ready(&client).await?;
        api.control(&programs, &cluster, "disruption")?;
        progress.say("kubernetes", "the API server is ready");
        let lab = Authority::create("windlass-lab")?;
        let tls = SERVICES.iter().map(|(service, _)| endpoints::tls(&lab, service, REGION));
        let folder = std::env::temp_dir().join(prefix());
        fs::create_dir_all(&folder)?;
        Ok(Arc::new(Self {
            windlass: windlass.to_owned(),
            client,
            authority: signer.certificate_pem().to_owned(),
            tls: tls.collect::<Result<_>>()?,
            lab: lab.certificate().to_owned(),
            signer,
            api,
            folder,
        }))
    }

    /// What kubelet has of the admitter.
    pub fn kubelet(&self, node: &str, lifetime: Duration) -> Result<Identity> {
        self.signer.identity(&Subject::node(node), OffsetDateTime::now_utc(), lifetime)
    }

    pub fn api_server(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.api.port()).into()
    }

    /// The scene's folder, and its network namespace's name.
    pub fn place(&self, scene: &str) -> (PathBuf, String) {
        (self.folder.join(scene), format!("{}-{scene}", prefix()))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn prefix() -> String {
    format!("{PREFIX}{}", std::process::id())
}

fn client(cluster: &Authority, port: u16) -> Result<Client> {
    let pair = administrator(cluster)?;
    let identity = Identity { certificate: pair.certificate, private_key: pair.key };
    let endpoint = format!("https://127.0.0.1:{port}");
    connect(&Wire::real(), &endpoint, cluster.certificate(), &identity)
}

/// Until it has made what every cluster has.
async fn until_ready(client: &Client) -> Result<()> {
    let classes: Api<PriorityClass> = Api::all(client.clone());
    let namespaces: Api<KubernetesNamespace> = Api::all(client.clone());
    let began = Instant::now();
    loop {
        let found = match classes.get("system-cluster-critical").await {
            Ok(_) => namespaces.get("default").await.map(drop),
            Err(error) => Err(error),
        };
        match found {
            Ok(()) => return Ok(()),
            Err(error) if began.elapsed() > Duration::from_secs(60) => {
                return Err(error).context("the API server is not ready after 60 s");
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Takes away what a process that was killed left behind.
fn clean() -> Result<()> {
    for namespace in Namespace::with_prefix(PREFIX)? {
        let owner = namespace.name()[PREFIX.len()..].split('-').next().unwrap_or_default();
        if Path::new("/proc").join(owner).exists() {
            continue;
        }
        let pids = output(&mut command("ip", ["netns", "pids", namespace.name()]))?;
        for pid in pids.split_whitespace() {
            output(&mut command("kill", ["-KILL", pid]))?;
        }
        namespace.delete()?;
        let folder = std::env::temp_dir().join(format!("{PREFIX}{owner}"));
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
        }
    }
    Ok(())
}
