//! The Kubernetes API server, reached with a client certificate.

use std::fmt;

use anyhow::Context;
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Client;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::Wire;

/// A client certificate and its private key.
#[derive(Clone)]
pub struct Identity {
    /// PEM; may hold more certificates of the chain.
    pub certificate: String,
    /// PEM, PKCS#8 or SEC1.
    pub private_key: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// A client for the API server at `endpoint` (`https://HOST[:PORT]`) that trusts exactly the PEM
/// certificates in `authorities`. Connects when it is first used.
pub fn connect(
    wire: &Wire,
    endpoint: &str,
    authorities: &str,
    identity: &Identity,
) -> anyhow::Result<Client> {
    let uri: http::Uri = endpoint.parse().with_context(|| format!("API endpoint `{endpoint}`"))?;
    let dns = wire.dns.clone().context("no resolver for the API endpoint")?;
    let mut tcp = HttpConnector::new_with_resolver(dns);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(std::time::Duration::from_secs(5)));
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls(authorities, identity)?)
        .https_only()
        .enable_http1()
        .wrap_connector(tcp);
    let hyper: Hyper<_, kube::client::Body> = Hyper::builder(TokioExecutor::new()).build(https);
    let service = tower::ServiceBuilder::new()
        .layer(kube::client::middleware::BaseUriLayer::new(uri))
        .service(hyper);
    Ok(kube::client::ClientBuilder::new(service, "default").build())
}

fn tls(authorities: &str, identity: &Identity) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        roots.add(authority.context("CA certificate of the API server")?)?;
    }
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .context("client certificate")?;
    let key = PrivateKeyDer::from_pem_slice(identity.private_key.as_bytes())
        .context("client certificate's private key")?;
    let config = ClientConfig::builder().with_root_certificates(roots);
    config.with_client_auth_cert(chain, key).context("client certificate and key do not fit")
}
