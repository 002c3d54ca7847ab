//! Certificate signing requests: how a node makes one and what an admitter accepts.

use std::fmt;

use anyhow::Context;
use rcgen::{CertificateParams, KeyPair, PublicKeyData, SubjectPublicKeyInfo};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_SIG_ED25519, OID_X509_COMMON_NAME,
    OID_X509_ORGANIZATION_NAME,
};
use x509_parser::prelude::{FromDer, Pem, X509Name};
use x509_parser::public_key::PublicKey;

use super::{Subject, sha256_hex};

/// NIST SP 800-57: RSA below this is not acceptable any more.
const MIN_RSA_BITS: usize = 2048;

/// A P-256 key pair. Never leaves the machine but in a file of mode 0600 (or, for an authority,
/// through KMS).
pub struct PrivateKey(KeyPair);

/// A request whose sender has proved that it holds the private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningRequest {
    /// Whom the sender claims to be; still to be compared with what EC2 says.
    pub subject: Subject,
    public_key: SubjectPublicKeyInfo,
}

/// Why a signing request is refused whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unacceptable {
    #[error("the certificate signing request is not PKCS#10 in PEM: {0}")]
    Malformed(String),
    #[error("the request's key is {found}, wanted P-256, P-384 or RSA of at least 2048 bits")]
    WeakKey { found: String },
    #[error("the request's signature does not verify with its own public key")]
    NotTheKeysOwner,
    #[error("the request asks for {found}, wanted none: a node's certificate names only the node")]
    Extensions { found: String },
    #[error("the request asks for {found}, wanted only DNS names and addresses")]
    Names { found: String },
    #[error("the request's subject is `{found}`, wanted exactly one CN and one O")]
    Subject { found: String },
}

impl PrivateKey {
    /// A new key.
    pub fn generate() -> anyhow::Result<Self> {
        KeyPair::generate().map(Self).context("making a P-256 key")
    }

    /// A key as [`PrivateKey::to_pem`] wrote it.
    pub fn from_pem(pem: &str) -> anyhow::Result<Self> {
        KeyPair::from_pem(pem).map(Self).context("the private key is not PKCS#8 in PEM")
    }

    /// PKCS#8 in PEM. A secret.
    pub fn to_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// Lowercase hexadecimal SHA-256 of the public key (SubjectPublicKeyInfo, DER).
    pub fn public_key_sha256(&self) -> String {
        sha256_hex(&self.0.subject_public_key_info())
    }

    /// A PKCS#10 request for `subject` and nothing else, PEM.
    pub fn request(&self, subject: &Subject) -> anyhow::Result<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject.distinguished_name();
        let request = params.serialize_request(&self.0).context("signing the request")?;
        request.pem().context("writing the request as PEM")
    }

    pub(super) fn pair(&self) -> &KeyPair {
        &self.0
    }

    pub(super) fn into_pair(self) -> KeyPair {
        self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

impl SigningRequest {
    /// Reads and checks a request: one PEM block, a key that is strong enough, proof of
    /// possession, no requested extensions, and a subject of one CN and one O.
    pub fn verify(pem: &str) -> Result<Self, Unacceptable> {
        Self::verify_der(&der(pem)?)
    }

    fn verify_der(der: &[u8]) -> Result<Self, Unacceptable> {
        let (request, public_key) = parse(der)?;
        no_extensions(&request)?;
        let subject = exact_subject(&request.certification_request_info.subject)?;
        Ok(Self { subject, public_key })
    }

    /// Lowercase hexadecimal SHA-256 of the public key (SubjectPublicKeyInfo, DER).
    pub fn public_key_sha256(&self) -> String {
        sha256_hex(&self.public_key.subject_public_key_info())
    }

    pub(super) fn public_key(&self) -> &SubjectPublicKeyInfo {
        &self.public_key
    }
}

/// The content of the one PEM block.
pub(super) fn der(pem: &str) -> Result<Vec<u8>, Unacceptable> {
    let malformed = |why: &str| Unacceptable::Malformed(why.to_owned());
    let block = Pem::iter_from_buffer(pem.as_bytes()).next();
    let block = block.ok_or_else(|| malformed("no PEM block"))?;
    let block = block.map_err(|error| malformed(&error.to_string()))?;
    if block.label != "CERTIFICATE REQUEST" {
        return Err(malformed(&format!("the PEM block is `{}`", block.label)));
    }
    Ok(block.contents)
}

/// A request whose sender holds the private key of a strong public one.
pub(super) fn parse(
    der: &[u8],
) -> Result<(X509CertificationRequest<'_>, SubjectPublicKeyInfo), Unacceptable> {
    let parsed = X509CertificationRequest::from_der(der);
    let (rest, request) = parsed.map_err(|error| Unacceptable::Malformed(error.to_string()))?;
    if !rest.is_empty() {
        return Err(Unacceptable::Malformed(format!("{} bytes follow it", rest.len())));
    }
    // The key first: a signature by a weak one would be reported as a wrong one.
    let public_key = strong_key(&request)?;
    request.verify_signature().map_err(|_| Unacceptable::NotTheKeysOwner)?;
    Ok((request, public_key))
}

fn strong_key(
    request: &X509CertificationRequest<'_>,
) -> Result<SubjectPublicKeyInfo, Unacceptable> {
    let key = &request.certification_request_info.subject_pki;
    let weak = |found: String| Unacceptable::WeakKey { found };
    let parsed = key.parsed().map_err(|_| weak("unreadable".to_owned()))?;
    match parsed {
        PublicKey::RSA(rsa) if rsa.key_size() < MIN_RSA_BITS => {
            return Err(weak(format!("RSA of {} bits", rsa.key_size())));
        }
        PublicKey::RSA(_) => {}
        PublicKey::EC(_) => {
            let parameters = key.algorithm.parameters.as_ref();
            let curve = parameters.and_then(|any| any.as_oid().ok());
            let curve = curve.ok_or_else(|| weak("EC without a named curve".to_owned()))?;
            if curve == OID_NIST_EC_P521 {
                return Err(weak("P-521, which few verify".to_owned()));
            }
            if curve != OID_EC_P256 && curve != OID_NIST_EC_P384 {
                return Err(weak(format!("EC on the curve {curve}")));
            }
        }
        _ if key.algorithm.algorithm == OID_SIG_ED25519 => return Err(weak("Ed25519".to_owned())),
        _ => return Err(weak(format!("of the algorithm {}", key.algorithm.algorithm))),
    }
    SubjectPublicKeyInfo::from_der(key.raw).map_err(|error| weak(error.to_string()))
}

fn no_extensions(request: &X509CertificationRequest<'_>) -> Result<(), Unacceptable> {
    let attributes = request.certification_request_info.attributes().iter();
    let requested: Vec<_> = attributes
        .filter_map(|attribute| match attribute.parsed_attribute() {
            ParsedCriAttribute::ExtensionRequest(request) => Some(&request.extensions),
            _ => None,
        })
        .flatten()
        .map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                let names: Vec<_> =
                    names.general_names.iter().map(|name| name.to_string()).collect();
                format!("subject alternative names ({})", names.join(", "))
            }
            _ => format!("the extension {}", extension.oid),
        })
        .collect();
    if requested.is_empty() {
        return Ok(());
    }
    Err(Unacceptable::Extensions { found: requested.join(" and ") })
}

pub(super) fn exact_subject(name: &X509Name<'_>) -> Result<Subject, Unacceptable> {
    let refuse = || Unacceptable::Subject { found: name.to_string() };
    let (mut common_name, mut organization) = (None, None);
    for attribute in name.iter_attributes() {
        let value = attribute.as_str().map_err(|_| refuse())?.to_owned();
        let place = if *attribute.attr_type() == OID_X509_COMMON_NAME {
            &mut common_name
        } else if *attribute.attr_type() == OID_X509_ORGANIZATION_NAME {
            &mut organization
        } else {
            return Err(refuse());
        };
        if place.replace(value).is_some() {
            return Err(refuse());
        }
    }
    let (Some(common_name), Some(organization)) = (common_name, organization) else {
        return Err(refuse());
    };
    Ok(Subject { common_name, organization: Some(organization) })
}

#[cfg(test)]
mod tests {
    use rcgen::{DnType, ExtendedKeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SanType};

    use super::*;

    fn refused(params: CertificateParams, key: &KeyPair) -> String {
        let pem = params.serialize_request(key).expect("a request").pem().expect("PEM");
        SigningRequest::verify(&pem).expect_err("refused").to_string()
    }

    fn named(subject: &Subject) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject.distinguished_name();
        params
    }

    #[test]
    fn what_a_node_makes_is_accepted_and_names_its_key() {
        let key = PrivateKey::generate().expect("a key");
        let pem = key.request(&Subject::node("i-1")).expect("a request");
        let request = SigningRequest::verify(&pem).expect("accepted");
        assert_eq!(request.subject, Subject::node("i-1"));
        assert_eq!(request.public_key_sha256(), key.public_key_sha256());
    }

    #[test]
    fn p384_is_accepted_and_ed25519_is_not() {
        let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key");
        let pem = named(&Subject::node("i-1")).serialize_request(&p384).expect("a request");
        SigningRequest::verify(&pem.pem().expect("PEM")).expect("accepted");

        let ed25519 = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
        assert_eq!(
            refused(named(&Subject::node("i-1")), &ed25519),
            "the request's key is Ed25519, wanted P-256, P-384 or RSA of at least 2048 bits"
        );
    }

    #[test]
    fn a_weak_key_is_named() {
        // openssl req -new -newkey rsa:1024 -nodes -subj /O=system:nodes/CN=system:node:i-1
        let error = SigningRequest::verify(include_str!("rsa1024.csr")).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "the request's key is RSA of 1024 bits, wanted P-256, P-384 or RSA of at least 2048 bits"
        );
    }

    #[test]
    fn a_strong_rsa_key_is_accepted() {
        let request = SigningRequest::verify(include_str!("rsa2048.csr")).expect("accepted");
        assert_eq!(request.subject, Subject::node("i-1"));
    }

    #[test]
    fn names_and_extensions_are_refused_and_listed() {
        let key = KeyPair::generate().expect("a key");
        let mut params = named(&Subject::node("i-1"));
        let name = "kubernetes.default".try_into().expect("a DNS name");
        params.subject_alt_names.push(SanType::DnsName(name));
        assert_eq!(
            refused(params.clone(), &key),
            "the request asks for subject alternative names (DNSName(kubernetes.default)), \
             wanted none: a node's certificate names only the node"
        );
        params.subject_alt_names.clear();
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        assert_eq!(
            refused(params, &key),
            "the request asks for the extension 2.5.29.37, wanted none: a node's certificate names \
             only the node"
        );
    }

    #[test]
    fn a_subject_with_anything_more_is_refused() {
        let key = KeyPair::generate().expect("a key");
        let mut params = named(&Subject::node("i-1"));
        params.distinguished_name.push(DnType::OrganizationalUnitName, "admins");
        assert_eq!(
            refused(params, &key),
            "the request's subject is `O=system:nodes, CN=system:node:i-1, OU=admins`, wanted \
             exactly one CN and one O"
        );
        let alone = Subject { common_name: "system:node:i-1".to_owned(), organization: None };
        assert_eq!(
            refused(named(&alone), &key),
            "the request's subject is `CN=system:node:i-1`, wanted exactly one CN and one O"
        );
    }

    #[test]
    fn somebody_elses_public_key_is_no_proof_of_possession() {
        let pem = PrivateKey::generate().expect("a key").request(&Subject::node("i-1"));
        let pem = pem.expect("a request");
        let block = Pem::iter_from_buffer(pem.as_bytes()).next().expect("a block").expect("PEM");
        let mut der = block.contents;
        let last = der.last_mut().expect("a signature");
        *last ^= 1;
        let error = SigningRequest::verify_der(&der).expect_err("refused");
        assert_eq!(error, Unacceptable::NotTheKeysOwner);
    }

    #[test]
    fn garbage_is_named_as_such() {
        for garbage in ["", "hello", "-----BEGIN CERTIFICATE REQUEST-----\n!!\n"] {
            let error = SigningRequest::verify(garbage).expect_err("refused");
            assert!(matches!(error, Unacceptable::Malformed(_)), "{garbage}: {error}");
        }
    }

    #[test]
    fn a_key_prints_nothing_of_itself() {
        let key = PrivateKey::generate().expect("a key");
        assert_eq!(format!("{key:?}"), "PrivateKey");
    }
}
