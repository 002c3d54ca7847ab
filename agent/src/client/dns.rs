//! One resolver for the AWS SDK, the API server's client and the downloads of a bake: no getaddrinfo, so that a static
//! binary works with nothing but `/etc/resolv.conf`.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::OnceCell;

/// The system's resolver, as `/etc/resolv.conf` and `/etc/hosts` describe it. They are read at the
/// first look-up, not before: early in a boot DHCP may not have written them yet, and by the time
/// that somebody asks for a name IMDS has answered.
#[derive(Clone, Default)]
pub struct Dns(Arc<OnceCell<TokioResolver>>);

/// A name without an address, which a person has to be told by that name.
#[derive(Debug)]
pub struct Unresolved {
    name: String,
    why: NetError,
}

impl Unresolved {
    /// The one that is behind an error, where there is one.
    pub fn behind<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        match error.downcast_ref() {
            Some(unresolved) => Some(unresolved),
            None => Self::behind(error.source()?),
        }
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` does not resolve: ", self.name)?;
        match &self.why {
            why if why.is_nx_domain() => f.write_str("there is no such name"),
            why if why.is_no_records_found() => f.write_str("the name has no address"),
            why => write!(f, "{why}"),
        }
    }
}

impl Error for Unresolved {}

impl Dns {
    /// The system's resolver.
    pub fn system() -> Self {
        Self::default()
    }

    /// The addresses of `name`.
    pub async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, Unresolved> {
        let asked = async {
            let resolver = self.0.get_or_try_init(async || read()).await?;
            resolver.lookup_ip(name).await
        };
        let found = asked.await.map_err(|why| Unresolved { name: name.to_owned(), why })?;
        Ok(found.iter().collect())
    }
}

fn read() -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    builder.options_mut().attempts = 3;
    builder.build()
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dns")
    }
}

impl tower_service::Service<Name> for Dns {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unresolved>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
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

impl reqwest::dns::Resolve for Dns {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let this = self.clone();
        Box::pin(async move {
            let addresses = this.lookup(name.as_str()).await?;
            let sockets: Vec<_> = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(Box::new(sockets.into_iter()) as reqwest::dns::Addrs)
        })
    }
}
