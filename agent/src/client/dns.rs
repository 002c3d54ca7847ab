//! One resolver for the AWS SDK and the API server's client: no getaddrinfo, so that a static
//! binary works with nothing but `/etc/resolv.conf`.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hyper_util::client::legacy::connect::dns::Name;

/// The system's resolver, as `/etc/resolv.conf` and `/etc/hosts` describe it.
#[derive(Clone)]
pub struct Dns(Arc<TokioResolver>);

impl Dns {
    /// Reads the system's configuration. Must be called within a tokio runtime.
    pub fn from_system() -> Result<Self, NetError> {
        let mut builder = TokioResolver::builder_tokio()?;
        builder.options_mut().attempts = 3;
        Ok(Self(Arc::new(builder.build()?)))
    }

    /// The addresses of `name`.
    pub async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, NetError> {
        Ok(self.0.lookup_ip(name).await?.iter().collect())
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dns")
    }
}

impl ResolveDns for Dns {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move { self.lookup(name).await.map_err(ResolveDnsError::new) })
    }
}

impl tower_service::Service<Name> for Dns {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = NetError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NetError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let addresses = this.lookup(name.as_str()).await?;
            let sockets: Vec<_> = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(sockets.into_iter())
        })
    }
}
