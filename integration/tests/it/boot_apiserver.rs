//! As much of an API server as a boot talks to: the watch of its own Node, over TLS, for whoever
//! has a certificate of the cluster's authority. (Boots against a real one are the lab's tests.)

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use windlass::pki::CertificateAuthority;

/// Runs until it is dropped.
pub struct ApiServer {
    pub address: SocketAddr,
    /// What is asked for, each with who asked.
    pub asked: Arc<Mutex<Vec<(String, String)>>>,
    task: JoinHandle<()>,
}

/// What the Node's Ready condition says.
#[derive(Clone, Debug)]
pub struct Says {
    pub status: &'static str,
    pub message: &'static str,
}

pub const READY: Says = Says { status: "True", message: "kubelet is posting ready status" };

impl ApiServer {
    pub async fn start(authority: &CertificateAuthority, says: Says) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let tls = TlsAcceptor::from(Arc::new(tls(authority)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(serve(listener, tls, asked.clone(), says));
        Self { address, asked, task }
    }

    pub fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Nobody listens any more.
    pub async fn stop(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    asked: Arc<Mutex<Vec<(String, String)>>>,
    says: Says,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, asked, says) = (tls.clone(), asked.clone(), says.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let who = stream.get_ref().1.peer_certificates().map(caller).unwrap_or_default();
            let answer = service_fn(async |request: Request<Incoming>| {
                let path = request.uri().to_string();
                asked.lock().expect("the log").push((who.clone(), path.clone()));
                Ok::<_, Infallible>(Response::new(Full::new(watch(&path, &says))))
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

/// One event of the Node that is asked for; then the watch ends, as watches do.
fn watch(path: &str, says: &Says) -> Bytes {
    let name = path.split("metadata.name%3D").nth(1).unwrap_or_default();
    let name = name.split('&').next().unwrap_or_default();
    let event: Value = json!({
        "type": "ADDED",
        "object": {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": name },
            "status": { "conditions": [{
                "type": "Ready",
                "status": says.status,
                "reason": "KubeletState",
                "message": says.message,
                "lastHeartbeatTime": "2099-01-01T00:00:00Z",
                "lastTransitionTime": "2099-01-01T00:00:00Z",
            }] },
        },
    });
    Bytes::from(format!("{event}\n"))
}

fn caller(chain: &[CertificateDer<'_>]) -> String {
    let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).expect("a certificate");
    leaf.subject().to_string()
}

fn tls(authority: &CertificateAuthority) -> ServerConfig {
    let key = KeyPair::from_pem(&authority.private_key_pem()).expect("the authority's key");
    let issuer = Issuer::from_ca_cert_pem(authority.certificate_pem(), key).expect("an issuer");
    let own = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&own, &issuer).expect("a certificate");
    let mut roots = RootCertStore::empty();
    let pem = authority.certificate_pem().as_bytes();
    roots.add(CertificateDer::from_pem_slice(pem).expect("a certificate")).expect("an authority");
    let clients = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a verifier");
    let key = PrivateKeyDer::try_from(own.serialize_der()).expect("a key");
    ServerConfig::builder()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate that fits its key")
}
