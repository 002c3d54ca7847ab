//! HTTP/1.1 for the AWS SDK and for IMDS: one connection to IMDS, a pool of them for all else.
//!
//! What TLS trusts is read on a thread of its own, at the first request that needs it or before. IMDS,
//! whose answers everything else waits for, needs no TLS and does not wait for it.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use super::dns::Dns;
use super::link_local::OneConnection;
use super::{imds, trust};

/// As long as the SDK's own client waits for a connection.
pub(super) const CONNECT: Duration = Duration::from_millis(3100);

type Pool = Client<HttpsConnector<Tcp<Dns>>, SdkBody>;

/// The client. Clones share the connections.
#[derive(Clone)]
pub struct Http {
    imds: OneConnection,
    pool: Shared<BoxFuture<'static, Result<Pool, String>>>,
}

impl Http {
    /// Must be called within a tokio runtime.
    pub fn new(dns: Dns) -> Self {
        let pool = async move {
            let reading = tokio::task::spawn_blocking(trust::configuration);
            let config = reading.await.map_err(|error| error.to_string())?;
            let config = config.map_err(|error| format!("{error:#}"))?;
            let https = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
            let mut client = Client::builder(TokioExecutor::new());
            let connector = https.enable_http1().wrap_connector(tcp(dns));
            Ok(client.pool_timer(TokioTimer::new()).build(connector))
        };
        Self { imds: OneConnection::default(), pool: pool.boxed().shared() }
    }

    /// Reads what TLS trusts from now on.
    pub fn begin(&self) {
        tokio::spawn(self.pool.clone());
    }

    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request =
            request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        // Whatever went wrong on the way (no connection, one that was cut) may go well next time.
        let answer = if request.uri().host() == Some(imds::HOST) {
            self.imds.send(request).await.map_err(ConnectorError::io)?
        } else {
            let pool = self.pool.await.map_err(|error| ConnectorError::user(error.into()))?;
            pool.request(request).await.map_err(|error| ConnectorError::io(error.into()))?
        };
        let answer = answer.map(SdkBody::from_body_1_x);
        HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None))
    }
}

fn tcp(dns: Dns) -> Tcp<Dns> {
    let mut tcp = Tcp::new_with_resolver(dns);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

impl HttpClient for Http {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let (http, silence) = (self.clone(), settings.read_timeout());
        SharedHttpConnector::new(Connector { http, silence })
    }
}

#[derive(Debug)]
struct Connector {
    http: Http,
    /// How long the head of an answer may take.
    silence: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = self.http.clone().send(request);
        match self.silence {
            Some(limit) => HttpConnectorFuture::new(within(limit, answer)),
            None => HttpConnectorFuture::new(answer),
        }
    }
}

async fn within(
    limit: Duration,
    answer: impl Future<Output = Result<HttpResponse, ConnectorError>>,
) -> Result<HttpResponse, ConnectorError> {
    let silent = |_| {
        let text = format!("no answer within {} ms", limit.as_millis());
        ConnectorError::timeout(Box::<dyn Error + Send + Sync>::from(text))
    };
    timeout(limit, answer).await.map_err(silent)?
}
