//! Keys and certificates: the cluster's authority, the requests that nodes make and what is read
//! from a certificate.
//!
//! A private key's `Debug` prints nothing of it. What an authority signs carries nothing that was
//! copied from a request but its public key.

mod authority;
mod certificate;
mod request;
mod serving;

pub use authority::{CertificateAuthority, Issued, MAX_LIFETIME};
pub use certificate::Certificate;
pub use request::{PrivateKey, SigningRequest, Unacceptable};
pub use serving::ServingRequest;

use rcgen::{DistinguishedName, DnType};
use sha2::{Digest, Sha256};

/// Who a certificate is for: a common name and at most one organization, which Kubernetes reads as
/// user and group ("Authenticating", X.509 client certificates).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The user.
    pub common_name: String,
    /// The group.
    pub organization: Option<String>,
}

impl Subject {
    /// What every kubelet is: user `system:node:NAME` of the group `system:nodes`.
    ///
    /// Source: "Using Node Authorization" (Kubernetes documentation).
    pub fn node(name: &str) -> Self {
        Self {
            common_name: format!("system:node:{name}"),
            organization: Some("system:nodes".to_owned()),
        }
    }

    fn distinguished_name(&self) -> DistinguishedName {
        let mut name = DistinguishedName::new();
        if let Some(organization) = &self.organization {
            name.push(DnType::OrganizationName, organization.as_str());
        }
        name.push(DnType::CommonName, self.common_name.as_str());
        name
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CN={}", self.common_name)?;
        match &self.organization {
            Some(organization) => write!(f, ", O={organization}"),
            None => Ok(()),
        }
    }
}

/// Lowercase hexadecimal SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
