//! `windlass admit`: lets instances in, beside the API server of a control-plane node.

use anyhow::{Context, anyhow};
use aws_credential_types::provider::SharedCredentialsProvider;
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::admit::{Admitter, ApiServer, Configs, Ended, Resources, load_authority};
use crate::client::autoscaling::Groups;
use crate::client::credentials::RoleCredentials;
use crate::client::ec2::Ec2;
use crate::client::imds::Imds;
use crate::client::s3::Store;
use crate::client::{Wire, imds};
use crate::config::{Role, UserData};
use crate::exchange::Keys;

/// Let instances in: judge their requests, sign, lease pod CIDRs, make Nodes, until told to stop.
///
/// Runs on a control-plane instance with that instance's role and reads what it needs from its
/// UserData and from S3. Any number may run at once.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass admit                          as windlass-admit.service does
  systemctl status windlass-admit         whether it leads, and what it decided since it started
  journalctl -u windlass-admit            whom it let in, whom it refused and why")]
pub struct Args {}

/// Runs the command.
pub async fn run(_: Args) -> Result<(), Failure> {
    let wire = Wire::real();
    let imds = Imds::new(&wire);
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    loop {
        let admitter = Admitter::new(resources(&wire, &imds).await?);
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        match admitter.run(stop).await? {
            Ended::Told => return Ok(()),
            Ended::ConfigurationChanged => tracing::info!("reading the new configuration"),
        }
    }
}

/// All that an admitter is made of, by the word of IMDS, UserData and S3.
async fn resources(wire: &Wire, imds: &Imds) -> Result<Resources, Failure> {
    let (region, instance, user_data) = tokio::try_join!(
        text(imds, "meta-data/placement/region"),
        text(imds, "meta-data/instance-id"),
        required(imds, "user-data"),
    )?;
    let user_data = UserData::parse(&user_data)?;
    let role = SharedCredentialsProvider::new(RoleCredentials::new(imds.clone()));
    let sdk = wire.instance(&region, role).await;
    let store = Store::new(&sdk, &user_data.bucket);
    let configs = Configs::new(store.clone(), Keys::of(&user_data.cluster));
    let group = &user_data.group;
    let config = match &user_data.config {
        Some(pinned) => configs.revision(group, pinned.as_str()).await.map(Some),
        None => configs.current(group).await,
    };
    let config = config.with_context(|| format!("the configuration of group `{group}`"))?;
    let config = config.with_context(|| {
        format!("there is no group `{group}` in cluster `{}`", user_data.cluster)
    })?;
    if config.node.role != Role::ControlPlane {
        return Err(Failure::Configuration(anyhow!(
            "this instance is of group `{group}`, whose role is worker, wanted control-plane: only \
             there the CA key may be read"
        )));
    }
    let authority = load_authority(&store, &config).await?;
    Ok(Resources {
        ec2: Ec2::new(&sdk),
        groups: Groups::new(&sdk),
        store,
        clock: wire.time.clone(),
        authority,
        instance: instance.parse().context("the instance id that IMDS says")?,
        apiserver: Some(ApiServer {
            wire: wire.clone(),
            endpoint: config.api.endpoint.clone(),
            authorities: config.api.certificate_authorities.clone(),
        }),
        follows_group: user_data.config.is_none(),
        config: (*config).clone(),
    })
}

async fn text(imds: &Imds, path: &str) -> anyhow::Result<String> {
    let bytes = required(imds, path).await?;
    String::from_utf8(bytes).with_context(|| format!("IMDS' `{path}` is not text"))
}

async fn required(imds: &Imds, path: &str) -> anyhow::Result<Vec<u8>> {
    let found: Result<_, imds::Error> = imds.get(path).await;
    found?.with_context(|| format!("IMDS has no `{path}`"))
}
