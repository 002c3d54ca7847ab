//! Certificates of the lab: of its own authority, which the nodes' trust stores list because it
//! vouches for AWS' names, and of the cluster's authority, for the control plane.

use std::time::Duration;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::OffsetDateTime;

const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
const BACKDATE: Duration = Duration::from_secs(3600);

/// Signs.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Client,
    Server,
    Both,
}

impl Authority {
    /// A new one that signs itself.
    pub fn create(common_name: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = params(common_name, None, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        let certificate = params.self_signed(&key)?.pem();
        Self::load(&certificate, &key.serialize_pem())
    }

    /// One that was kept elsewhere.
    pub fn load(certificate: &str, key: &str) -> Result<Self> {
        let key = KeyPair::from_pem(key).context("the authority's key is not PEM of PKCS#8")?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key)
            .context("cannot read the authority's certificate")?;
        Ok(Self { certificate: certificate.to_owned(), issuer })
    }

    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A new key and a certificate for it. Names are DNS names or addresses.
    pub fn issue(
        &self,
        common_name: &str,
        organization: Option<&str>,
        usage: Usage,
        names: &[String],
    ) -> Result<Pair> {
        let key = KeyPair::generate()?;
        let mut params = params(common_name, organization, names)?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if usage != Usage::Server {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        if usage != Usage::Client {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let signed = params.signed_by(&key, &self.issuer);
        let signed =
            signed.with_context(|| format!("cannot sign a certificate for `{common_name}`"))?;
        Ok(Pair { certificate: signed.pem(), key: key.serialize_pem() })
    }
}

/// Valid by the machine's clock, which TLS goes by, whatever the region's clock says.
fn params(
    common_name: &str,
    organization: Option<&str>,
    names: &[String],
) -> Result<CertificateParams> {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::new(names)?;
    params.not_before = now - BACKDATE;
    params.not_after = now + LIFETIME;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    Ok(params)
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pair")
    }
}
