//! `windlass nodes`: every instance of a cluster, and why it is not a Ready node.

use std::collections::BTreeMap;
use std::time::Duration;

use super::output::{Output, table};
use super::target::{Connection, Target};
use super::{Failure, age};
use crate::client::ec2::Ec2;
use crate::exchange::InstanceId;
use crate::operator::kubernetes::{self, KubeNode};
use crate::operator::nodes::{self, Known};
use crate::operator::revisions::short;
use crate::operator::rows::{self, GrantState, Row};

/// An API server that is away must not keep the rest from being seen.
const PATIENCE: Duration = Duration::from_secs(5);

/// List the cluster's instances: state, group, revision, lease, grant, readiness, and why not.
///
/// Asks EC2 and S3, and the API server where a kubeconfig with a client certificate is at hand
/// (`windlass kubeconfig` makes one). A revision with a star is behind its group's.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass nodes
  windlass nodes --not-ready                                   only those who need somebody
  windlass nodes --group workers
  windlass nodes --output json | jq -r '.[] | select(.behind) | .instance'
  windlass report i-0123456789abcdef0                          what one of them did at boot")]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: Output,
    /// Only this group's.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Only those that are not Ready nodes.
    #[arg(long)]
    not_ready: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<(), Failure> {
    let connection = args.target.connect().await?;
    let mut known = nodes::gather(&connection.cluster, &Ec2::new(&connection.sdk)).await?;
    ask_api_server(&connection, &mut known).await;
    let mut rows = rows::rows(&known, connection.cluster.now());
    rows.retain(|row| args.group.is_none() || row.group == args.group);
    rows.retain(|row| !args.not_ready || row.why_not.is_some() || row.ready == Some(false));
    if rows.is_empty() {
        tracing::info!("no such instance in {}", connection.cluster.address());
    }
    Ok(args.output.print(&rows, |rows| text(rows))?)
}

/// Without an answer readiness stays unknown, and why is said once.
async fn ask_api_server(connection: &Connection, known: &mut Known) {
    match tokio::time::timeout(PATIENCE, kubernetes_nodes(connection)).await {
        Ok(Ok(nodes)) => known.nodes = Some(nodes),
        Ok(Err(error)) => tracing::warn!("who is Ready is unknown: {error:#}"),
        Err(_) => tracing::warn!("who is Ready is unknown: no answer within {PATIENCE:?}"),
    }
}

async fn kubernetes_nodes(
    connection: &Connection,
) -> anyhow::Result<BTreeMap<InstanceId, KubeNode>> {
    let client = super::kubernetes::client(&connection.wire, &connection.cluster.name)?;
    kubernetes::nodes(client).await
}

fn text(rows: &[Row]) -> String {
    let head = ["NODE", "GROUP", "STATE", "READY", "GRANT", "PODS", "REVISION", "AGE", "WHY NOT"];
    let head = head.map(str::to_owned).to_vec();
    let lines = std::iter::once(head).chain(rows.iter().map(line));
    if rows.is_empty() { String::new() } else { table(&lines.collect::<Vec<_>>()) }
}

fn line(row: &Row) -> Vec<String> {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or("-".to_owned());
    let ready = match (row.ready, row.cordoned) {
        (None, _) => "?",
        (Some(true), false) => "yes",
        (Some(true), true) => "yes, cordoned",
        (Some(false), _) => "no",
    };
    let grant = match row.grant {
        GrantState::None => "-",
        GrantState::Asked => "asked",
        GrantState::Granted => "granted",
        GrantState::Denied => "denied",
    };
    let cidrs: Vec<String> = row.pod_cidrs.iter().map(ToString::to_string).collect();
    let behind = if row.behind == Some(true) { "*" } else { "" };
    let revision =
        row.revision.as_deref().map_or("-".to_owned(), |hash| format!("{}{behind}", short(hash)));
    // The instance's id is what every other tool asks for.
    let name = match &row.node {
        Some(node) if node != row.instance.as_str() => format!("{node} ({})", row.instance),
        _ => row.instance.to_string(),
    };
    vec![
        name,
        or_dash(&row.group),
        row.state.clone(),
        ready.to_owned(),
        grant.to_owned(),
        if cidrs.is_empty() { "-".to_owned() } else { cidrs.join(",") },
        revision,
        row.age_seconds.map_or("-".to_owned(), |seconds| age(time::Duration::seconds(seconds))),
        row.why_not.as_deref().unwrap_or_default().lines().next().unwrap_or_default().to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            instance: "i-0123456789abcdef0".parse().expect("an id"),
            node: Some("i-0123456789abcdef0".into()),
            group: Some("workers".into()),
            state: "running".into(),
            zone: Some("eu-west-1a".into()),
            instance_type: Some("m7g.large".into()),
            revision: Some("6f1c0a".repeat(10)),
            behind: Some(true),
            pod_cidrs: vec!["10.64.3.0/24".parse().expect("a CIDR")],
            grant: GrantState::Granted,
            ready: Some(true),
            cordoned: false,
            age_seconds: Some(7260),
            why_not: None,
        }
    }

    #[test]
    fn a_table_shows_who_is_behind_and_who_is_not_ready() {
        let other = Row {
            instance: "i-0aaaaaaaaaaaaaaa0".parse().expect("an id"),
            node: None,
            group: None,
            revision: None,
            behind: None,
            pod_cidrs: Vec::new(),
            grant: GrantState::Asked,
            ready: Some(false),
            age_seconds: Some(41),
            why_not: Some("asked 31 s ago, no answer: is `windlass admit` running?".into()),
            ..row()
        };
        assert_eq!(
            text(&[row(), other]),
            "\
NODE                 GROUP    STATE    READY  GRANT    PODS          REVISION       AGE   WHY NOT
i-0123456789abcdef0  workers  running  yes    granted  10.64.3.0/24  6f1c0a6f1c0a*  2h1m
i-0aaaaaaaaaaaaaaa0  -        running  no     asked    -             -              41s   asked 31 s ago, no answer: is `windlass admit` running?
"
        );
    }
}
