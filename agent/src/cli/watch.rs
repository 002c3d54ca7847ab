//! `windlass watch`: keeps the node's network as planned, and lets the node go.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::client::Wire;
use crate::host::Machine;
use crate::watch;

/// Keep this node's side of the pod network as planned, and drain it when AWS announces its end.
///
/// Routes, policy rules, the nftables table `inet windlass`, the kernel's settings for them and the
/// CNI configuration: what somebody else on the host removes or alters is put back within a second,
/// and said once. What is not Windlass' (protocol number 0x57) is never touched. When IMDS announces a
/// termination, a spot interruption or maintenance, the node is cordoned and its pods are evicted with
/// kubelet's own credential, and the Auto Scaling group's termination hook is completed. It starts from
/// what the boot left on disk. `windlass boot` starts it.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  windlass watch                        as windlass-watch.service does
  systemctl status windlass-watch       whether all is as planned now
  journalctl -u windlass-watch          what was put back, and what could not be
  ip route show table all proto 0x57    the routes that it keeps
  nft list table inet windlass          the table that it keeps
  cat /var/lib/windlass/drain.json      how far a drain is
  windlass plan                         what is not as planned, with the rest of the host

Exit codes: 0 it was told to stop; 1 failed, another try may succeed; 78 this machine was never
booted as a node, or what the boot left cannot be used: another boot helps.")]
pub struct Args {}

/// Runs the command.
pub async fn run(_: Args) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    watch::watch(&Machine::this(), &Wire::idle(), stop).await
}
