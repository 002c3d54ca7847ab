//! `windlass kubeconfig`: a way into the cluster for an operator who may read the CA's key.

use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;

use super::target::{Connection, Target};
use super::{Failure, output};
use crate::config::NodeConfig;
use crate::operator::kubeconfig::{self, Current, Entry};
use crate::operator::{Cluster, Hinted, authority, caller, revisions, when};
use crate::pki::{Certificate, MAX_LIFETIME, Subject};

/// Make an administrator's client certificate and merge it into your kubeconfig.
///
/// Every other context stays, and so does the current one unless told otherwise. The file is
/// written atomically; what was there before is kept beside it with `.bak` after its name. The
/// certificate is made from the cluster's authority, whose key your role must be allowed to
/// decrypt, and cannot be revoked: keep it short-lived and run this again.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass kubeconfig && kubectl --context prod get nodes
  windlass kubeconfig --use --lifetime 1h
  windlass kubeconfig --print > prod.kubeconfig
  windlass kubeconfig --user ann --group acme:viewers        who you are to RBAC")]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// The user that RBAC and the audit log will see [default: who you are to AWS].
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The group that RBAC will see; `system:masters` may do everything.
    #[arg(long, default_value = "system:masters", value_name = "GROUP")]
    group: String,
    /// How long the certificate lives: `30m`, `8h`; a day at most.
    #[arg(long, default_value = "8h", value_parser = lifetime, value_name = "TIME")]
    lifetime: Duration,
    /// The API server [default: as the groups' revisions say].
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// What the context is called [default: the cluster's name].
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Make it the current context.
    #[arg(long = "use")]
    switch: bool,
    /// Print a kubeconfig of this context alone instead of merging.
    #[arg(long, conflicts_with = "switch")]
    print: bool,
    /// The kubeconfig to merge into [default: the one of `KUBECONFIG`, else `~/.kube/config`].
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    into: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<(), Failure> {
    let connection = args.target.connect().await?;
    let (entry, not_after) = entry(&args, &connection).await?;
    if args.print {
        return Ok(output::print(&kubeconfig::alone(&entry)?)?);
    }
    let file = match &args.into {
        Some(file) => file.clone(),
        None => {
            let (paths, home) = (std::env::var("KUBECONFIG").ok(), std::env::var("HOME").ok());
            kubeconfig::file_for(paths.as_deref(), home.as_deref().map(Path::new), &entry.name)?
        }
    };
    let current = if args.switch { Current::Switch } else { Current::Keep };
    let merged = kubeconfig::merge_file(&file, &entry, current)?;
    let (file, until) = (merged.file.display(), when(not_after));
    tracing::info!("context `{}` is in {file}, valid until {until}", entry.name);
    if let Some(backup) = merged.backup {
        tracing::info!("what was there before is in {}", backup.display());
    }
    if merged.current != entry.name {
        tracing::info!(
            "the current context is still `{}`; try: kubectl --context {} get nodes",
            merged.current,
            entry.name
        );
    }
    Ok(())
}

async fn entry(args: &Args, connection: &Connection) -> anyhow::Result<(Entry, OffsetDateTime)> {
    let cluster = &connection.cluster;
    let Some(found) = authority::read(cluster).await? else {
        return Err(Hinted::new(
            format!("{} has no authority yet", cluster.address()),
            "`windlass cluster init` makes it",
        )
        .into());
    };
    let server = match &args.server {
        Some(server) => server.clone(),
        None => endpoint(cluster).await?,
    };
    let signer = authority::load(cluster, &found).await?;
    let user = match &args.user {
        Some(user) => user.clone(),
        None => user(&caller(&connection.sdk).await),
    };
    let subject = Subject { common_name: user, organization: Some(args.group.clone()) };
    let identity = signer.identity(&subject, cluster.now(), args.lifetime)?;
    let not_after = Certificate::from_pem(&identity.certificate)?.not_after;
    tracing::info!("made a certificate for `{subject}`");
    let name = args.context.clone().unwrap_or_else(|| cluster.name.clone());
    Ok((Entry { name, server, certificate_authorities: found.bundle(), identity }, not_after))
}

/// All groups say the same one; any will do.
async fn endpoint(cluster: &Cluster) -> anyhow::Result<String> {
    let pointers = revisions::pointers(cluster).await?;
    let Some(pointer) = pointers.values().next() else {
        return Err(Hinted::new(
            format!(
                "{} has no groups yet, which would say where the API server is",
                cluster.address()
            ),
            "`windlass cluster apply cluster.toml` describes them, or say it by `--server URL`",
        )
        .into());
    };
    let text = revisions::text(cluster, &pointer.revision).await?;
    Ok(NodeConfig::parse(&text)?.api.endpoint)
}

/// `arn:aws:sts::123456789012:assumed-role/Admin/ann` → `Admin/ann`.
fn user(arn: &str) -> String {
    let resource = arn.rsplit(':').next().unwrap_or(arn);
    let name = resource.split_once('/').map_or(resource, |(_, name)| name);
    format!("windlass:{name}")
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let wanted = "wanted minutes or hours, such as `30m` or `8h`, a day at most";
    let seconds = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((number, "m")) => number.parse::<u64>().ok().and_then(|n| n.checked_mul(60)),
        Some((number, "h")) => number.parse::<u64>().ok().and_then(|n| n.checked_mul(3600)),
        _ => None,
    };
    let lifetime = seconds.map(Duration::from_secs);
    lifetime.filter(|time| !time.is_zero() && *time <= MAX_LIFETIME).ok_or(wanted.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_who_the_caller_is_to_aws() {
        assert_eq!(user("arn:aws:iam::123456789012:user/ops/ann"), "windlass:ops/ann");
        let role = "arn:aws:sts::123456789012:assumed-role/Admin/ann@acme.example";
        assert_eq!(user(role), "windlass:Admin/ann@acme.example");
        assert_eq!(user("arn:aws:iam::123456789012:root"), "windlass:root");
    }

    #[test]
    fn a_lifetime_is_a_day_at_most() {
        assert_eq!(lifetime("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(lifetime("24h"), Ok(MAX_LIFETIME));
        for wrong in ["", "h", "0m", "25h", "8", "8d", "-1h", "ü"] {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
    }
}
