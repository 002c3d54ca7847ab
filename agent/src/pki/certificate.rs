//! What is read from a certificate.

use anyhow::{Context, bail};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, Pem};

use super::sha256_hex;

/// The parts of a certificate that decisions rest on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub common_name: String,
    /// In the order of the certificate.
    pub organizations: Vec<String>,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
    /// Lowercase hexadecimal SHA-256 of the public key (SubjectPublicKeyInfo, DER).
    pub public_key_sha256: String,
    pub is_authority: bool,
    /// Acceptable to a server that asks for a client certificate.
    pub client_auth: bool,
    pub server_auth: bool,
    /// Hexadecimal, colons between the bytes.
    pub serial: String,
    /// Subject alternative names: DNS names and addresses as text.
    pub names: Vec<String>,
    der: Vec<u8>,
}

impl Certificate {
    /// Reads the first certificate of `pem`.
    pub fn from_pem(pem: &str) -> anyhow::Result<Self> {
        let block = Pem::iter_from_buffer(pem.as_bytes())
            .find(|block| block.as_ref().map_or(true, |block| block.label == "CERTIFICATE"));
        let block = block.context("there is no certificate in the PEM text")?;
        Self::from_der(&block.context("the certificate's PEM is broken")?.contents)
    }

    fn from_der(der: &[u8]) -> anyhow::Result<Self> {
        let (rest, parsed) = X509Certificate::from_der(der).context("the certificate's DER")?;
        if !rest.is_empty() {
            bail!("{} bytes follow the certificate", rest.len());
        }
        let text = |name: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            name.as_str().unwrap_or_default().to_owned()
        };
        let usage = parsed.extended_key_usage().ok().flatten().map(|usage| usage.value);
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.iter().filter_map(name_text));
        Ok(Self {
            common_name: parsed.subject().iter_common_name().next().map(text).unwrap_or_default(),
            organizations: parsed.subject().iter_organization().map(text).collect(),
            not_before: parsed.validity().not_before.to_datetime(),
            not_after: parsed.validity().not_after.to_datetime(),
            public_key_sha256: sha256_hex(parsed.public_key().raw),
            is_authority: parsed.is_ca(),
            client_auth: usage.is_some_and(|usage| usage.client_auth || usage.any),
            server_auth: usage.is_some_and(|usage| usage.server_auth || usage.any),
            serial: parsed.raw_serial_as_string(),
            names: names.map(Iterator::collect).unwrap_or_default(),
            der: der.to_vec(),
        })
    }

    /// Whether `authority` signed this certificate.
    pub fn is_signed_by(&self, authority: &Certificate) -> bool {
        let (Ok((_, leaf)), Ok((_, authority))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&authority.der))
        else {
            return false;
        };
        leaf.issuer() == authority.subject()
            && leaf.verify_signature(Some(authority.public_key())).is_ok()
    }

    /// Whether the certificate is within its time at `now`.
    pub fn is_current(&self, now: OffsetDateTime) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }
}

fn name_text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => Some(std::net::Ipv4Addr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string()),
            16 => Some(std::net::Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
            _ => None,
        },
        _ => None,
    }
}
