//! The API server, as whoever sits at this machine may ask it.

use std::path::Path;

use anyhow::Context;
use kube::Client;

use crate::client::Wire;
use crate::operator::{Hinted, kubeconfig, kubernetes};

/// A client by the kubeconfig's context of the cluster, else by its current context.
pub fn client(wire: &Wire, cluster: &str) -> anyhow::Result<Client> {
    let (paths, home) = (std::env::var("KUBECONFIG").ok(), std::env::var("HOME").ok());
    let file = kubeconfig::file_for(paths.as_deref(), home.as_deref().map(Path::new), cluster)?;
    if !file.exists() {
        let message = format!("there is no kubeconfig {}", file.display());
        return Err(Hinted::new(message, "`windlass kubeconfig` makes one").into());
    }
    let text = std::fs::read_to_string(&file);
    let text = text.with_context(|| format!("reading {}", file.display()))?;
    kubernetes::client(wire, &text, cluster)
}
