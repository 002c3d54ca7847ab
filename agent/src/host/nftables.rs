//! nftables' table of ours, through `nft`: it is on every image that kube-proxy is to run on, and
//! its words are those that a person would use. There is no shell between.

use std::process::Stdio;

use anyhow::{Context, anyhow, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Effects, Machine, lock};
use crate::plan::network::{PacketFilter, TABLE};

const NEEDED: &str = "hint: the kernel needs nf_tables with nft_masq, nft_ct and the inet family: look \
                      with `nft list tables` and `modprobe nf_tables`";

impl Machine {
    /// The table as nft lists it; `None` where there is none.
    pub async fn packet_filter(&self) -> anyhow::Result<Option<String>> {
        if let Effects::Kept(folder) = &self.effects {
            return Ok(lock(folder).packet_filter.clone());
        }
        let arguments = [&["--stateless", "list", "table"], &TABLE[..]].concat();
        let output = Command::new("nft").args(&arguments).output().await.map_err(unrunnable)?;
        if output.status.success() {
            return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // nft has no exit code for it; the words are strerror(ENOENT)'s.
        if said.contains("No such file or directory") {
            return Ok(None);
        }
        bail!("`nft {}` failed: {}\n{NEEDED}", arguments.join(" "), said.trim())
    }

    /// Puts the table in place of what there is under its name, in one transaction: at no moment is
    /// there half of one, or none.
    pub async fn replace_packet_filter(&self, filter: &PacketFilter) -> anyhow::Result<()> {
        if let Effects::Kept(folder) = &self.effects {
            let mut folder = lock(folder);
            folder.log.push(format!("nft replace table {}", TABLE.join(" ")));
            folder.packet_filter = Some(filter.to_string());
            return Ok(());
        }
        let table = TABLE.join(" ");
        // The first line makes the second succeed where there was no table.
        let transaction = format!("table {table}\ndelete table {table}\n{filter}");
        let mut nft = Command::new("nft")
            .args(["--file", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(unrunnable)?;
        let mut input = nft.stdin.take().context("nft takes no input")?;
        let written = input.write_all(transaction.as_bytes()).await;
        drop(input);
        let output = nft.wait_with_output().await.context("waiting for nft")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("nft refused the table `{table}`: {}\n{NEEDED}", said.trim());
        }
        written.context("telling nft the table")
    }
}

fn unrunnable(error: std::io::Error) -> anyhow::Error {
    anyhow!("nft cannot be run: {error}\nhint: the image needs the package nftables")
}
