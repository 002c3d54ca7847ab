//! HTTP/1.1 for the AWS SDK and for IMDS: one pool of connections for plain HTTP, one for TLS.
//!
//! What TLS trusts is read on a thread of its own from the start on. IMDS, whose answers everything
//! else waits for, needs no TLS and does not wait for it.

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
use hyper_util::client::legacy::connect::{Connect, HttpConnector as Tcp};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use super::dns::Dns;
use super::trust;

/// As long as the SDK's own client waits for a connection.
const CONNECT: Duration = Duration::from_millis(3100);

type Plain = Client<Tcp<Dns>, SdkBody>;
type Tls = Client<HttpsConnector<Tcp<Dns>>, SdkBody>;

/// The client. Clones share the connections.
#[derive(Clone)]
pub struct Http {
    plain: Plain,
    tls: Shared<BoxFuture<'static, Result<Tls, String>>>,
}

impl Http {
    /// Must be called within a tokio runtime.
    pub fn new(dns: Dns) -> Self {
        let reading = tokio::task::spawn_blocking(trust::configuration);
        let plain = pool(tcp(dns.clone()));
        let tls = async move {
            let config = reading.await.map_err(|error| error.to_string())?;
            let config = config.map_err(|error| format!("{error:#}"))?;
            let https = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
            Ok(pool(https.enable_http1().wrap_connector(tcp(dns))))
        };
        Self { plain, tls: tls.boxed().shared() }
    }

    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request =
            request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let answer = if request.uri().scheme_str() == Some("http") {
            self.plain.request(request).await
        } else {
            let tls = self.tls.await.map_err(|error| ConnectorError::user(error.into()))?;
            tls.request(request).await
        };
        // Whatever went wrong on the way (no connection, one that was cut) may go well next time.
        let answer = answer.map_err(|error| ConnectorError::io(error.into()))?;
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

fn pool<C: Connect + Clone>(connector: C) -> Client<C, SdkBody> {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).build(connector)
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
