//! The instance role's credentials, from IMDS. The SDK's identity cache asks again before they
//! expire.
//!
//! Source: "Retrieve security credentials from instance metadata" (Amazon EC2 User Guide).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result as ProvideResult, future};
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use super::imds::{self, Imds};

const PATH: &str = "meta-data/iam/security-credentials/";
/// IMDS answers 404 for the first moment after a launch, and while a new instance profile becomes
/// known: IAM is eventually consistent.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// Credentials of the role in the instance's profile.
#[derive(Clone, Debug)]
pub struct RoleCredentials {
    imds: Imds,
    /// Those that were [fetched](Self::fetch) before anybody asked.
    held: Arc<Mutex<Option<Credentials>>>,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Imds(#[from] imds::Error),
    #[error(
        "the instance has no role: IMDS has nothing under `/latest/{PATH}` {} s after it was first asked\nhint: launch it with an instance profile",
        PATIENCE.as_secs()
    )]
    NoRole,
    #[error(
        "IMDS has no credentials of role `{role}`: {said}\nhint: the role's trust policy must let ec2.amazonaws.com assume it"
    )]
    NotAssumed { role: String, said: String },
    #[error("IMDS' credentials of role `{role}` are not as documented: {source}")]
    Unreadable { role: String, source: serde_json::Error },
}

impl RoleCredentials {
    /// The credentials of the instance that `imds` belongs to.
    pub fn new(imds: Imds) -> Self {
        Self { imds, held: Arc::default() }
    }

    /// Fetches them now and hands them out when they are first asked for: the SDK's cache would
    /// wait 5 s at most, which is too short for an instance that was launched a moment ago.
    pub async fn fetch(&self) -> Result<(), Error> {
        let credentials = self.ask().await?;
        *self.held.lock().expect("nobody panics while holding credentials") = Some(credentials);
        Ok(())
    }

    async fn ask(&self) -> Result<Credentials, Error> {
        let role = String::from_utf8_lossy(&self.when_there(PATH).await?).trim().to_owned();
        let document = self.when_there(&format!("{PATH}{role}")).await?;
        let document: Document = serde_json::from_slice(&document)
            .map_err(|source| Error::Unreadable { role: role.clone(), source })?;
        match document {
            Document { code, key: Some(key), secret: Some(secret), token, expiration, .. }
                if code == "Success" =>
            {
                let expires = expiration.map(Into::into);
                Ok(Credentials::new(key, secret, token, expires, "InstanceRole"))
            }
            Document { code, message, .. } => {
                let said = [code, message.unwrap_or_default()].join(" ");
                Err(Error::NotAssumed { role, said: said.trim().to_owned() })
            }
        }
    }

    async fn when_there(&self, path: &str) -> Result<Vec<u8>, Error> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            match self.imds.get(path).await? {
                Some(body) => return Ok(body),
                None if Instant::now() + PAUSE > give_up => return Err(Error::NoRole),
                None => sleep(PAUSE).await,
            }
        }
    }

    async fn provide(&self) -> ProvideResult {
        let held = self.held.lock().expect("nobody panics while holding credentials").take();
        match held {
            Some(credentials) => Ok(credentials),
            None => self.ask().await.map_err(CredentialsError::provider_error),
        }
    }
}

impl ProvideCredentials for RoleCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}

/// As IMDS writes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    code: String,
    message: Option<String>,
    #[serde(rename = "AccessKeyId")]
    key: Option<String>,
    #[serde(rename = "SecretAccessKey")]
    secret: Option<String>,
    token: Option<String>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    expiration: Option<OffsetDateTime>,
}
