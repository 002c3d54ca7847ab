//! Whom TLS trusts: the system's store, as an operator expects who put a CA there; where there is
//! no store (a chroot with nothing else in it) Mozilla's roots, which are built in.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// Distributions keep all certificates in one file as well; reading it takes a tenth of the time
/// that their folder takes, where each certificate lies twice.
const BUNDLES: [&str; 3] = [
    // Debian, Ubuntu, Alpine
    "/etc/ssl/certs/ca-certificates.crt",
    // Amazon Linux, Fedora
    "/etc/pki/tls/certs/ca-bundle.crt",
    // SUSE
    "/etc/ssl/ca-bundle.pem",
];

/// What OpenSSL's programs, and so the AWS CLI's users, name another store by.
const OVERRIDES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// A TLS client's configuration. Takes milliseconds: not for the thread that waits for requests.
pub fn configuration() -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    // A store may hold a certificate or two that rustls refuses; they are nobody's root here.
    roots.add_parsable_certificates(system());
    if roots.is_empty() {
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS cannot be configured")?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn system() -> Vec<CertificateDer<'static>> {
    let overridden = OVERRIDES.iter().any(|name| std::env::var_os(name).is_some());
    let bundle = BUNDLES.into_iter().map(Path::new).find(|path| path.exists());
    match bundle.filter(|_| !overridden) {
        Some(bundle) => rustls_native_certs::load_certs_from_paths(Some(bundle), None).certs,
        None => rustls_native_certs::load_native_certs().certs,
    }
}
