//! `windlass drain`: an operator empties a node.

use std::time::Duration;

use anyhow::anyhow;

use super::output::{self, Output};
use super::target::Target;
use super::{Failure, kubernetes};
use crate::client::Wire;
use crate::config::{Drain, Treatment, WhenRefused, parse_duration};
use crate::drawing::{self, Picture};
use crate::operator::kubernetes::named;
use crate::watch::drain::Rules;
use crate::watch::drain::by_hand::Hand;

/// Empty a node as it would empty itself: cordon, leave load balancers, evict in order, wait.
///
/// The options below say what the group's table `[drain]` says of drains that AWS announces; that
/// table does not count here. Asks the API server with your kubeconfig, by the context of the cluster's name or else by the
/// current one. Disruption budgets are heeded until the deadline; then the pods that are left are
/// named, or deleted with `--when-refused delete`. The node stays cordoned until
/// `windlass uncordon`. Interrupted, it can be run again.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass drain i-0123456789abcdef0 --dry-run             the order, and which pods stay
  windlass drain i-0123456789abcdef0
  windlass drain i-0123456789abcdef0 --deadline 1h --when-refused delete
  windlass drain i-0123456789abcdef0 --output json | jq '.pods[] | select(.refusals)'
  windlass uncordon i-0123456789abcdef0                    give it back

Exit codes: 0 its pods are gone; 1 some are not, and are named.")]
pub struct Args {
    /// The instance's id or the Node's name.
    node: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: Output,
    /// Show what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// How long pods have: `90s`, `15m`, `1h`.
    #[arg(long, default_value = "15m", value_parser = duration, value_name = "TIME")]
    deadline: Duration,
    /// What load balancers need to let go of the node.
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "TIME")]
    deregistration_delay: Duration,
    /// What happens to a pod that a disruption budget keeps until it would have no grace any more.
    #[arg(long, value_enum, default_value = "wait")]
    when_refused: Refused,
    /// Leave pods that no controller makes anew.
    #[arg(long)]
    keep_bare_pods: bool,
    /// Leave pods with data in an `emptyDir`.
    #[arg(long)]
    keep_local_data: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Refused {
    /// It stays, and is named.
    Wait,
    /// It is deleted.
    Delete,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<(), Failure> {
    let (wire, cluster) = (Wire::real(), args.target.named()?.cluster);
    let client = kubernetes::client(&wire, &cluster)?;
    let (instance, node) = named(client.clone(), &args.node).await?;
    let (hand, rules) = (Hand::on(client, &wire, &node.name), args.rules());
    if args.dry_run {
        let foreseen = hand.foresee(&rules).await?;
        return Ok(args.output.print(&foreseen, ToString::to_string)?);
    }
    let group = node.group.unwrap_or_default();
    let report = hand.drain(rules, instance, &cluster, &group).await?;
    args.output
        .print(&report, |report| drawing::terminal(&Picture::from(report), output::style()))?;
    match report.remaining().count() {
        0 => Ok(()),
        left => Err(anyhow!("{left} pods are still on node `{}`", node.name).into()),
    }
}

impl Args {
    fn rules(&self) -> Rules {
        let treatment = |keep| if keep { Treatment::Keep } else { Treatment::Evict };
        Rules::of_drain(&Drain {
            when_refused: match self.when_refused {
                Refused::Wait => WhenRefused::Wait,
                Refused::Delete => WhenRefused::Delete,
            },
            deadline: self.deadline,
            deregistration_delay: self.deregistration_delay,
            bare_pods: treatment(self.keep_bare_pods),
            local_data: treatment(self.keep_local_data),
            ..Drain::default()
        })
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "wanted a duration such as `90s`, `15m` or `1h`".to_owned())
}
