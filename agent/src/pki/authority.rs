//! The cluster's certificate authority, which signs for nodes and for the admitter itself.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use rustls::crypto::SecureRandom;
use time::OffsetDateTime;

use super::{Certificate, PrivateKey, SigningRequest, Subject};
use crate::client::apiserver::Identity;

/// No client certificate lives longer: it cannot be revoked, only left to end.
pub const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// How far back a certificate's time begins, so that a verifier whose clock is a little behind
/// accepts it (kube-controller-manager's signer backdates by as much).
const BACKDATE: Duration = Duration::from_secs(5 * 60);

/// How long an authority lives, as kubeadm's do.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A certificate and its private key that sign others.
pub struct CertificateAuthority {
    certificate: Certificate,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A signed certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// PEM, without a chain.
    pub certificate: String,
    pub not_after: OffsetDateTime,
}

impl CertificateAuthority {
    /// A new authority with a P-256 key, for ten years from `now`.
    pub fn make(common_name: &str, now: OffsetDateTime) -> anyhow::Result<Self> {
        Self::of_key(common_name, PrivateKey::generate()?, now)
    }

    /// As [`CertificateAuthority::make`] for a key that exists: whoever was cut off after storing
    /// the key goes on with it.
    pub fn of_key(common_name: &str, key: PrivateKey, now: OffsetDateTime) -> anyhow::Result<Self> {
        let mut params = params(now, now + AUTHORITY_LIFETIME)?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        let pem = params.self_signed(key.pair()).context("signing the authority")?.pem();
        Self::load(&pem, key)
    }

    /// An authority as it was kept: certificate (PEM) and key must belong together.
    pub fn load(certificate: &str, key: PrivateKey) -> anyhow::Result<Self> {
        let read = Certificate::from_pem(certificate).context("reading the authority")?;
        ensure!(read.is_authority, "the certificate `{}` is not an authority's", read.common_name);
        if read.public_key_sha256 != key.public_key_sha256() {
            bail!(
                "the private key of `{}` is another one than its certificate's: public key {}, \
                 wanted {}",
                read.common_name,
                key.public_key_sha256(),
                read.public_key_sha256
            );
        }
        let issuer = Issuer::from_ca_cert_pem(certificate, key.into_pair())
            .context("reading the authority's certificate")?;
        Ok(Self { certificate: read, pem: certificate.to_owned(), issuer })
    }

    /// The authority's own certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The authority's key, PKCS#8 in PEM. A secret.
    pub fn private_key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Signs a client certificate for whoever made `request`, for the subject that it names.
    /// The caller has decided that the sender is this subject.
    pub fn sign(
        &self,
        request: &SigningRequest,
        now: OffsetDateTime,
        lifetime: Duration,
    ) -> anyhow::Result<Issued> {
        self.sign_client(&request.subject, request.public_key(), now, lifetime)
    }

    /// A new key and a client certificate for it.
    pub fn identity(
        &self,
        subject: &Subject,
        now: OffsetDateTime,
        lifetime: Duration,
    ) -> anyhow::Result<Identity> {
        let key = PrivateKey::generate()?;
        let issued = self.sign_client(subject, key.pair(), now, lifetime)?;
        Ok(Identity { certificate: issued.certificate, private_key: key.to_pem() })
    }

    fn sign_client(
        &self,
        subject: &Subject,
        key: &impl PublicKeyData,
        now: OffsetDateTime,
        lifetime: Duration,
    ) -> anyhow::Result<Issued> {
        let not_before = now - BACKDATE;
        let not_after = (now + lifetime).min(not_before + MAX_LIFETIME);
        let not_after = not_after.replace_nanosecond(0).context("whole seconds")?;
        ensure!(
            not_after <= self.certificate.not_after,
            "a certificate for `{subject}` would live until {not_after}, the authority `{}` ends \
             at {}",
            self.certificate.common_name,
            self.certificate.not_after
        );
        let mut params = params(not_before, not_after)?;
        params.distinguished_name = subject.distinguished_name();
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let signed = params.signed_by(key, &self.issuer);
        let signed = signed.with_context(|| format!("signing a certificate for `{subject}`"))?;
        Ok(Issued { certificate: signed.pem(), not_after })
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateAuthority({})", self.certificate.common_name)
    }
}

fn params(
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = not_before;
    params.not_after = not_after;
    params.serial_number = Some(random_serial()?);
    Ok(params)
}

/// 127 random bits, positive: RFC 5280 section 4.1.2.2 wants a positive integer that is unique for
/// the authority, and the CA/Browser Forum at least 64 bits from a CSPRNG.
fn random_serial() -> anyhow::Result<SerialNumber> {
    let mut bytes = [0; 16];
    let random: &dyn SecureRandom = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).ok().context("the system has no random bytes")?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
    const HOUR: Duration = Duration::from_secs(3600);

    fn authority() -> CertificateAuthority {
        CertificateAuthority::make("kubernetes", NOW).expect("an authority")
    }

    fn request(key: &PrivateKey) -> SigningRequest {
        let pem = key.request(&Subject::node("i-1")).expect("a request");
        SigningRequest::verify(&pem).expect("a good request")
    }

    #[test]
    fn a_nodes_certificate_is_for_client_authentication_of_that_node_only() {
        let (authority, key) = (authority(), PrivateKey::generate().expect("a key"));
        let issued = authority.sign(&request(&key), NOW, HOUR).expect("signed");
        let certificate = Certificate::from_pem(&issued.certificate).expect("a certificate");
        assert_eq!(certificate.common_name, "system:node:i-1");
        assert_eq!(certificate.organizations, ["system:nodes"]);
        assert_eq!(certificate.not_before, datetime!(2026-11-22 11:55 UTC));
        assert_eq!(certificate.not_after, datetime!(2026-11-22 13:00 UTC));
        assert_eq!(certificate.not_after, issued.not_after);
        assert_eq!(certificate.public_key_sha256, key.public_key_sha256());
        assert_eq!(certificate.names, [""; 0]);
        assert!(certificate.client_auth && !certificate.server_auth && !certificate.is_authority);
        assert!(certificate.is_signed_by(authority.certificate()));
        assert!(!certificate.is_signed_by(super::tests::authority().certificate()));
    }

    #[test]
    fn no_certificate_lives_longer_than_a_day() {
        let key = PrivateKey::generate().expect("a key");
        let issued = authority().sign(&request(&key), NOW, 1000 * HOUR).expect("signed");
        let certificate = Certificate::from_pem(&issued.certificate).expect("a certificate");
        assert_eq!(certificate.not_after - certificate.not_before, MAX_LIFETIME);
    }

    #[test]
    fn the_same_key_signed_twice_has_two_serials() {
        let (authority, key) = (authority(), PrivateKey::generate().expect("a key"));
        let serial = || {
            let issued = authority.sign(&request(&key), NOW, HOUR).expect("signed");
            Certificate::from_pem(&issued.certificate).expect("a certificate").serial
        };
        assert_ne!(serial(), serial());
    }

    #[test]
    fn an_authority_is_kept_and_loaded_and_another_key_is_noticed() {
        let made = authority();
        let key = |pem: &str| PrivateKey::from_pem(pem).expect("a key");
        let loaded =
            CertificateAuthority::load(made.certificate_pem(), key(&made.private_key_pem()));
        assert_eq!(loaded.expect("loaded").certificate(), made.certificate());
        let other = authority().private_key_pem();
        let error = CertificateAuthority::load(made.certificate_pem(), key(&other));
        let error = error.expect_err("another key").to_string();
        assert!(error.starts_with("the private key of `kubernetes` is another one"), "{error}");
    }

    #[test]
    fn nothing_secret_is_printed() {
        assert_eq!(format!("{:?}", authority()), "CertificateAuthority(kubernetes)");
    }
}
