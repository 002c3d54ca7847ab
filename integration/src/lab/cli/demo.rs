//! `cargo demo`.

use std::process::ExitCode;

use anyhow::{Result, bail};

#[derive(clap::Args, Clone, Debug)]
pub struct Demo {
    #[command(flatten)]
    pub options: super::up::Options,
}

pub fn demo(_demo: &Demo) -> Result<ExitCode> {
    bail!("the demo comes with the product's commands")
}
