//! `windlass uncordon`: an operator gives a node back.

use super::target::Target;
use super::{Failure, kubernetes};
use crate::client::Wire;
use crate::operator::kubernetes::named;
use crate::watch::drain::by_hand::{Hand, Returned};

/// Give a node back that `windlass drain` cordoned: it takes pods, and load balancers may have it.
///
/// What `kubectl cordon` did stays, and so does what the node does for itself because AWS announced
/// its end.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass uncordon i-0123456789abcdef0
  windlass nodes                              who is cordoned")]
pub struct Args {
    /// The instance's id or the Node's name.
    node: String,
    #[command(flatten)]
    target: Target,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<(), Failure> {
    let (wire, cluster) = (Wire::real(), args.target.named()?.cluster);
    let client = kubernetes::client(&wire, &cluster)?;
    let (_, node) = named(client.clone(), &args.node).await?;
    let name = node.name;
    match Hand::on(client, &wire, &name).uncordon().await? {
        Returned::Now => tracing::info!("node `{name}` takes pods again"),
        Returned::Already => tracing::info!("node `{name}` takes pods already"),
        Returned::Leaving => tracing::warn!(
            "node `{name}` stays cordoned: AWS announced its end, and it drains itself\n\
             hint: `windlass status` on the node says why and until when"
        ),
    }
    Ok(())
}
