//! `windlass plan`: what a boot would change.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::Failure;
use crate::boot::{Foreseen, foresee};
use crate::client::Wire;
use crate::config::{NodeConfig, Problems, UserData};
use crate::converge;
use crate::exchange::Grant;
use crate::facts::Facts;
use crate::host::Machine;
use crate::plan;

/// Show what a boot would change on this host, as a diff, and change nothing.
///
/// On an instance it asks IMDS and S3 as a boot does. With --facts and --config it asks nobody, so
/// that a plan can be looked at anywhere.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass plan                                     on an instance
  windlass plan --show-facts > facts.json           what it sees there
  windlass plan --facts facts.json --config workers.toml --root /tmp/empty
                                                    every file of such a node, as a diff")]
pub struct Args {
    /// Facts of some instance, JSON as --show-facts prints them.
    #[arg(long, value_name = "FILE", requires = "config")]
    facts: Option<PathBuf>,
    /// A configuration revision.
    #[arg(long, value_name = "FILE", requires = "facts")]
    config: Option<PathBuf>,
    /// UserData to be checked too: it must name the revision's cluster and group.
    #[arg(long, value_name = "FILE", requires = "config")]
    userdata: Option<PathBuf>,
    /// A grant, JSON as in S3: without one, what it decides is left out.
    #[arg(long, value_name = "FILE", requires = "config")]
    grant: Option<PathBuf>,
    /// Compare with this root directory.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Print the facts instead of a plan.
    #[arg(long)]
    show_facts: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<(), Failure> {
    let machine = match args.root.as_path() == Path::new("/") {
        true => Machine::this(),
        false => Machine::folder(&args.root),
    };
    let seen = match (&args.facts, &args.config) {
        (Some(facts), Some(config)) => given(&args, facts, config)?,
        _ => foresee(&machine, &Wire::real()).await?,
    };
    if args.show_facts {
        let facts = serde_json::to_string_pretty(&seen.facts).map_err(anyhow::Error::from)?;
        println!("{facts}");
        return Ok(());
    }
    let mut planned = plan::before_grant(&seen.facts, &seen.config)?;
    match &seen.grant {
        Some(grant) => {
            planned = planned.then(plan::after_grant(&seen.facts, &seen.config, grant)?);
        }
        None => tracing::info!("without a grant: the pod network and the certificate are left out"),
    }
    let difference = converge::difference(&machine, &planned).await?;
    if difference.is_empty() {
        tracing::info!("unchanged: the host is as planned");
    }
    print!("{difference}");
    Ok(())
}

fn given(args: &Args, facts: &Path, config: &Path) -> Result<Foreseen, Failure> {
    let facts: Facts = json(facts)?;
    let config = NodeConfig::parse(&text(config)?)?;
    if let Some(path) = &args.userdata {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        fits(&UserData::parse(&bytes)?, &config)?;
    }
    let grant: Option<Grant> = args.grant.as_deref().map(json).transpose()?;
    Ok(Foreseen { facts, config, grant })
}

fn fits(user_data: &UserData, config: &NodeConfig) -> Result<(), Problems> {
    let (found, wanted) = (&user_data.group, &config.group);
    if found != wanted || user_data.cluster != config.cluster.name {
        let message = format!(
            "names group `{found}` of cluster `{}`, the revision is for group `{wanted}` of \
             cluster `{}`",
            user_data.cluster, config.cluster.name
        );
        return Err(Problems::one("UserData", message));
    }
    Ok(())
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    serde_json::from_str(&text(path)?).map_err(|error| anyhow!("{}: {error}", path.display()))
}

fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
