//! With whose credential the API server is asked.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use kube::Client;

use crate::client::Wire;
use crate::client::apiserver::{self, Identity};
use crate::config::Api as Endpoint;
use crate::host::Machine;
use crate::plan::CLIENT_CERTIFICATE;

/// A way to the API server. Clones share it.
#[derive(Clone)]
pub(super) enum Access {
    /// With the certificate that kubelet uses at the time.
    Kubelet(Arc<Kubelet>),
    Given(Client),
}

pub(super) struct Kubelet {
    machine: Machine,
    wire: Wire,
    endpoint: Endpoint,
    current: Mutex<Option<Current>>,
}

/// A client, and the certificate's file that it was made with: kubelet moves a link to a new one.
struct Current {
    certificate: PathBuf,
    client: Client,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access")
    }
}

impl Access {
    pub(super) fn of_kubelet(machine: &Machine, wire: &Wire, endpoint: &Endpoint) -> Self {
        Self::Kubelet(Arc::new(Kubelet {
            machine: machine.clone(),
            wire: wire.clone(),
            endpoint: endpoint.clone(),
            current: Mutex::default(),
        }))
    }

    pub(super) fn client(&self) -> anyhow::Result<Client> {
        match self {
            Self::Kubelet(kubelet) => kubelet.client(),
            Self::Given(client) => Ok(client.clone()),
        }
    }
}

impl Kubelet {
    fn client(&self) -> anyhow::Result<Client> {
        let link = self.machine.path(CLIENT_CERTIFICATE);
        let certificate = std::fs::canonicalize(&link)
            .with_context(|| format!("kubelet's certificate {CLIENT_CERTIFICATE}"))?;
        let mut current = self.current.lock().expect("nobody panics while holding the client");
        if let Some(current) = current.as_ref().filter(|it| it.certificate == certificate) {
            return Ok(current.client.clone());
        }
        let pem = self.machine.read_text(CLIENT_CERTIFICATE)?;
        let pem = pem.with_context(|| format!("there is no {CLIENT_CERTIFICATE}"))?;
        // kubelet keeps both in one file.
        let identity = Identity { certificate: pem.clone(), private_key: pem };
        let Endpoint { endpoint, certificate_authorities, .. } = &self.endpoint;
        let client = apiserver::connect(&self.wire, endpoint, certificate_authorities, &identity)?;
        *current = Some(Current { certificate, client: client.clone() });
        Ok(client)
    }
}
