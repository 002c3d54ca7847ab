//! `cargo lab cordon`: how soon a node that AWS takes away is cordoned.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::figures::Spread;
use super::product;
use super::up::{Latency, Options};
use crate::lab::progress::Progress;
use crate::lab::torture::{Ground, cordon_ms};

#[derive(clap::Args, Clone, Debug)]
pub struct Cordon {
    /// How many nodes, one after the other; each takes about five seconds
    #[arg(long, default_value_t = 100)]
    nodes: usize,
    /// The product's program; the released one, built from this source, if not given
    #[arg(long)]
    windlass: Option<PathBuf>,
}

pub fn cordon(wanted: &Cordon) -> Result<()> {
    let windlass = product::program(&Options::released(Latency::None, wanted.windlass.clone()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = runtime.block_on(async {
        let progress = Progress::new();
        let ground = Ground::open(&windlass, &progress).await?;
        let mut measured = Vec::new();
        for nth in 0..wanted.nodes {
            let ms = cordon_ms(&ground, nth).await?;
            progress.say("cordon", format!("node {}: {ms:.0} ms", nth + 1));
            measured.push(ms);
        }
        anyhow::Ok(measured)
    })?;
    let Spread { median, p99, count } = Spread::of(&measured).context("no node was asked for")?;
    println!("announced to cordoned: median {median:.0} ms, p99 {p99:.0} ms of {count}");
    Ok(())
}
