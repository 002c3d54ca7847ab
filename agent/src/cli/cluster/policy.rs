//! `windlass cluster policy`: what to attach to a role.

use crate::cli::Failure;
use crate::cli::output;
use crate::cli::target::{Named, Target};
use crate::config::{CaBundle, ClusterFile};
use crate::policies::{self, Identity, Scope};

/// Print the IAM policy of a role, filled in for this cluster.
///
/// Least privilege: docs/policies.md says for each permission why it is there. Without region,
/// account or KMS key the policy says `*` in their place.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass cluster policy worker --file cluster.toml
  windlass cluster policy operator --cluster prod --bucket acme-kubernetes
  aws iam put-role-policy --role-name prod-worker --policy-name windlass \\
      --policy-document \"$(windlass cluster policy worker)\"")]
pub struct Args {
    /// Whose policy.
    #[arg(value_name = "worker|control-plane|operator")]
    identity: Identity,
    #[command(flatten)]
    target: Target,
    /// The AWS account [default: the one of the description's instance profiles].
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// ARN of the KMS key that encrypts the authority's private key
    /// [default: `cluster.kms_key` of the description, if that is an ARN].
    #[arg(long, value_name = "ARN")]
    kms_key: Option<String>,
}

/// Runs the command.
pub fn run(args: Args) -> Result<(), Failure> {
    let Named { cluster, bucket, region, file } = args.target.named()?;
    let file = file.as_ref();
    let of_file = file.and_then(|file| file.kms_key.clone()).filter(|key| key.starts_with("arn:"));
    let scope = Scope {
        cluster,
        bucket,
        region,
        account: args.account.or_else(|| file.and_then(account)),
        kms_key: args.kms_key.or(of_file),
    };
    let policy = policies::render(args.identity, &scope).map_err(anyhow::Error::from)?;
    Ok(output::print(&policy)?)
}

/// The account of the instance profiles, where all are of one.
fn account(file: &ClusterFile) -> Option<String> {
    let nobody = CaBundle { certificate_authorities: String::new(), generation: 1 };
    let revisions = file.revisions(&nobody);
    let mut accounts = revisions.values().filter_map(|config| {
        config.admission.instance_profile.split(':').nth(4).map(str::to_owned)
    });
    let first = accounts.next()?;
    accounts.all(|other| other == first).then_some(first)
}
