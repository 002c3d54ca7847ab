//! Which cluster a command is about, and the way to it.
//!
//! In this order: an argument, the description that `--file` names, a variable of the environment,
//! `cluster.toml` in the current folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;

use super::Failure;
use crate::client::Wire;
use crate::config::ClusterFile;
use crate::operator::{Cluster, Hinted};

const HERE: &str = "cluster.toml";

/// Which cluster.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Target {
    /// The cluster's name [env: WINDLASS_CLUSTER] [default: as the description says].
    #[arg(long, short, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The S3 bucket that holds it [env: WINDLASS_BUCKET] [default: as the description says].
    #[arg(long, short, value_name = "BUCKET")]
    pub bucket: Option<String>,
    /// The AWS region [env: AWS_REGION] [default: as the description or the AWS profile says].
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// The cluster's description [default: `cluster.toml` in this folder, if there is one].
    #[arg(long, short, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// A cluster that is named, though nobody has looked whether there is one.
#[derive(Debug)]
pub struct Named {
    pub cluster: String,
    pub bucket: String,
    pub region: Option<String>,
    pub file: Option<ClusterFile>,
}

/// A cluster and the credentials to look at it.
#[derive(Debug)]
pub struct Connection {
    pub cluster: Cluster,
    pub sdk: SdkConfig,
    pub wire: Wire,
    pub file: Option<ClusterFile>,
}

impl Target {
    /// Who is meant; reads a file at most.
    pub fn named(&self) -> Result<Named, Failure> {
        self.named_by(
            |name| std::env::var(name).ok().filter(|value| !value.is_empty()),
            Path::new(HERE),
        )
    }

    /// As [`Target::named`], with a way to AWS by the operator's credentials.
    pub async fn connect(&self) -> Result<Connection, Failure> {
        let named = self.named()?;
        let wire = Wire::real();
        let sdk = with_region(wire.operator(named.region.as_deref()).await)?;
        check_credentials(&sdk).await?;
        let cluster = Cluster::new(&sdk, &named.bucket, &named.cluster);
        Ok(Connection { cluster, sdk, wire, file: named.file })
    }

    fn named_by(
        &self,
        variable: impl Fn(&str) -> Option<String>,
        here: &Path,
    ) -> Result<Named, Failure> {
        let said = self.file.as_deref().map(read).transpose()?;
        let found = match &said {
            None if here.exists() => Some(read(here)?),
            _ => None,
        };
        let choose = |argument: &Option<String>, name: &str, part: fn(&ClusterFile) -> &String| {
            let of = |file: &Option<ClusterFile>| file.as_ref().map(|file| part(file).clone());
            argument.clone().or_else(|| of(&said)).or_else(|| variable(name)).or_else(|| of(&found))
        };
        let cluster = choose(&self.cluster, "WINDLASS_CLUSTER", |file| &file.cluster.name);
        let bucket = choose(&self.bucket, "WINDLASS_BUCKET", |file| &file.bucket);
        let region = choose(&self.region, "AWS_REGION", |file| &file.cluster.region);
        Ok(Named {
            cluster: cluster.ok_or_else(|| unnamed("cluster", "--cluster NAME"))?,
            bucket: bucket.ok_or_else(|| unnamed("bucket", "--bucket BUCKET"))?,
            region,
            file: said.or(found),
        })
    }
}

/// Reads and validates a cluster's description.
pub fn read(file: &Path) -> Result<ClusterFile, Failure> {
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("reading {}", file.display()))?;
    Ok(ClusterFile::parse(&text)?)
}

fn unnamed(what: &str, argument: &str) -> Failure {
    let variable = what.to_uppercase();
    let message = format!("no {what} is named, and there is no `{HERE}` in this folder");
    let hint = format!("say it by `{argument}`, by `WINDLASS_{variable}`, or by `--file FILE`");
    Failure::Failed(Hinted::new(message, hint).into())
}

fn with_region(sdk: SdkConfig) -> anyhow::Result<SdkConfig> {
    match sdk.region() {
        Some(_) => Ok(sdk),
        None => Err(Hinted::new(
            "no AWS region is configured",
            "say it by `--region REGION`, by `AWS_REGION`, or by `region` of your AWS profile",
        )
        .into()),
    }
}

/// Asked first and once, so that missing credentials are not reported as whatever failed by them.
async fn check_credentials(sdk: &SdkConfig) -> anyhow::Result<()> {
    let provider =
        sdk.credentials_provider().context("the AWS SDK has no source of credentials")?;
    match provider.provide_credentials().await {
        Ok(_) => Ok(()),
        Err(error) => Err(anyhow!(Hinted::new(
            format!("no AWS credentials: {:#}", anyhow::Error::new(error)),
            "`aws sts get-caller-identity` says what the AWS CLI finds; for a profile with single \
             sign-on: eval \"$(aws configure export-credentials --format env)\"",
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: &str = "/nonexistent/cluster.toml";

    fn described() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/testdata/cluster.toml")
    }

    #[test]
    fn an_argument_wins_over_the_environment_and_that_over_what_lies_in_the_folder() {
        let target = Target { cluster: Some("test".into()), ..Target::default() };
        let environment = |name: &str| (name == "WINDLASS_BUCKET").then(|| "other".to_owned());
        let named = target.named_by(environment, &described()).expect("named");
        assert_eq!((named.cluster.as_str(), named.bucket.as_str()), ("test", "other"));
        assert_eq!(named.region.as_deref(), Some("eu-west-1"));
    }

    #[test]
    fn a_description_that_is_named_wins_over_the_environment() {
        let target = Target { file: Some(described()), ..Target::default() };
        let environment = |_: &str| Some("other".to_owned());
        let named = target.named_by(environment, Path::new(NOWHERE)).expect("named");
        assert_eq!((named.cluster.as_str(), named.bucket.as_str()), ("prod", "acme-kubernetes"));
        assert_eq!(named.region.as_deref(), Some("eu-west-1"));
    }

    #[test]
    fn the_description_alone_says_all() {
        let named = Target::default().named_by(|_| None, &described()).expect("named");
        assert_eq!((named.cluster.as_str(), named.bucket.as_str()), ("prod", "acme-kubernetes"));
    }

    #[test]
    fn a_cluster_that_nobody_names_is_asked_for() {
        let error = Target::default().named_by(|_| None, Path::new(NOWHERE)).expect_err("unnamed");
        assert_eq!(
            error.error().to_string(),
            "no cluster is named, and there is no `cluster.toml` in this folder\n  hint: say it by \
             `--cluster NAME`, by `WINDLASS_CLUSTER`, or by `--file FILE`"
        );
    }
}
