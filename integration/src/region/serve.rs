//! The region on sockets: HTTP, HTTPS and the metadata service, on listeners that the caller has
//! bound (in whatever network namespace). HTTP/1.1, connections kept alive and numbered in the log.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt::Ipv4Ttl};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::{Answer, Arrival, Region};

/// A listener at work; dropping it ends it and all its connections.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// Whose metadata a connection reads.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// The instance with the peer's address, as in a VPC.
    Peer,
    /// Always this one, for a client outside the VPC.
    Instance(IpAddr),
}

/// What a listener does with a connection.
#[derive(Clone)]
enum Door {
    Plain,
    Tls(TlsAcceptor),
    Imds(Who),
}

/// The four services over plain HTTP.
pub fn http(region: &Region, listener: StdListener) -> io::Result<Listening> {
    listen(region, listener, Door::Plain)
}

/// The four services over TLS; the configuration chooses the certificate.
pub fn https(
    region: &Region,
    listener: StdListener,
    config: Arc<ServerConfig>,
) -> io::Result<Listening> {
    listen(region, listener, Door::Tls(config.into()))
}

/// The metadata service.
pub fn imds(region: &Region, listener: StdListener, who: Who) -> io::Result<Listening> {
    listen(region, listener, Door::Imds(who))
}

/// A configuration with one certificate for all names.
pub fn tls(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl Listening {
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn listen(region: &Region, listener: StdListener, door: Door) -> io::Result<Listening> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let listener = TcpListener::from_std(listener)?;
    let task = tokio::spawn(accept(region.clone(), listener, door));
    Ok(Listening { address, task })
}

async fn accept(region: Region, listener: TcpListener, door: Door) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(serve_connection(region.clone(), stream, peer.ip(), door.clone()));
                }
                // Out of descriptors, or a peer that has gone already: the next may do better.
                Err(error) => {
                    tracing::warn!("accepting a connection of the region: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// How a connection ends concerns its client alone.
async fn serve_connection(region: Region, stream: TcpStream, peer: IpAddr, door: Door) {
    // Small answers must not wait for the acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    let arrival =
        Arrival { connection: Some(region.next_connection()), peer: Some(peer), tls: false };
    match door {
        Door::Plain => serve_api(region, stream, arrival).await,
        Door::Tls(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => serve_api(region, stream, Arrival { tls: true, ..arrival }).await,
            Err(error) => tracing::debug!("a TLS handshake with {peer}: {error}"),
        },
        Door::Imds(who) => {
            let from = if let Who::Instance(address) = who { address } else { peer };
            serve_metadata(region, stream, arrival, from).await;
        }
    }
}

async fn serve_api<S>(region: Region, stream: S, arrival: Arrival)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let service = service_fn(|request: Request<Incoming>| {
        let region = region.clone();
        async move {
            let request = gathered(request, arrival).await?;
            let mut response = answered(region.serve(request).await).await?;
            response.headers_mut().insert(header::DATE, date(region.clock().signing())?);
            Ok::<_, io::Error>(response)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("connection {:?}: {error}", arrival.connection);
    }
}

async fn serve_metadata(region: Region, stream: TcpStream, arrival: Arrival, from: IpAddr) {
    // A second handle, since the first belongs to hyper from here on.
    let Ok(stream) = stream.into_std() else { return };
    let Ok(socket) = stream.try_clone() else { return };
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let (socket, region) = (&socket, &region);
    let service = service_fn(|request: Request<Incoming>| async move {
        let request = gathered(request, arrival).await?;
        // The answer to a PUT, and all that follows on this connection, gets as far as the hop
        // limit: beyond it the caller hears nothing. Amazon EC2 User Guide, "Configure the
        // Instance Metadata Service options", `http-put-response-hop-limit`.
        if request.method() == Method::PUT
            && let Some(hops) = region.hop_limit(from)
        {
            let _ = setsockopt(socket, Ipv4Ttl, &i32::from(hops));
        }
        answered(region.serve_imds(from, request).await).await
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("connection {:?} of the metadata service: {error}", arrival.connection);
    }
}

async fn gathered(request: Request<Incoming>, arrival: Arrival) -> io::Result<Request<Bytes>> {
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(arrival);
    Ok(Request::from_parts(parts, body.collect().await.map_err(io::Error::other)?.to_bytes()))
}

async fn answered(answer: Answer) -> io::Result<Response<Sent>> {
    match answer {
        Answer::Silence => std::future::pending().await,
        Answer::Whole(response) => Ok(response.map(Sent::whole)),
        // There is no middle of an empty body: the connection ends without an answer.
        Answer::Cut(response) if response.body().is_empty() => Err(cut()),
        Answer::Cut(response) => {
            let (mut parts, body) = response.into_parts();
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
            Ok(Response::from_parts(parts, Sent::half(&body)))
        }
    }
}

/// AWS' clock, by which a client whose own is wrong signs again. RFC 9110, "Date/Time Formats".
fn date(at: OffsetDateTime) -> io::Result<HeaderValue> {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let text = at.to_offset(UtcOffset::UTC).format(format).map_err(io::Error::other)?;
    HeaderValue::from_str(&text).map_err(io::Error::other)
}

/// A body that is whole, or ends the connection after its first half.
struct Sent {
    left: Option<Bytes>,
    cut: bool,
    flushed: bool,
}

impl Sent {
    fn whole(body: Bytes) -> Self {
        Self { left: Some(body), cut: false, flushed: false }
    }

    fn half(body: &Bytes) -> Self {
        Self { left: Some(body.slice(..body.len() / 2)), cut: true, flushed: false }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(data) = self.left.take().filter(|data| !data.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if !self.cut {
            return Poll::Ready(None);
        }
        // Once pending, so that what there is goes out before the connection ends.
        if !self.flushed {
            self.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(cut())))
    }

    fn is_end_stream(&self) -> bool {
        !self.cut && self.left.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.left.as_ref().map_or(0, Bytes::len);
        if self.cut { SizeHint::new() } else { SizeHint::with_exact(left as u64) }
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a fault")
}
