//! `windlass cluster init`: a bucket that is fit, and an authority in it.

use anyhow::bail;

use crate::cli::Failure;
use crate::cli::target::Target;
use crate::operator::authority::{self, Ensured};
use crate::operator::{Hinted, bucket};

/// Check the bucket and make the cluster's certificate authority in it.
///
/// The authority's private key is encrypted by your KMS key (SSE-KMS) before S3 stores it; only
/// roles that may use that key read it. A second run changes nothing and says so.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass cluster init --file cluster.toml
  windlass cluster init --cluster prod --bucket acme-kubernetes --kms-key alias/windlass-prod

A bucket and a key, where there is none yet:
  aws s3api create-bucket --bucket acme-kubernetes --region eu-west-1 \\
      --create-bucket-configuration LocationConstraint=eu-west-1
  aws kms create-alias --alias-name alias/windlass-prod --target-key-id \\
      $(aws kms create-key --query KeyMetadata.KeyId --output text)")]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// The KMS key that encrypts the authority's private key: ARN, id or alias
    /// [default: `cluster.kms_key` of the description].
    #[arg(long, value_name = "KEY")]
    kms_key: Option<String>,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<(), Failure> {
    let connection = args.target.connect().await?;
    let of_file = connection.file.as_ref().and_then(|file| file.kms_key.clone());
    let kms_key = args.kms_key.or(of_file).ok_or_else(no_kms_key)?;
    let cluster = &connection.cluster;
    refuse_unfit(bucket::shortcomings(cluster).await?)?;
    tracing::info!("bucket `{}` is versioned and blocks public access", cluster.store.bucket());
    let (ensured, authorities) = match authority::ensure(cluster, &kms_key).await? {
        Ensured::Made(made) => ("made", made),
        Ensured::Found(found) => ("unchanged", found),
    };
    for (generation, certificate) in authorities.certificates() {
        tracing::info!(
            "{ensured}: authority `{}` of {}, generation {generation}, valid until {}",
            certificate.common_name,
            cluster.address(),
            certificate.not_after.date(),
        );
    }
    if ensured == "made" {
        tracing::info!("next: attach the policies to the roles, then `windlass cluster apply`");
    }
    Ok(())
}

/// All at once: each is one command for the reader.
fn refuse_unfit(shortcomings: Vec<Hinted>) -> anyhow::Result<()> {
    let said: Vec<String> = shortcomings.iter().map(Hinted::to_string).collect();
    if said.is_empty() { Ok(()) } else { bail!("{}", said.join("\n")) }
}

fn no_kms_key() -> anyhow::Error {
    Hinted::new(
        "no KMS key is named to encrypt the authority's private key",
        "say it by `--kms-key alias/NAME` or by `kms_key` in [cluster]; `windlass cluster init \
         --help` shows how to make one",
    )
    .into()
}
