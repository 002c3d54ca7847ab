//! The admitter at the API server: a short-lived certificate for `windlass:admit` that it signs
//! for itself, renewed at half of its life; and, used once to create that user's role, one of
//! `system:masters`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_async::time::SharedTimeSource;
use kube::Client;
use time::OffsetDateTime;

use crate::client::{Wire, apiserver};
use crate::pki::{CertificateAuthority, Subject};

/// Who an admitter is to the API server.
pub(super) const USER: &str = "windlass:admit";

const LIFETIME: Duration = Duration::from_secs(3600);

/// Long enough for three requests, short enough to be worth nothing to a thief.
const MASTERS_LIFETIME: Duration = Duration::from_secs(120);

/// How to reach and trust the API server.
#[derive(Clone, Debug)]
pub struct ApiServer {
    pub wire: Wire,
    /// `https://HOST[:PORT]`
    pub endpoint: String,
    /// PEM certificates, of which one has signed the server's.
    pub authorities: String,
}

/// The API server with a certificate that is renewed.
#[derive(Debug)]
pub(super) struct Access {
    server: ApiServer,
    authority: Arc<CertificateAuthority>,
    clock: SharedTimeSource,
    current: Mutex<Option<Current>>,
}

struct Current {
    client: Client,
    renew_at: OffsetDateTime,
}

impl ApiServer {
    pub(super) fn into_admitter(
        self,
        authority: Arc<CertificateAuthority>,
        clock: SharedTimeSource,
    ) -> Access {
        Access { server: self, authority, clock, current: Mutex::default() }
    }
}

impl Access {
    /// A client that is `windlass:admit`.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let now = self.now();
        let mut current = self.current.lock().expect("the current client");
        if let Some(current) = &*current
            && now < current.renew_at
        {
            return Ok(current.client.clone());
        }
        let subject = Subject { common_name: USER.to_owned(), organization: None };
        let client = self.connect(&subject, LIFETIME)?;
        *current = Some(Current { client: client.clone(), renew_at: now + LIFETIME / 2 });
        Ok(client)
    }

    /// A client that may do everything, for a moment.
    pub(super) fn masters(&self) -> anyhow::Result<Client> {
        let organization = Some("system:masters".to_owned());
        let subject = Subject { common_name: USER.to_owned(), organization };
        self.connect(&subject, MASTERS_LIFETIME)
    }

    fn connect(&self, subject: &Subject, lifetime: Duration) -> anyhow::Result<Client> {
        let identity = self.authority.identity(subject, self.now(), lifetime)?;
        let ApiServer { wire, endpoint, authorities } = &self.server;
        apiserver::connect(wire, endpoint, authorities, &identity)
    }

    fn now(&self) -> OffsetDateTime {
        self.clock.now().into()
    }
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Current(until {})", self.renew_at)
    }
}
