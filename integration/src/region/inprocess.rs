//! The region as an SDK's HTTP client, without sockets: requests go straight into
//! [`Region::serve`], those for 169.254.169.254 into [`Region::serve_imds`]. On a paused tokio
//! clock agents and AWS run in one thread, and the same seed gives the same trace.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};

use super::{Answer, Arrival, Region};

const IMDS: &str = "169.254.169.254";

/// Where requests come from.
#[derive(Clone, Debug)]
pub struct InProcess {
    region: Region,
    from: Option<IpAddr>,
}

impl InProcess {
    /// From outside the VPC: 169.254.169.254 is silent.
    pub fn outside(region: &Region) -> Self {
        Self { region: region.clone(), from: None }
    }

    /// From the instance that has this address.
    pub fn instance(region: &Region, address: Ipv4Addr) -> Self {
        Self { region: region.clone(), from: Some(address.into()) }
    }

    pub fn client(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.clone())
    }

    /// The time that such a client's own clock shows; sign with it.
    pub fn time(&self) -> SharedTimeSource {
        SharedTimeSource::new(RegionTime(self.region.clone()))
    }
}

impl HttpClient for InProcess {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            from: self.clone(),
            read_timeout: settings.read_timeout(),
        })
    }
}

#[derive(Debug)]
struct Connector {
    from: InProcess,
    read_timeout: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = send(self.from.clone(), request);
        match self.read_timeout {
            None => HttpConnectorFuture::new(answer),
            Some(limit) => HttpConnectorFuture::new(within(limit, answer)),
        }
    }
}

async fn within(
    limit: Duration,
    answer: impl Future<Output = Result<HttpResponse, ConnectorError>>,
) -> Result<HttpResponse, ConnectorError> {
    let late = |_| ConnectorError::timeout(format!("no answer within {limit:?}").into());
    tokio::time::timeout(limit, answer).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
}

async fn send(from: InProcess, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.map_err(ConnectorError::user)?.to_bytes();
    let host =
        parts.uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
    // What a real client adds when it connects.
    if !parts.headers.contains_key(HOST)
        && let Ok(value) = HeaderValue::from_str(&host)
    {
        parts.headers.insert(HOST, value);
    }
    let tls = parts.uri.scheme_str() == Some("https");
    parts.extensions.insert(Arrival { connection: None, peer: from.from, tls });
    let request = Request::from_parts(parts, body);
    let answer = if host.split(':').next() == Some(IMDS) {
        match from.from {
            Some(address) => from.region.serve_imds(address, request).await,
            None => Answer::Silence,
        }
    } else {
        from.region.serve(request).await
    };
    match answer {
        Answer::Whole(response) => received(response.map(SdkBody::from)),
        Answer::Cut(response) if response.body().is_empty() => {
            Err(ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionReset).into()))
        }
        Answer::Cut(response) => {
            received(response.map(|body| SdkBody::from_body_1_x(Half::of(&body))))
        }
        Answer::Silence => std::future::pending().await,
    }
}

fn received(response: Response<SdkBody>) -> Result<HttpResponse, ConnectorError> {
    response.try_into().map_err(|error| ConnectorError::other(BoxError::from(error), None))
}

/// The first half of a body, and then an error.
struct Half(Option<Bytes>);

impl Half {
    fn of(whole: &Bytes) -> Self {
        Self(Some(whole.slice(..whole.len() / 2)))
    }
}

impl Body for Half {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(Some(match self.0.take() {
            Some(half) => Ok(Frame::data(half)),
            None => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "connection closed before the message completed",
            )),
        }))
    }
}

/// A client's clock that runs with the region's, without what tests have moved it by.
struct RegionTime(Region);

impl TimeSource for RegionTime {
    fn now(&self) -> SystemTime {
        self.0.clock().unmoved().into()
    }
}

impl fmt::Debug for RegionTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegionTime")
    }
}
