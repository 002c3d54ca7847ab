//! `windlass cluster show`: what a cluster is now.

use std::collections::BTreeMap;

use serde::Serialize;
use time::OffsetDateTime;

use crate::cli::output::{Output, table};
use crate::cli::target::Target;
use crate::cli::{Failure, age};
use crate::operator::revisions::{self, Pointer, short};
use crate::operator::{Cluster, authority};

/// Show the cluster's authority and each group's current revision: since when, and by whom.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass cluster show
  windlass cluster show --group workers             the whole revision, as its nodes read it
  windlass cluster show --output json | jq '.groups.workers.revision'")]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: Output,
    /// Print this group's current revision instead.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
}

#[derive(Serialize)]
struct Shown {
    cluster: String,
    address: String,
    authorities: Vec<Authority>,
    groups: BTreeMap<String, Pointer>,
}

#[derive(Serialize)]
struct Authority {
    generation: u32,
    name: String,
    #[serde(with = "time::serde::rfc3339")]
    not_after: OffsetDateTime,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<(), Failure> {
    let connection = args.target.connect().await?;
    let cluster = &connection.cluster;
    match &args.group {
        Some(group) => {
            let revision = revisions::current(cluster, group).await?;
            Ok(crate::cli::output::print(&revision)?)
        }
        None => {
            let shown = look(cluster).await?;
            Ok(args.output.print(&shown, |shown| text(shown, cluster.now()))?)
        }
    }
}

async fn look(cluster: &Cluster) -> anyhow::Result<Shown> {
    let found = authority::read(cluster).await?;
    let certificates = found.map(|found| found.certificates()).unwrap_or_default();
    let authorities = certificates.into_iter().map(|(generation, certificate)| Authority {
        generation,
        name: certificate.common_name,
        not_after: certificate.not_after,
    });
    Ok(Shown {
        cluster: cluster.name.clone(),
        address: cluster.address(),
        authorities: authorities.collect(),
        groups: revisions::pointers(cluster).await?,
    })
}

fn text(shown: &Shown, now: OffsetDateTime) -> String {
    let mut said = format!("cluster {} in {}\n", shown.cluster, shown.address);
    for Authority { generation, name, not_after } in &shown.authorities {
        said += &format!("authority {name}, generation {generation}, until {}\n", not_after.date());
    }
    if shown.authorities.is_empty() {
        said += "no authority yet: `windlass cluster init` makes it\n";
    }
    if shown.groups.is_empty() {
        return said + "no groups yet: `windlass cluster apply cluster.toml` describes them\n";
    }
    let head = ["GROUP", "REVISION", "SINCE", "BY"].map(str::to_owned).to_vec();
    let rows = shown.groups.iter().map(|(group, pointer)| {
        vec![
            group.clone(),
            short(&pointer.revision).to_owned(),
            pointer.moved_at.map_or("-".to_owned(), |at| age(now - at)),
            pointer.moved_by.clone().unwrap_or("-".to_owned()),
        ]
    });
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    said + "\n" + &table(&rows)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_new_cluster_says_what_comes_next() {
        let shown = Shown {
            cluster: "prod".into(),
            address: "s3://acme-kubernetes/prod".into(),
            authorities: Vec::new(),
            groups: BTreeMap::new(),
        };
        assert_eq!(
            text(&shown, datetime!(2026-11-23 07:00 UTC)),
            "cluster prod in s3://acme-kubernetes/prod\n\
             no authority yet: `windlass cluster init` makes it\n\
             no groups yet: `windlass cluster apply cluster.toml` describes them\n"
        );
    }
}
