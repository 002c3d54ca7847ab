//! A request's way: from a client's connection, which is kept, over a connection of its own to a target.
//!
//! AWS keeps connections to targets, unless they answer with `Connection: close`. kube-proxy chooses a pod
//! when a connection is made, so that a pod which ends with kept connections may lose the request that
//! crosses its end ("Edit attributes for your Application Load Balancer": "the load balancer might send a
//! request to the application before it receives the packet indicating that the connection is closed").
//! That is between pods and load balancers, however a node leaves; here it would be counted as the drain's.

use std::io;
use std::net::{IpAddr, SocketAddrV4};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::counts::Outcome;
use super::targets::{Chosen, Targets};
use crate::lab::network::Namespace;

/// "The load balancer failed to establish a connection to the target before the connection timeout
/// expired (10 seconds)." ("Troubleshoot your Application Load Balancers", HTTP 504)
const CONNECT: Duration = Duration::from_secs(10);
/// "By default, ELB sets the idle timeout value for your load balancer to 60 seconds."
const IDLE: Duration = Duration::from_secs(60);

/// Between two attempts to accept, after one that failed.
const BREATH: Duration = Duration::from_millis(10);

/// What concerns one connection alone (RFC 9110, 7.6.1), and the length, which is that of what was read.
const OF_A_CONNECTION: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// From clients to targets.
#[derive(Clone, Debug)]
pub struct Forward {
    pub router: Namespace,
    pub targets: Targets,
    pub node_port: u16,
}

impl Forward {
    /// Serves clients until it is dropped, and all their connections with it.
    pub async fn serve(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        connections.spawn(self.clone().serve_connection(stream, peer.ip()));
                    }
                    // Out of descriptors, or a client that has gone already: the next may do better.
                    Err(error) => {
                        tracing::warn!("accepting a connection of the load balancer: {error}");
                        tokio::time::sleep(BREATH).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// How a connection ends concerns its client alone.
    async fn serve_connection(self, stream: TcpStream, peer: IpAddr) {
        let _ = stream.set_nodelay(true);
        let service = service_fn(|request| self.answer(request, peer));
        let served = server::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!("a connection of the load balancer with {peer}: {error}");
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> io::Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let request = towards_target(Request::from_parts(head, Full::new(body)), peer);
        let (chosen, under_way) = self.targets.choose(Instant::now());
        let Some(chosen) = chosen else {
            under_way.failed(Outcome::NoTarget, "no target is healthy");
            return Ok(own(StatusCode::SERVICE_UNAVAILABLE));
        };
        Ok(match self.pass_on(request, chosen).await {
            Ok(answer) if answer.status().is_server_error() => {
                under_way.failed(Outcome::ServerError, answer.status());
                answer
            }
            Ok(answer) => {
                under_way.answered();
                answer
            }
            Err(NoAnswer { outcome, status, why }) => {
                under_way.failed(outcome, why);
                own(status)
            }
        })
    }

    /// To one target, once.
    async fn pass_on(
        &self,
        request: Request<Full<Bytes>>,
        mut to: Chosen,
    ) -> Result<Response<Full<Bytes>>, NoAnswer> {
        let address = SocketAddrV4::new(to.address, self.node_port);
        let asked = async {
            let connecting = timeout(CONNECT, self.router.connect(address)).await;
            let connected =
                connecting.map_err(|_| NoAnswer::late(Outcome::NotConnected, CONNECT))?;
            let stream = connected.map_err(|error| NoAnswer::bad(Outcome::NotConnected, error))?;
            let asking = timeout(IDLE, exchange(stream, request)).await;
            let answered = asking.map_err(|_| NoAnswer::late(Outcome::Late, IDLE))?;
            answered.map(towards_client).map_err(|error| NoAnswer::bad(Outcome::Cut, error))
        };
        tokio::select! {
            answered = asked => answered,
            // Nobody ever sends anything: it ends with the target.
            _ = to.life.changed() => Err(NoAnswer {
                outcome: Outcome::Cut,
                status: StatusCode::BAD_GATEWAY,
                why: "the deregistration delay is over".to_owned(),
            }),
        }
    }
}

/// What a client gets instead of a target's answer, and why.
struct NoAnswer {
    outcome: Outcome,
    status: StatusCode,
    why: String,
}

impl NoAnswer {
    fn bad(outcome: Outcome, error: impl Into<anyhow::Error>) -> Self {
        let why = format!("{:#}", error.into());
        Self { outcome, status: StatusCode::BAD_GATEWAY, why }
    }

    fn late(outcome: Outcome, limit: Duration) -> Self {
        let why = format!("nothing within {} s", limit.as_secs());
        Self { outcome, status: StatusCode::GATEWAY_TIMEOUT, why }
    }
}

/// One request over a connection; the whole answer.
pub async fn exchange<B>(stream: TcpStream, request: Request<B>) -> hyper::Result<Response<Bytes>>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await?;
    let answer = async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let answer = Response::from_parts(head, body.collect().await?.to_bytes());
        Ok::<_, hyper::Error>(answer)
    };
    // The connection ends when nobody has its sender any more.
    let (answer, _) = futures_util::future::join(answer, connection).await;
    answer
}

fn towards_target(mut request: Request<Full<Bytes>>, peer: IpAddr) -> Request<Full<Bytes>> {
    let headers = request.headers_mut();
    strip(headers);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if let Ok(peer) = HeaderValue::from_str(&peer.to_string()) {
        headers.append("x-forwarded-for", peer);
    }
    *request.version_mut() = http::Version::HTTP_11;
    request
}

fn towards_client(answer: Response<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = answer.map(Full::new);
    strip(answer.headers_mut());
    *answer.version_mut() = http::Version::HTTP_11;
    answer
}

fn strip(headers: &mut HeaderMap) {
    for name in OF_A_CONNECTION {
        headers.remove(name);
    }
}

/// The load balancer's own answer.
fn own(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}
